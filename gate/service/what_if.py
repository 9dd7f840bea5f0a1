"""What if: one made-up case, as somebody filled it into a form, answered by the function behind `gate policy test`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gate.domain.decision import Decision
from gate.domain.instants import format_instant
from gate.domain.words import Reason, Requirement, Verdict
from gate.errors import InputError
from gate.policy.cases import CaseResult, run_case
from gate.policy.rows import RANK, Policy, Row
from gate.service.policies import instant_from, shipped_name

ACCOUNT = "acme"
FILE = "case.jsonl"
PERSON = "somebody@acme.example"
_DIGEST = "0" * 64  # stands for the hash of the notice's text
_MAX_TEXT = 300  # characters of one field

Asked = Mapping[str, Sequence[str]]
"""The form's fields as they stand in an address: every name with its values."""

_FIELDS = {
    "at": "at",
    "use.purpose": "purpose",
    "use.feature": "feature",
    "use.model": "model",
    "use.ownership": "ownership",
    "given.categories": "categories",
    "given.region": "region",
    "given.segment": "segment",
    "given.terms_version": "terms",
    "given.consents[0].action": "consent",
    "given.consents[0].toggle": "toggle",
    "given.consents[0].categories": "c_categories",
    "given.consents[0].features": "c_features",
    "given.consents[0].purposes": "c_purposes",
    "given.consents[0].ownership": "c_ownership",
    "given.consents[0].principal.role": "role",
    "given.consents[0].instrument": "instrument",
    "given.consents[0].notice.terms_version": "notice_terms",
    "given.consents[0].effective_at": "effective",
    "given.consents[0].expires_at": "expires",
}
"""Which field of the form a part of the case comes from."""


@dataclass(frozen=True, slots=True)
class Part:
    """What the policy asks of one category, and what stands against it."""

    category: str
    requirement: Requirement | None
    blocks: bool
    rows: tuple[str, ...]
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The evaluator's answer.

    Attributes:
        reasons: every reason code of what blocks, with the categories it is about.
        noted: reason codes that were recorded without effect.
        rows: the policy's rows that speak here.
        case: the same case as a line of a file, expecting this very answer.
        command: what evaluates that file, when it is saved as `FILE`.
        download: the policy is not shipped: `command` needs its table saved beside the case.
    """

    decision: Decision
    parts: tuple[Part, ...]
    reasons: Mapping[Reason, tuple[str, ...]]
    noted: tuple[Reason, ...]
    rows: tuple[Row, ...]
    case: str
    command: str
    download: bool

    @property
    def allowed(self) -> bool:
        """Whether nothing blocks."""
        return self.decision.verdict is Verdict.ALLOW


def what_if(policy: Policy, asked: Asked, now: datetime) -> Answer:
    """Answer one made-up case; nothing is recorded, and no ledger is asked.

    Args:
        policy: the table.
        asked: the form's fields.
        now: the instant, where the form names none.

    Raises:
        InputError: a field that cannot be; `where` is its name in the form.
    """
    case = _case(asked, now)
    try:
        result = run_case(policy, case)
    except InputError as error:
        where = _FIELDS.get(error.where or "", error.where)
        raise InputError(error.message, where=where, hint=error.hint) from None
    case["expect"] = {"verdict": result.decision.verdict.value, "reasons": [r.value for r in result.reasons]}
    return _answer(policy, result, json.dumps(case, ensure_ascii=False))


def _answer(policy: Policy, result: CaseResult, line: str) -> Answer:
    decision, name = result.decision, shipped_name(policy)
    blocking = [found for found in decision.findings if found.verdict is Verdict.BLOCK]
    reasons: dict[Reason, dict[str, None]] = {}
    for found in blocking:
        for reason in found.reasons:
            reasons.setdefault(reason, {})[found.category] = None
    spoken = {found.row for found in decision.findings}
    return Answer(
        decision=decision,
        parts=tuple(_part(decision, word) for word in dict.fromkeys(found.category for found in decision.findings)),
        reasons={reason: tuple(categories) for reason, categories in reasons.items()},
        noted=tuple(reason for reason in result.reasons if reason not in reasons),
        rows=tuple(row for row in policy.rows if row.id in spoken),
        case=line,
        command=f"gate policy test {FILE} --policy {name or 'policy.json'}",
        download=name is None,
    )


def _part(decision: Decision, category: str) -> Part:
    found = [finding for finding in decision.findings if finding.category == category]
    asked = [finding.requirement for finding in found if finding.requirement is not None]
    blocking = [finding for finding in found if finding.verdict is Verdict.BLOCK]
    return Part(
        category,
        max(asked, key=RANK.__getitem__, default=None),
        bool(blocking),
        tuple(dict.fromkeys(finding.row for finding in found if finding.row)),
        tuple(dict.fromkeys(reason for finding in blocking for reason in finding.reasons)),
    )


def _case(asked: Asked, now: datetime) -> dict[str, Any]:
    one = _Fields(asked)
    at = instant_from(one.text("at"), "at") if one.text("at") else now.replace(microsecond=0)
    given = {
        "categories": one.words("categories"),
        "account_id": ACCOUNT,
        "terms_version": one.text("terms") or None,
        "region": one.text("region") or None,
        "consents": [_event(one, at)] if one.text("consent") not in ("", "none") else [],
    }
    if segment := one.text("segment"):
        given["segment"] = segment
    use = {
        "purpose": one.text("purpose"),
        "feature": one.text("feature") or None,
        "model": one.text("model") or None,
        "ownership": one.text("ownership") or "unknown",
    }
    expect = {"verdict": Verdict.BLOCK.value}  # replaced by the answer
    return {"id": "what-if", "given": given, "use": use, "at": format_instant(at), "expect": expect}


def _event(one: _Fields, at: datetime) -> dict[str, Any]:
    """Return the consent of the form, as a consent event without what was left out."""
    effective = instant_from(one.text("effective"), "effective") if one.text("effective") else at
    expires = instant_from(one.text("expires"), "expires") if one.text("expires") else None
    features = [word.strip() for word in one.text("c_features").split(",") if word.strip()]
    notice = {
        "terms_version": one.text("notice_terms") or None,
        "text_sha256": _DIGEST if one.text("notice") else None,
    }
    fields = {
        "action": one.text("consent"),
        "toggle": one.text("toggle") or None,
        "categories": one.words("c_categories") or None,
        "features": "*" if features == ["*"] else features or None,
        "purposes": one.words("c_purposes") or None,
        "ownership": one.words("c_ownership") or None,
        "principal": {"id": PERSON, "role": one.text("role") or "admin"},
        "notice": {name: value for name, value in notice.items() if value} or None,
        "instrument": one.text("instrument") or None,
        "bundled_with_service": True if one.text("bundled") else None,
        "withdrawal_channel": "admin console" if one.text("channel") else None,
        "effective_at": format_instant(effective),
        "expires_at": format_instant(expires) if expires else None,
        "evidence": "signed consent form" if one.text("evidence") else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


class _Fields:
    """Reads the form's fields."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def text(self, name: str) -> str:
        """Return a field's last value, without surrounding blanks."""
        return self.words(name)[-1] if self._asked.get(name) else ""

    def words(self, name: str) -> list[str]:
        """Return all values of a field."""
        found = [value.strip() for value in self._asked.get(name, ())]
        if any(len(value) > _MAX_TEXT or "\x00" in value for value in found):
            raise InputError(f"is longer than {_MAX_TEXT} characters, or holds a NUL", where=name)
        return found
