"""Opens the ledger: one writer at a time, any number of readers with a consistent view, an outbox for the relay."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, Engine, delete, select, update

from gate.domain.instants import format_instant, utc_now
from gate.errors import InputError, LedgerUnavailable
from gate.ledger import database, tables
from gate.ledger.queries import Question
from gate.ledger.reading import Entry, Reader, TreeHead
from gate.ledger.writing import NewEntry, Transaction, insert_into

__all__ = [
    "Answer",
    "Entry",
    "Ledger",
    "NewEntry",
    "OutboxEvent",
    "Question",
    "Reader",
    "Transaction",
    "TreeHead",
    "create_ledger",
    "open_ledger",
    "upgrade",
]

_MAX_ERROR = 500  # characters kept of a relay's error

Salt = Callable[[], bytes]
_T = TypeVar("_T")


def random_salt() -> bytes:
    """Return 16 random bytes."""
    return secrets.token_bytes(16)


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """An event that waits to be sent: `event` is JSON text, `attempts` how often sending failed."""

    id: int
    key: str
    event: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to a request with an idempotency key, so that repeating it gets the same answer."""

    request_digest: str
    status: int
    body: bytes


class Ledger:
    """An open ledger. Usable from several threads; not across a fork."""

    def __init__(self, engine: Engine, where: str, salt: Salt, replica: Engine | None = None) -> None:
        self.engine = engine
        self._where = where
        self._salt = salt
        self._replica = replica

    def close(self) -> None:
        """Release the database."""
        self.engine.dispose()
        if self._replica is not None:
            self._replica.dispose()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open the one writing transaction; committed at the end, undone by any exception.

        Raises:
            LedgerUnavailable: locked for too long, full, read-only or unreachable.
            TamperingFound: the database refused an entry because the record contradicts itself.
        """
        with self._connected(database.writer) as connection:
            database.take_writer_lock(connection)
            yield Transaction(connection, self._salt)

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """Open a consistent view: what others append meanwhile does not show.

        Raises:
            LedgerUnavailable: unreachable, damaged or not a ledger.
        """
        with self._connected(database.reader) as connection:
            opened = Reader(connection)
            opened.head()  # the state is the one of now, not of the first question
            yield opened

    @contextmanager
    def read_since(self, head: TreeHead) -> Iterator[Reader]:
        """Open a consistent view for long reading: the read replica's, if it holds all up to this head, else our own.

        A replica that is late, of another ledger or out of reach is passed over; its view may be newer than the head.

        Args:
            head: the state to go on from, as the primary told it.

        Raises:
            LedgerUnavailable: as `read`; also when the replica breaks off on the way.
        """
        with ExitStack() as opened:
            yield self._caught_up(head, opened) or opened.enter_context(self.read())

    def _caught_up(self, head: TreeHead, opened: ExitStack) -> Reader | None:
        """Open a view of the replica that holds a head, into `opened`; `None` when there is none."""
        if self._replica is None or not head.size:
            return None
        try:
            with ExitStack() as trying:
                reader = Reader(trying.enter_context(self._connected(database.reader, self._replica)))
                if not reader.had(head):
                    return None
                opened.push(trying.pop_all())
                return reader
        except LedgerUnavailable:
            return None

    def look(self, question: Callable[[Reader], _T]) -> _T:
        """Answer a question that one statement answers, without a transaction around it.

        Each statement sees the newest state: several of them need `read`.

        Raises:
            LedgerUnavailable: as `read`.
        """
        with database.translated(self._where):
            return database.asked(self.engine, lambda connection: question(Reader(connection)))

    def pending_outbox(self, limit: int) -> list[OutboxEvent]:
        """Return events that were not sent yet: fewest failures first, then oldest."""
        box = tables.outbox.c
        waiting = select(box.id, box.key, box.event, box.attempts).where(box.sent_at.is_(None))
        with self._connected(database.reader) as connection:
            rows = connection.execute(waiting.order_by(box.attempts, box.id).limit(limit))
            return [OutboxEvent(*row) for row in rows]

    def outbox_event(self, key: str) -> str | None:
        """Return the JSON text of an event by its key, sent or not; `None` when there is none."""
        box = tables.outbox.c
        with self._connected(database.reader) as connection:
            found: str | None = connection.execute(select(box.event).where(box.key == key)).scalar()
            return found

    def mark_sent(self, ids: Iterable[int]) -> None:
        """Note that these events were accepted by the backend."""
        now = format_instant(utc_now())
        self._update_outbox(list(ids), {"sent_at": now, "last_error": None})

    def mark_failed(self, id_: int, error: str) -> None:
        """Note that sending an event failed; it stays pending."""
        self._update_outbox([id_], {"attempts": tables.outbox.c.attempts + 1, "last_error": error[:_MAX_ERROR]})

    def answered(self, key: str) -> Answer | None:
        """Return what was answered under an idempotency key, unless it is unknown or forgotten."""
        with self._connected(database.reader) as connection:
            return _answer(connection, key)

    def remember(self, key: str, request_digest: str, status: int, body: bytes) -> Answer:
        """Keep an answer under an idempotency key; of several that race, the first is kept.

        Returns:
            The answer that is kept: this one, or the one that was there before.
        """
        now = format_instant(utc_now())
        row = {"key": key, "request_digest": request_digest, "status": status, "body": body, "created_at": now}
        with self._connected(database.writer) as connection:
            insert = insert_into(connection, tables.answered)
            connection.execute(insert.on_conflict_do_nothing(index_elements=["key"]), row)
            return _answer(connection, key) or Answer(request_digest, status, body)

    def forget_answers(self, before: datetime) -> int:
        """Drop the answers kept before an instant, and say how many."""
        old = delete(tables.answered).where(tables.answered.c.created_at < format_instant(before))
        with self._connected(database.writer) as connection:
            return connection.execute(old).rowcount

    def _update_outbox(self, ids: list[int], values: dict[str, object]) -> None:
        change = update(tables.outbox).where(tables.outbox.c.id.in_(ids)).values(values)
        with self._connected(database.writer) as connection:
            connection.execute(change)

    @contextmanager
    def _connected(
        self, mode: Callable[[Connection], Connection], engine: Engine | None = None
    ) -> Iterator[Connection]:
        with database.translated(self._where):
            connection = database.begun(engine or self.engine, mode)
            transaction = connection.get_transaction()
            assert transaction is not None, "it has begun"
            with connection, transaction:
                yield connection


def create_ledger(url: str, *, salt: Salt = random_salt) -> None:
    """Create a ledger, or bring an existing one to the newest schema. Safe to repeat and to race.

    Args:
        url: `sqlite:////path/to/file.db` or `postgresql://…`; a PostgreSQL database must exist.
        salt: gives 16 random bytes (a parameter for golden tests only); names the ledger.

    Raises:
        InputError: not such a URL.
        LedgerUnavailable: the database cannot be made, reached or written.
    """
    parsed = database.parse_url(url)
    where = database.shown(parsed)
    if parsed.get_backend_name() == "sqlite":
        database.create_file(parsed)
    engine = database.make_engine(parsed, database.WAIT)
    try:
        with database.translated(where), engine.connect() as connection:
            database.use_wal(connection)
            with database.writer(connection).begin():
                database.take_writer_lock(connection)
                database.migrate(connection)
                _name(connection, salt)
    finally:
        engine.dispose()


upgrade = create_ledger  # `gate db upgrade` does both


def open_ledger(
    url: str, *, salt: Salt = random_salt, wait: float = database.WAIT, replica: str | None = None
) -> Ledger:
    """Open a ledger that exists.

    Args:
        url: as for `create_ledger`.
        salt: gives 16 random bytes per reference (a parameter for golden tests only).
        wait: seconds to wait for another writer.
        replica: URL of a PostgreSQL read replica, for `Ledger.read_since`; it need not be there.

    Raises:
        InputError: not such a URL.
        LedgerUnavailable: missing, never set up, of another schema version, or unreachable.
    """
    parsed = database.parse_url(url)
    where = database.shown(parsed)
    if parsed.get_backend_name() == "sqlite" and not database.file_exists(parsed):
        raise LedgerUnavailable("there is no ledger here", where=where, hint="gate db upgrade", reason="cannot_decide")
    second = _replica(replica, wait)
    engine = database.make_engine(parsed, wait)
    try:
        with database.translated(where), engine.connect() as connection:
            database.check_version(connection, where)
    except BaseException:
        engine.dispose()
        raise
    return Ledger(engine, where, salt, second)


def _replica(url: str | None, wait: float) -> Engine | None:
    if url is None:
        return None
    parsed = database.parse_url(url)
    if parsed.get_backend_name() != "postgresql":
        raise InputError("is not a PostgreSQL database", where="read replica's URL", hint="SQLite needs no replica")
    return database.make_engine(parsed, wait)


def _name(connection: Connection, salt: Salt) -> None:
    """Give an empty ledger its origin, once; one that holds entries never gets another."""
    key, value = tables.meta.c.key, tables.meta.c.value
    named = connection.execute(select(value).where(key == "origin")).scalar() is not None
    if not named and Reader(connection).size == 0:
        connection.execute(tables.meta.insert(), {"key": "origin", "value": f"consent-gate.ledger/{salt().hex()}"})


def _answer(connection: Connection, key: str) -> Answer | None:
    kept = tables.answered.c
    found = select(kept.request_digest, kept.status, kept.body).where(kept.key == key)
    row = connection.execute(found).one_or_none()
    return None if row is None else Answer(*row)
