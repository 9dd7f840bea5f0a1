"""What each backend has of the events, and what it refused: the relay's memory, so that a restart forgets nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, and_, delete, func, select, update

from gate.lineage.store import delivery_tables, tables
from gate.lineage.store.database import LineageStore
from gate.lineage.store.rows import upsert

FIRST_WAIT = 1.0  # seconds after the first failure; doubled with each
LONGEST_WAIT = 300.0  # seconds
_MAX_ERROR = 500  # characters
_SECOND = 1_000_000  # microseconds

_BACKEND, _DEAD, _EVENT = delivery_tables.backend.c, delivery_tables.dead.c, tables.event.c


@dataclass(frozen=True, slots=True)
class Backend:
    """How far one backend is.

    Attributes:
        cursor: id of the last event that it has, or refused.
        attempts: failures since it last took one.
        refusals: how many of them were answers of a backend that was there.
        retry_at: before then it is left alone, in microseconds since 1970; `None`: now.
        behind: events that wait.
        dead: events it refused.
    """

    name: str
    cursor: int = 0
    attempts: int = 0
    refusals: int = 0
    retry_at: int | None = None
    last_error: str | None = None
    behind: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Dead:
    """An event that a backend refused; `at` in microseconds since 1970, `raw` the event as JSON."""

    backend: str
    event: int
    error: str
    at: int
    raw: str


def prepare(store: LineageStore) -> None:
    """Make the tables if they are not there."""
    with store.write() as connection:
        both = [delivery_tables.backend, delivery_tables.dead]
        tables.metadata.create_all(connection, tables=both)


def standing(store: LineageStore, name: str) -> Backend:
    """Return how far a backend is; one that was never heard of is at the beginning."""
    with store.read() as connection:
        row = connection.execute(select(delivery_tables.backend).where(_BACKEND.name == name)).one_or_none()
        known = Backend(*row) if row else Backend(name)
        newest = connection.execute(select(func.max(_EVENT.id))).scalar() or 0  # ids are given without gaps
        dead = connection.execute(select(func.count()).where(_DEAD.backend == name)).scalar() or 0
        return replace(known, behind=max(0, newest - known.cursor), dead=dead)


def events_after(store: LineageStore, cursor: int, limit: int) -> list[tuple[int, str]]:
    """Return events in the order in which they came: id and JSON."""
    with store.read() as connection:
        found = select(_EVENT.id, _EVENT.event).where(_EVENT.id > cursor).order_by(_EVENT.id).limit(limit)
        return [(row.id, row.event) for row in connection.execute(found)]


def moved_on(store: LineageStore, name: str, cursor: int, dead: Sequence[tuple[int, str]], now: int) -> None:
    """Note that a backend has, or refused for good, everything up to an event; it never goes back.

    Args:
        dead: id and error of what it refused.
        now: microseconds since 1970.
    """
    with store.write() as connection:
        _begun(connection, name)
        further = and_(_BACKEND.name == name, _BACKEND.cursor < cursor)
        fresh = {"cursor": cursor, "attempts": 0, "refusals": 0, "retry_at": None, "last_error": None}
        connection.execute(update(delivery_tables.backend).where(further).values(fresh))
        rows = [{"backend": name, "event": id_, "error": error[:_MAX_ERROR], "at": now} for id_, error in dead]
        upsert(connection, delivery_tables.dead, rows)


def held_back(store: LineageStore, name: str, error: str, now: int, *, refused: bool) -> None:
    """Note that a backend took nothing, and when to try again: 1, 2, 4, … 300 seconds later.

    Args:
        refused: it was there and answered.
        now: microseconds since 1970.
    """
    with store.write() as connection:
        _begun(connection, name)
        row = connection.execute(select(delivery_tables.backend).where(_BACKEND.name == name)).one()
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(row.attempts, 30))
        values = {
            "attempts": row.attempts + 1,
            "refusals": row.refusals + refused,
            "retry_at": now + int(wait * _SECOND),
            "last_error": error[:_MAX_ERROR],
        }
        connection.execute(update(delivery_tables.backend).where(_BACKEND.name == name).values(values))


def dead_letters(store: LineageStore, backend: str | None = None) -> list[Dead]:
    """Return what was refused, oldest event first."""
    rows = select(_DEAD.backend, _DEAD.event, _DEAD.error, _DEAD.at, _EVENT.event).join(
        tables.event, _EVENT.id == _DEAD.event
    )
    if backend is not None:
        rows = rows.where(_DEAD.backend == backend)
    with store.read() as connection:
        return [Dead(*row) for row in connection.execute(rows.order_by(_DEAD.event, _DEAD.backend))]


def revived(store: LineageStore, backend: str, events: Iterable[int]) -> None:
    """Note that a backend took what it had refused."""
    with store.write() as connection:
        for event in events:
            connection.execute(delete(delivery_tables.dead).where(_DEAD.backend == backend, _DEAD.event == event))


def refused_again(store: LineageStore, backend: str, event: int, error: str, now: int) -> None:
    """Note why a backend refused an event once more."""
    with store.write() as connection:
        row = and_(_DEAD.backend == backend, _DEAD.event == event)
        connection.execute(update(delivery_tables.dead).where(row).values(error=error[:_MAX_ERROR], at=now))


def _begun(connection: Connection, name: str) -> None:
    fresh = {"name": name, "cursor": 0, "attempts": 0, "refusals": 0, "retry_at": None, "last_error": None}
    upsert(connection, delivery_tables.backend, [fresh])
