"""Keeps recorded times in order: no entry is recorded earlier than the newest one, whatever a machine's clock says."""

from __future__ import annotations

from datetime import datetime, timedelta

from gate.domain.instants import format_instant
from gate.errors import CannotDecide
from gate.ledger.reading import Entry, Reader
from gate.ledger.records import TEXT
from gate.ledger.writing import CLOCK, CLOCK_SKEW, Transaction, in_order

__all__ = ["CLOCK", "CLOCK_SKEW", "accept_clock", "check_against_database", "in_order", "recorded_until"]


def recorded_until(reader: Reader) -> datetime | None:
    """Return when the newest entry was recorded: time has come at least that far. `None` when there is none."""
    newest = reader.newest()
    return newest.recorded_at if newest else None


def check_against_database(reader: Reader, now: datetime) -> None:
    """Compare our clock with that of the database server; SQLite has none of its own.

    Raises:
        CannotDecide: they differ by more than `CLOCK_SKEW`.
    """
    theirs = reader.server_time()
    if theirs is None:
        return
    apart = abs(now - theirs)
    if apart > CLOCK_SKEW:
        raise CannotDecide(
            f"this machine's clock and the database's are {_shown(apart)} apart",
            where="clock",
            hint="set both by the same time server, then try again",
            reason="cannot_decide",
        )


def accept_clock(tx: Transaction, now: datetime, reason: str, *, by: str, via: str) -> Entry:
    """Record that time is `now` although the newest entry is from later: a clock that ran ahead was set right.

    From here on entries are recorded in order again, from `now`. What was recorded ahead of time stays as it is.
    """
    newest = tx.newest()
    body = {
        "ahead_until": newest and format_instant(newest.recorded_at),
        "entries": tx.size,
        "reason_ref": tx.commit_ref(TEXT, reason),
    }
    return tx.append(CLOCK, str(tx.size), body, recorded_at=now, by=by, via=via)[0]


def _shown(apart: timedelta) -> str:
    return str(timedelta(seconds=round(apart.total_seconds())))
