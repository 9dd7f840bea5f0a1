"""The roll-out modes: enforce, and for a while observe, which records what it would have blocked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from gate.domain.decision import Decision, Finding
from gate.domain.instants import format_instant, parse_instant
from gate.domain.words import Reason, Requirement, Verdict
from gate.errors import InputError
from gate.ledger.store import Entry, Reader, Transaction
from gate.service.acting import Acted, checked_params, text_param

MAX_OBSERVE = timedelta(days=30)

STOPS_ALWAYS = frozenset({Reason.POLICY_DENIED, Reason.UNCLASSIFIED_DATA, Reason.CANNOT_DECIDE})
"""Reasons that block in `observe` too, whatever row they come from."""


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


def observable(decision: Decision) -> bool:
    """Whether `observe` lets a run go on that `enforce` would stop.

    It does, except where a `deny` row applies or may apply to accounts in the data, and where nobody can tell whether
    one does: nothing could be looked at, or data is unclassified. Leaving data untagged must not hide a denied use.

    Args:
        decision: a block; an allow-decision has nothing to let pass.
    """
    blocking = [finding for finding in decision.findings if finding.verdict is Verdict.BLOCK]
    return decision.verdict is Verdict.BLOCK and bool(blocking) and not any(map(_stops, blocking))


def _stops(finding: Finding) -> bool:
    denied = finding.requirement is Requirement.DENY
    return denied or not finding.reasons or not STOPS_ALWAYS.isdisjoint(finding.reasons)


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
