"""The only clock of the service, held against what the ledger and its database know of the time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from gate.domain.instants import utc_now
from gate.errors import CheckFailed, InputError
from gate.ledger import clock as ledger_clock

if TYPE_CHECKING:
    from gate.ledger.store import Reader
    from gate.service.core import Service


def steady_now(clock: Callable[[], datetime], reader: Reader) -> datetime:
    """Return the instant to decide at: never earlier than the newest entry was recorded.

    Args:
        clock: the service's. Only the machine's own (`utc_now`) is compared with the database server's.
        reader: the state of the ledger the operation works on.

    Raises:
        CannotDecide: the clock is behind the ledger, or apart from the database's, by more than `CLOCK_SKEW`.
    """
    now = clock()
    if clock is utc_now:
        ledger_clock.check_against_database(reader, now)
    until = ledger_clock.recorded_until(reader)
    return now if until is None else ledger_clock.in_order(now, until)


def accept_clock(service: Service, reason: str, *, by: str, via: str) -> int:
    """Record that this machine's clock is right and the ledger's newest entries are from the future.

    The way out after a clock ran ahead: nothing is rewritten, and who decided this stays on record.

    Returns:
        The ledger index of the entry.

    Raises:
        InputError: without a reason.
        CheckFailed: the ledger is not ahead of this clock: there is nothing to accept.
        CannotDecide: the database's clock says otherwise.
    """
    from gate.service.actors import recorded_actor
    from gate.service.anchors import recording

    if not reason.strip():
        raise InputError("is missing", where="reason", hint="say what happened to the clock")
    with recording(service) as tx:
        now = service.clock()
        if service.clock is utc_now:
            ledger_clock.check_against_database(tx, now)
        until = ledger_clock.recorded_until(tx)
        if until is None or until - now <= ledger_clock.CLOCK_SKEW:
            raise CheckFailed("the ledger is not ahead of this machine's clock", where="clock")
        return ledger_clock.accept_clock(tx, now, reason, by=recorded_actor(tx, by), via=via).idx
