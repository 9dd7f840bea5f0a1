"""`gate policy test`: cases written by hand, one JSON object a line, evaluated without a ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from gate.domain.authority import claimed_authority
from gate.domain.canonical import canonical
from gate.domain.consent import ConsentEvent, Profile, RecordedEvent, parse_consent_event
from gate.domain.decision import (
    AccountFacts,
    AccountGroup,
    Citation,
    DatasetFacts,
    Decision,
    Facts,
    RowGroup,
    Use,
)
from gate.domain.instants import parse_instant
from gate.domain.words import Action, Category, Ownership, Purpose, Reason, Verdict
from gate.errors import InputError
from gate.policy.evaluate import evaluate
from gate.policy.rows import Policy

NO_SEGMENT = "none"

_CASE = frozenset({"id", "given", "use", "at", "expect", "note"})
_ACCOUNT = frozenset({"account_id", "terms_version", "segment", "region", "consents"})
_DATASET = frozenset({"categories", "accounts", "declared_none", "declassified", "problems", "rows_unattributed"})
_FEEDS = frozenset({"stale_feeds"})
_USE = frozenset({"purpose", "feature", "model", "ownership"})
_EXPECT = frozenset({"verdict", "reasons"})
_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Case:
    """One case: facts, use and instant, and the answer that is expected (at least these reasons)."""

    id: str
    facts: Facts
    use: Use
    at: datetime
    verdict: Verdict
    reasons: frozenset[Reason]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case and the decision it got."""

    case: Case
    decision: Decision

    @property
    def ok(self) -> bool:
        """Whether the verdict is the expected one and no expected reason is missing."""
        return self.decision.verdict is self.case.verdict and self.case.reasons <= set(self.reasons)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """All reason codes, sorted: of what blocks, and of what was recorded without effect."""
        return tuple(sorted({reason for finding in self.decision.findings for reason in finding.reasons}))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields: id, verdict, reasons, rows, citations, ok."""
        citations: dict[Citation, None] = {c: None for finding in self.decision.findings for c in finding.citations}
        return {
            "id": self.case.id,
            "verdict": self.decision.verdict.value,
            "reasons": [reason.value for reason in self.reasons],
            "rows": list(dict.fromkeys(finding.row for finding in self.decision.findings if finding.row)),
            "citations": [citation.to_dict() for citation in citations],
            "ok": self.ok,
        }


def run_cases(policy: Policy, path: str | Path) -> list[CaseResult]:
    """Evaluate every case of a JSONL file.

    Raises:
        InputError: the file cannot be read, holds no case, or a case is malformed (with its line number).
    """
    return [_run(policy, case) for case in read_cases(path)]


def run_case(policy: Policy, raw: Mapping[str, Any]) -> CaseResult:
    """Evaluate one case, given as a line of such a file has it.

    Raises:
        InputError: it is malformed; `where` is the field.
    """
    return _run(policy, _case(raw))


def _run(policy: Policy, case: Case) -> CaseResult:
    return CaseResult(case, evaluate(policy, case.facts, case.use, case.at))


def read_cases(path: str | Path) -> list[Case]:
    """Read a JSONL file of cases; blank lines are skipped.

    Raises:
        InputError: as `run_cases`.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} is not UTF-8 text", where=str(path)) from None
    except OSError as error:
        raise InputError(f"the cases cannot be read: {error.strerror}", where=str(path)) from None
    cases: dict[str, Case] = {}
    for number, line in _lines(text):
        case = _located(f"{path}:{number}", line)
        if case.id in cases:
            raise InputError(f"the id {case.id!r} is used twice", where=f"{path}:{number}")
        cases[case.id] = case
    if not cases:
        raise InputError("holds no cases", where=str(path), hint="one JSON object a line")
    return list(cases.values())


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # Only line feeds end a line of JSONL; other separators may stand inside a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _located(where: str, line: str) -> Case:
    try:
        return _case(json.loads(line))
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", where=f"{where}:{error.colno}") from None
    except RecursionError:
        raise InputError("not JSON: nests too deeply", where=where) from None
    except InputError as error:
        inside = f"{where}: {error.where}" if error.where else where
        raise InputError(error.message, where=inside, hint=error.hint) from None


def _case(raw: object) -> Case:
    case = _fields(raw, "case", _CASE)
    use = _fields(_need(case, "use", dict, "use"), "use", _USE)
    expect = _fields(_need(case, "expect", dict, "expect"), "expect", _EXPECT)
    given = _fields(_need(case, "given", dict, "given"), "given", _ACCOUNT | _DATASET | _FEEDS)
    return Case(
        id=_need(case, "id", str, "id"),
        facts=Facts((_dataset(given),), _sources(given)),
        use=Use(
            purpose=_word(Purpose, use.get("purpose"), "use.purpose"),
            feature=_maybe(use, "feature", str, "use.feature"),
            model=_maybe(use, "model", str, "use.model"),
            ownership=_word(Ownership, use.get("ownership", Ownership.UNKNOWN), "use.ownership"),
        ),
        at=parse_instant(case.get("at"), "at"),
        verdict=_word(Verdict, expect.get("verdict"), "expect.verdict"),
        reasons=_reasons(expect, "reasons", "expect.reasons"),
    )


def _sources(given: Mapping[str, Any]) -> tuple[str, ...]:
    names = _maybe(given, "stale_feeds", list, "given.stale_feeds") or []
    if not all(isinstance(name, str) for name in names):
        raise InputError("expected a list of sources", where="given.stale_feeds")
    return tuple(names)


def _dataset(given: Mapping[str, Any]) -> DatasetFacts:
    words = _need(given, "categories", list, "given.categories")
    if not all(isinstance(word, str) for word in words):
        raise InputError("expected a list of words", where="given.categories")
    groups = tuple(_account(account, where) for account, where in _accounts(given))
    unattributed = _maybe(given, "rows_unattributed", int, "given.rows_unattributed")
    if unattributed is None:
        unattributed = 0 if groups else 1
    if unattributed < 0:
        raise InputError("cannot be negative", where="given.rows_unattributed")
    declared_none = _maybe(given, "declared_none", bool, "given.declared_none")
    return DatasetFacts(
        dataset="given",
        categories=frozenset(words),
        groups=groups,
        rows=tuple(RowGroup((i,), 1) for i in range(len(groups))),
        unattributed={None: unattributed} if unattributed else {},
        problems=_reasons(given, "problems", "given.problems"),
        declared_none=words == [Category.NONE] if declared_none is None else declared_none,
        declassified=_maybe(given, "declassified", bool, "given.declassified") or False,
        total_rows=len(groups) + unattributed,
    )


def _accounts(given: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the accounts of a case; what one of several leaves out, it takes from `given`."""
    if given.get("accounts") is None:
        if given.get("account_id") is not None:
            yield {name: given[name] for name in _ACCOUNT if name in given}, "given"
        elif given.get("consents"):
            raise InputError("has consents but no account", where="given", hint="add account_id")
        return
    if given.get("account_id") is not None or given.get("consents") is not None:
        raise InputError("gives both one account and a list", where="given", hint="move it into accounts")
    shared = {name: given[name] for name in ("terms_version", "segment", "region") if name in given}
    for i, raw in enumerate(_need(given, "accounts", list, "given.accounts")):
        where = f"given.accounts[{i}]"
        yield {**shared, **_fields(raw, where, _ACCOUNT)}, where


def _account(raw: Mapping[str, Any], where: str) -> AccountGroup:
    account_id = _need(raw, "account_id", str, f"{where}.account_id")
    segment = _maybe(raw, "segment", str, f"{where}.segment")
    if segment is None and "segment" in raw:
        segment = NO_SEGMENT  # an explicit null says that there is nothing special about the account
    profile = Profile(
        region=_maybe(raw, "region", str, f"{where}.region"),
        segment=segment,
        terms_version=_maybe(raw, "terms_version", str, f"{where}.terms_version"),
    )
    consents = _maybe(raw, "consents", list, f"{where}.consents") or []
    events = [_event(event, account_id, f"{where}.consents[{i}]") for i, event in enumerate(consents)]
    return AccountGroup(AccountFacts(profile, _recorded(events, account_id)), {None: 1}, account_id)


def _event(raw: object, account_id: str, where: str) -> ConsentEvent:
    try:
        return parse_consent_event({"account_id": account_id, **raw} if isinstance(raw, dict) else raw)
    except InputError as error:
        raise InputError(error.message, where=f"{where}.{error.where}", hint=error.hint) from None


def _recorded(events: list[ConsentEvent], account_id: str) -> tuple[RecordedEvent, ...]:
    """Give every event its place in a ledger that was filled as things took effect.

    List order in a file means nothing: at the same instant a withdrawal or refusal comes after a grant, and equal
    kinds are ordered by their content.
    """

    def place(event: ConsentEvent) -> tuple[datetime, bool, bytes]:
        return event.effective_at, event.action is not Action.GRANT, canonical(event.to_dict())

    return tuple(
        RecordedEvent(event, index, event.effective_at, claimed_authority(event, account_id))
        for index, event in enumerate(sorted(events, key=place))
    )


def _fields(raw: object, where: str, allowed: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise InputError("expected an object with fields", where=where)
    for name in raw:
        if name not in allowed:
            raise InputError(f"unknown field {name!r}", where=where, hint="known: " + ", ".join(sorted(allowed)))
    return raw


def _need(raw: Mapping[str, Any], name: str, kind: type[_T], where: str) -> _T:
    value = _maybe(raw, name, kind, where)
    if value is None:
        raise InputError("is missing", where=where)
    return value


def _maybe(raw: Mapping[str, Any], name: str, kind: type[_T], where: str) -> _T | None:
    value = raw.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"expected {_KINDS[kind]}", where=where)
    return value


_KINDS: dict[type, str] = {
    str: "text",
    list: "a list",
    dict: "an object with fields",
    bool: "true or false",
    int: "a number",
}


def _word(kind: type[_E], value: object, where: str) -> _E:
    try:
        return kind(value)  # type: ignore[arg-type]
    except ValueError:
        message = "is missing" if value is None else f"{str(value)[:60]!r} is not known"
        raise InputError(message, where=where, hint="one of: " + ", ".join(kind)) from None


def _reasons(raw: Mapping[str, Any], name: str, where: str) -> frozenset[Reason]:
    return frozenset(_word(Reason, word, where) for word in _maybe(raw, name, list, where) or [])
