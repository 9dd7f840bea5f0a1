"""Who could speak for an account: a pure reading of the directory's appointments (design.md section 5)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gate.domain.consent import Appointment, ConsentEvent
from gate.domain.words import ADMIN_ROLES, Action, Authority


def authority(
    event: ConsentEvent,
    *,
    index: int,
    recorded_at: datetime,
    live: bool,
    appointments: Iterable[Appointment],
) -> Authority:
    """Say whether the event's principal was owner or admin of its account.

    A grant needs an appointment the ledger already held (lower index) that stood at `effective_at`, and for a
    live recording also at `recorded_at`; a removal counts whenever it was recorded, so a late directory feed
    cannot lend authority. A refusal or withdrawal counts if the person was admin at either time.

    Args:
        event: the consent event.
        index: its place in the ledger.
        recorded_at: when it was recorded.
        live: recorded through API, UI or command line rather than imported.
        appointments: those of the principal, in any account, as known.
    """
    held = [a for a in appointments if a.person_id == event.principal.id]
    here = [a for a in held if a.account_id == event.account_id]
    if event.action is Action.GRANT:
        known = [a for a in here if a.action == "remove" or a.index < index]
        moments = [event.effective_at, recorded_at] if live else [event.effective_at]
        stands = all(_is_admin(known, moment) for moment in moments)
    else:
        stands = _is_admin(here, event.effective_at) or _is_admin(here, recorded_at)
    if stands:
        return Authority.ADMIN
    elsewhere = {a.account_id for a in held} - {event.account_id}
    if any(_is_admin([a for a in held if a.account_id == other], event.effective_at) for other in elsewhere):
        return Authority.WRONG_ACCOUNT
    return Authority.NOT_ADMIN


def claimed_authority(event: ConsentEvent, account_id: str) -> Authority:
    """Take the principal's own claim as fact: only for `policy test`, which has no ledger."""
    if event.account_id != account_id:
        return Authority.WRONG_ACCOUNT
    return Authority.ADMIN if event.principal.role in ADMIN_ROLES else Authority.NOT_ADMIN


def admins_at(appointments: Iterable[Appointment], at: datetime) -> dict[str, Appointment]:
    """Return who was owner or admin of an account at an instant, by person, with the appointment that says so.

    Args:
        appointments: those of one account, as known.
        at: the instant.
    """
    by_person: dict[str, list[Appointment]] = {}
    for appointment in appointments:
        by_person.setdefault(appointment.person_id, []).append(appointment)
    return {
        person: max((a for a in held if a.effective_at <= at), key=_order)
        for person, held in by_person.items()
        if _is_admin(held, at)
    }


def _is_admin(appointments: list[Appointment], at: datetime) -> bool:
    past = sorted((a for a in appointments if a.effective_at <= at), key=_order)
    return bool(past) and past[-1].action == "appoint"


def _order(appointment: Appointment) -> tuple[datetime, str, int]:
    # At equal times the removal wins: "appoint" sorts before "remove".
    return appointment.effective_at, appointment.action, appointment.index
