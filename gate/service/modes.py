"""The roll-out modes: enforce, and for a while observe, which records what it would have blocked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from gate.domain.decision import Decision, Finding, Use
from gate.domain.instants import format_instant, parse_instant
from gate.domain.words import Reason, Requirement, Verdict
from gate.errors import InputError
from gate.ledger.store import Entry, Reader, Transaction
from gate.policy.rows import Policy, Row, fold
from gate.service.acting import Acted, checked_params, text_param

MAX_OBSERVE = timedelta(days=30)


class Mode(StrEnum):
    """What a block does."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True)
class ModeState:
    """The mode in force.

    Attributes:
        since_index: ledger index of the entry it rests on; `None` while there has never been one.
        since: when it began; `None` while there has never been an entry.
        until: when `observe` ends by itself; `None` for `enforce`.
    """

    mode: Mode
    since_index: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "mode": self.mode.value,
            "since_index": self.since_index,
            "since": self.since and format_instant(self.since),
            "until": self.until and format_instant(self.until),
        }


def current_mode(reader: Reader, now: datetime) -> ModeState:
    """Return the mode at `now`: `enforce`, unless the newest entry says `observe` and its time is not over."""
    entry = reader.latest("mode")
    if entry is None:
        return ModeState(Mode.ENFORCE)
    since, body = entry.recorded_at, entry.body
    if body["mode"] != Mode.OBSERVE:
        return ModeState(Mode.ENFORCE, entry.idx, since)
    until = parse_instant(body["until"])
    if since <= now < until:  # a clock set back before it began ends it too
        return ModeState(Mode.OBSERVE, entry.idx, since, until)
    return ModeState(Mode.ENFORCE, entry.idx, until if now >= until else since)


def observable(decision: Decision, policy: Policy) -> bool:
    """Whether `observe` lets a run go on that `enforce` would stop.

    It does, except where a `deny` row applies or may apply to accounts in the data, where nothing could be looked at,
    and where data is unclassified and the policy denies this use to some category whoever the account is: leaving data
    untagged must not hide a denied use.

    Args:
        decision: a block; an allow-decision has nothing to let pass.
        policy: the policy it was made under.
    """
    blocking = [finding for finding in decision.findings if finding.verdict is Verdict.BLOCK]
    if decision.verdict is not Verdict.BLOCK or not blocking or any(map(_stops, blocking)):
        return False
    unclassified = any(Reason.UNCLASSIFIED_DATA in finding.reasons for finding in blocking)
    return not (unclassified and _denied_whoever(policy, decision.use, decision.decided_at))


def _stops(finding: Finding) -> bool:
    denied = finding.requirement is Requirement.DENY or Reason.POLICY_DENIED in finding.reasons
    return denied or not finding.reasons or Reason.CANNOT_DECIDE in finding.reasons


def _denied_whoever(policy: Policy, use: Use, now: datetime) -> bool:
    feature = None if use.feature is None else fold(use.feature)
    return any(row.requirement is Requirement.DENY and _is_about(row, use, feature, now) for row in policy.rows)


def _is_about(row: Row, use: Use, feature: str | None, now: datetime) -> bool:
    whoever = row.region_set is None and row.segment_set is None and row.terms is None
    return (
        whoever
        and row.in_effect(now)
        and (row.purposes is None or use.purpose in row.purposes)
        and (row.ownership is None or use.ownership in row.ownership)
        and (row.feature_set is None or feature in row.feature_set)
    )


def check_mode(params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the parameters of a change of mode as they are recorded.

    Args:
        params: `mode`, and for `observe` also `until`, at most 30 days ahead.

    Raises:
        InputError: not so.
    """
    checked_params(params, ("mode",), ("until",))
    try:
        mode = Mode(text_param(params, "mode"))
    except ValueError:
        raise InputError("is not a mode", where="mode", hint="one of: " + ", ".join(Mode)) from None
    if mode is Mode.ENFORCE:
        if params.get("until") is not None:
            raise InputError("enforce has no end", where="until")
        return {"mode": mode.value, "until": None}
    until = parse_instant(params.get("until"), "until")
    if not now < until <= now + MAX_OBSERVE:
        raise InputError(
            "observe must end, within 30 days", where="until", hint=f"at most {format_instant(now + MAX_OBSERVE)}"
        )
    return {"mode": mode.value, "until": format_instant(until)}


def change_mode(tx: Transaction, params: Mapping[str, Any], acted: Acted) -> Entry:
    """Record a new mode: the effect of a change that two people agreed on.

    Raises:
        InputError: its end has passed meanwhile.
    """
    body = check_mode(params, acted.at)
    return acted.append(tx, "mode", f"{body['mode']}/{acted.proposal}", body)
