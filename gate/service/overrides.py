"""Break-glass: for one run and a few hours, over what is undecided or broken; never over a denial or over consent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from gate.domain.canonical import canonical
from gate.domain.decision import Decision, Finding
from gate.domain.instants import format_instant, parse_instant
from gate.domain.words import Category, Reason, Requirement, Verdict
from gate.errors import InputError
from gate.ledger.store import Entry, Reader, Transaction
from gate.service.acting import Acted, checked_params, text_param

MAX_OVERRIDE = timedelta(hours=24)

OVERRIDABLE = frozenset({Reason.POLICY_UNDECIDED, Reason.STALE_FEED, Reason.CANNOT_DECIDE})
"""The only reasons break-glass is for. An undecided row that adds another reason (a segment, a third party) is not."""

_ASKS_NOBODY = frozenset({Category.TELEMETRY.value, Category.AGGREGATED_ANONYMOUS.value, Category.NONE.value})
_PASSES = (Requirement.ALLOW, Requirement.CONSENT)


def overridable(decision: Decision) -> bool:
    """Whether break-glass may lift a block.

    Every blocking finding has only reasons of `OVERRIDABLE` and no `deny` or `consent` row behind it, and in every
    category that asks for consent each account group of the data has passed a row that allows or asks for consent: an
    outage, or a row that leaves the matter open, must not stand in for a consent nobody looked for.

    Args:
        decision: as `evaluate` returned it. One read back from the ledger has lost which accounts its findings are
            about, and is not overridable in categories that ask for consent.
    """
    blocking = [finding for finding in decision.findings if finding.verdict is Verdict.BLOCK]
    if decision.verdict is not Verdict.BLOCK or not blocking:
        return False
    return all(map(_is_open, blocking)) and all(
        _consent_stands([f for f in decision.findings if (f.dataset, f.category) == cell])
        for cell in {(f.dataset, f.category) for f in blocking}
    )


def _is_open(finding: Finding) -> bool:
    unheld = finding.requirement in (None, Requirement.UNDECIDED)
    return unheld and bool(finding.reasons) and OVERRIDABLE.issuperset(finding.reasons)


def _consent_stands(findings: list[Finding]) -> bool:
    if findings[0].category in _ASKS_NOBODY:
        return True
    if not all(finding.groups for finding in findings if finding.verdict is Verdict.BLOCK):
        return False  # a block that does not say whom it is about may be about anybody
    concerned = _groups(findings)
    passed = _groups(f for f in findings if f.verdict is Verdict.ALLOW and f.requirement in _PASSES)
    return concerned <= passed


def _groups(findings: Iterable[Finding]) -> frozenset[int]:
    return frozenset(group for finding in findings for group in finding.groups)


def override_for(reader: Reader, dag_id: str, run_id: str, now: datetime) -> Entry | None:
    """Return the newest break-glass of a run that stands at `now`; `None` when there is none."""
    entries = reader.entries("override", subject_prefix=_prefix(dag_id, run_id))
    return max((e for e in entries if _stands(reader, e, now)), key=lambda e: e.idx, default=None)


def override_stands(reader: Reader, index: int, now: datetime) -> bool:
    """Whether the break-glass at a ledger index, such as a permit names, still stands at `now`."""
    entry = reader.entry(index)
    return entry.kind == "override" and "expires_at" in entry.body and _stands(reader, entry, now)


def _stands(reader: Reader, entry: Entry, now: datetime) -> bool:
    in_time = entry.recorded_at <= now < parse_instant(entry.body["expires_at"])
    return in_time and reader.find("override", _revocation(entry.idx)) is None


def check_override(params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the parameters of a break-glass as they are recorded.

    Args:
        params: `dag_id`, `run_id` and `expires_at`, at most 24 hours ahead.

    Raises:
        InputError: not so.
    """
    checked_params(params, ("dag_id", "run_id", "expires_at"))
    expires_at = parse_instant(params["expires_at"], "expires_at")
    if not now < expires_at <= now + MAX_OVERRIDE:
        raise InputError(
            "break-glass must end, within 24 hours",
            where="expires_at",
            hint=f"at most {format_instant(now + MAX_OVERRIDE)}",
        )
    names = {name: text_param(params, name) for name in ("dag_id", "run_id")}
    return {**names, "expires_at": format_instant(expires_at)}


def break_glass(tx: Transaction, params: Mapping[str, Any], acted: Acted) -> Entry:
    """Record a break-glass that two people agreed on.

    Raises:
        InputError: its end has passed meanwhile.
    """
    body = check_override(params, acted.at)
    return acted.append(tx, "override", f"{_prefix(body['dag_id'], body['run_id'])}{acted.proposal}", body)


def revoke_override(tx: Transaction, override: Entry, acted: Acted) -> Entry:
    """End a break-glass before its time; doing so again adds nothing."""
    return acted.append(tx, "override", _revocation(override.idx), {"revokes": override.idx})


def _prefix(dag_id: str, run_id: str) -> str:
    return canonical([dag_id, run_id]).decode() + "/"


def _revocation(index: int) -> str:
    return f"revoked/{index}"
