"""Appends to the ledger: entries in batches with one tree head each, references, attachments, outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Insert, Table, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from gate.domain.canonical import Json, canonical, sha256_hex
from gate.domain.instants import format_instant, utc_now
from gate.errors import CannotDecide
from gate.ledger import merkle, tables
from gate.ledger.format import KINDS, VERSION, make_ref, opening_bytes, value_digest
from gate.ledger.queries import Question
from gate.ledger.reading import Entry, Reader, TreeHead, chunks
from gate.ledger.rows import insert_rows, looked_up

HASH_SIZE = 32  # bytes
CLOCK = "clock"  # the one kind that may be recorded earlier than the entry before it
CLOCK_SKEW = timedelta(seconds=30)  # how far two machines' clocks may be apart


EntryRow = tuple[int, str, str, str | None, str | None, bytes, bytes]
"""The columns of `Entry`, in its order."""


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry that asks to be appended.

    Attributes:
        subject: unique within the kind; `None` means the digest of the body.
        body: JSON-ready, without personal values: references stand in their place.
        by: `service:NAME`, or a person's reference; never a name.
    """

    kind: str
    subject: str | None
    body: Mapping[str, Any]
    recorded_at: datetime
    by: str
    via: str


def entry_bytes(new: NewEntry) -> tuple[str, bytes]:
    """Return subject and canonical bytes of an entry.

    Raises:
        InputError: the body has no canonical form.
        ValueError: an unknown kind.
    """
    if new.kind not in KINDS:
        raise ValueError(f"{new.kind!r} is not a kind of entry")
    body = canonical(new.body)
    subject = sha256_hex(body) if new.subject is None else new.subject
    rest = canonical(
        {
            "by": new.by,
            "kind": new.kind,
            "recorded_at": format_instant(new.recorded_at),
            "subject": subject,
            "v": VERSION,
            "via": new.via,
        }
    )
    # "body" sorts first, so this is canonical() of the whole, without walking the body twice.
    return subject, b'{"body":' + body + b"," + rest[1:]


def insert_into(connection: Connection, table: Table) -> Any:
    """Return the dialect's own INSERT, which knows ON CONFLICT."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def in_order(now: datetime, until: datetime) -> datetime:
    """Return `now`, or `until` when our clock is a little behind it.

    Raises:
        CannotDecide: it is behind by more than `CLOCK_SKEW`.
    """
    if until - now > CLOCK_SKEW:
        raise CannotDecide(
            f"this machine's clock is behind the ledger, whose newest entry was recorded at {format_instant(until)}",
            where="clock",
            hint="set the clock right and try again; if it is right, see `gate ledger accept-clock --help`",
            reason="cannot_decide",
        )
    return max(now, until)


class Transaction(Reader):
    """The one writer's view: reads see what it appended; all of it is kept, or none."""

    def __init__(self, connection: Connection, salt: Callable[[], bytes]) -> None:
        super().__init__(connection)
        self._salt = salt
        self._peaks = self._read_peaks()
        self._until: datetime | None = None
        self._last: EntryRow | None = None
        self._absent = set[tuple[str, str]]()  # looked for and not there: nobody else can have added it since

    def find(self, kind: str, subject: str) -> Entry | None:
        """Return the one entry of this kind and subject."""
        found = super().find(kind, subject)
        if found is None:
            self._absent.add((kind, subject))
        return found

    def ask(self, *questions: Question) -> list[list[Entry]]:
        """Answer several questions with one statement: per question its entries, in the log's order."""
        answers = super().ask(*questions)
        for question, answer in zip(questions, answers, strict=True):
            kind, subject = question.kind, question.subject
            if not answer and isinstance(kind, str) and subject is not None and question.start is None:
                self._absent.add((kind, subject))
        return answers

    def append(
        self,
        kind: str,
        subject: str,
        body: Mapping[str, Any],
        *,
        recorded_at: datetime,
        by: str,
        via: str,
        account_ref: str | None = None,
        effective_at: str | None = None,
    ) -> tuple[Entry, bool]:
        """Append one entry; `NewEntry` tells what the arguments mean.

        Columns are derived from the body; `account_ref` and `effective_at`, if given, must stand in it.

        Returns:
            The entry, and whether it is new: an entry of this kind and subject that exists is left untouched.

        Raises:
            InputError: the body has no canonical form.
            CannotDecide: `recorded_at` is too long before the newest entry's.
            ValueError: an unknown kind, or a column that contradicts the body.
        """
        for name, value in (("account_ref", account_ref), ("effective_at", effective_at)):
            if value is not None and body.get(name) != value:
                raise ValueError(f"{name} must stand in the body: columns are derived from the bytes")
        return self.append_many([NewEntry(kind, subject, body, recorded_at, by, via)])[0]

    def append_many(self, entries: Iterable[NewEntry]) -> list[tuple[Entry, bool]]:
        """Append entries in one batch with one tree head.

        Returns:
            Per given entry the stored one, and whether it is new.

        Raises:
            InputError: a body has no canonical form.
            CannotDecide: `recorded_at` is too long before the newest entry's; a little is rounded up to it.
            ValueError: an unknown kind.
        """
        prepared = [(new, *entry_bytes(new)) for new in entries]
        known = self._known((new.kind, subject) for new, subject, _ in prepared)
        peaks, completed = list(self._peaks), list[tuple[int, int, bytes]]()
        results, added = list[tuple[Entry, bool]](), list[Entry]()
        for new, subject, payload in prepared:
            found = known.get((new.kind, subject))
            if found is None:
                payload = self._in_order(new, payload)
                idx = self.size + len(added)
                account_ref, effective_at = new.body.get("account_ref"), new.body.get("effective_at")
                leaf = merkle.leaf_hash(payload)
                entry = Entry(idx, new.kind, subject, account_ref, effective_at, payload, leaf)
                merkle.add_leaf(peaks, idx, leaf, completed)
                added.append(entry)
                known[new.kind, subject] = entry
            results.append((found or known[new.kind, subject], found is None))
        if added:
            self._store(added, peaks, completed)
        return results

    def append_exactly(self, statements: Iterable[tuple[bytes, Mapping[str, Any]]]) -> None:
        """Append entries as they stood in a copy of this ledger; whoever calls this compares the root afterwards.

        Args:
            statements: canonical payloads, each with what it states.
        """
        peaks, completed, added = list(self._peaks), list[tuple[int, int, bytes]](), list[Entry]()
        for idx, (payload, said) in enumerate(statements, self.size):
            body, leaf = said["body"], merkle.leaf_hash(payload)
            columns = (said["kind"], said["subject"], body.get("account_ref"), body.get("effective_at"))
            added.append(Entry(idx, *columns, payload, leaf))
            merkle.add_leaf(peaks, idx, leaf, completed)
        if added:
            self._store(added, peaks, completed)
        self._until = None

    def commit_ref(self, kind: str, value: Json) -> str:
        """Return the reference that stands for a personal value; the same value always gets the same one."""
        known = self.ref(kind, value)
        return known or self._open_new(kind, [(value, opening_bytes(kind, value))])[0]

    def commit_refs(self, kind: str, values: Iterable[str]) -> dict[str, str]:
        """Return references for many values at once."""
        found, made = self.stand_ins(kind, list(dict.fromkeys(values)))
        return found | made

    def stand_ins(self, kind: str, values: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return references for many different values: those that stood for them before, and those made just now."""
        openings = [(value, opening_bytes(kind, value)) for value in values]
        digests = [value_digest(opening) for _, opening in openings]
        known = looked_up(self.connection, tables.opening.c.value_digest, tables.opening.c.ref, digests)
        found, missing = dict[str, str](), list[tuple[Json, bytes]]()
        for item, digest in zip(openings, digests, strict=True):
            if digest in known:
                found[item[0]] = known[digest]
            else:
                missing.append(item)
        made = zip((str(value) for value, _ in missing), self._open_new(kind, missing), strict=True)
        return found, dict(made)

    def subjects_among(self, kind: str, subjects: Sequence[str]) -> set[str]:
        """Return those of many subjects whose entries are there."""
        entry = tables.entry.c
        return set(looked_up(self.connection, entry.subject, entry.idx, subjects, kind))

    @property
    def frontier(self) -> list[bytes]:
        """The roots of the complete subtrees that make up the tree, largest first."""
        return list(self._peaks)

    def insert_batch(self, rows: Sequence[EntryRow], completed: Iterable[tuple[int, int, bytes]]) -> None:
        """Insert a part of a batch: entries, with the nodes they complete; `end_batch` belongs after the last part."""
        insert_rows(self.connection, tables.entry, rows)
        insert_rows(self.connection, tables.node, list(completed))
        if rows:
            self._last = rows[-1]

    def end_batch(self, peaks: list[bytes]) -> None:
        """Write the tree head of a batch that was inserted in parts."""
        if self._last is not None and self._last[0] >= self.size:
            self._end_batch(Entry(*self._last), peaks)

    def renew_statistics(self) -> None:
        """Have PostgreSQL look at what it holds now: until autovacuum does, it plans as for the few rows there were.

        A role that may not has it passed over; what goes wrong costs speed, not the transaction.
        """
        if self.connection.dialect.name == "postgresql":
            with suppress(DBAPIError), self.connection.begin_nested():
                self.connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")  # a vacuum may hold them
                self.connection.exec_driver_sql("ANALYZE entry, opening, node")

    def attach(self, content: bytes, media_type: str) -> str:
        """Keep bytes beside the log and return their digest (`sha256:…`) for an entry to name."""
        digest = sha256_hex(content)
        row = {"digest": digest, "media_type": media_type, "content": content}
        if self.attachment(digest) is None:
            self.connection.execute(tables.attachment.insert(), row)
        return digest

    def erase(self, refs: Iterable[str]) -> int:
        """Delete the openings of references: what they stood for is gone, every proof stays valid.

        Returns:
            How many there were.
        """
        erased = 0
        for some in chunks(sorted(set(refs))):
            erased += self.connection.execute(delete(tables.opening).where(tables.opening.c.ref.in_(some))).rowcount
        return erased

    def outbox_put(self, key: str, event_json: str) -> None:
        """Leave an event for the relay; a key that is there already is not sent twice."""
        row = {"key": key, "event": event_json, "created_at": format_instant(utc_now())}
        self.connection.execute(
            insert_into(self.connection, tables.outbox).on_conflict_do_nothing(index_elements=["key"]), row
        )

    def time_for(self, recorded_at: datetime) -> datetime:
        """Return this time, or the newest entry's when that is a little later: what the next entry bears.

        Raises:
            CannotDecide: it is later by more than `CLOCK_SKEW`.
        """
        if self._until is None:
            newest = self.newest()
            self._until = newest.recorded_at if newest else recorded_at
        self._until = in_order(recorded_at, self._until)
        return self._until

    def _in_order(self, new: NewEntry, payload: bytes) -> bytes:
        """Return the entry's bytes with a time that is not earlier than the newest entry's."""
        if new.kind == CLOCK:
            self._until = new.recorded_at
            return payload
        recorded_at = self.time_for(new.recorded_at)
        return payload if recorded_at == new.recorded_at else entry_bytes(replace(new, recorded_at=recorded_at))[1]

    def _read_peaks(self) -> list[bytes]:
        packed = self._top.frontier
        return [packed[start : start + HASH_SIZE] for start in range(0, len(packed), HASH_SIZE)]

    def _known(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
        by_kind: dict[str, dict[str, None]] = {}
        for kind, subject in keys:
            if (kind, subject) not in self._absent:
                by_kind.setdefault(kind, {})[subject] = None
        return {
            (kind, subject): entry
            for kind, subjects in by_kind.items()
            for subject, entry in self._existing(kind, list(subjects)).items()
        }

    def _store(self, added: Sequence[Entry], peaks: list[bytes], completed: Sequence[tuple[int, int, bytes]]) -> None:
        self._insert_rows(tables.entry.insert(), [vars(entry) for entry in added])
        kept = [(level, pos, digest) for level, pos, digest in completed if level >= tables.NODE_LEVEL]
        self._insert_rows(tables.node.insert(), [dict(zip(("level", "pos", "hash"), row, strict=True)) for row in kept])
        self._end_batch(added[-1], peaks)

    def _end_batch(self, newest: Entry, peaks: list[bytes]) -> None:
        head = TreeHead(newest.idx + 1, merkle.root_of_peaks(peaks))
        row = {"size": head.size, "previous": self.size, "root": head.root, "frontier": b"".join(peaks)}
        self.connection.execute(tables.tree_head.insert(), row)
        self._head, self._newest, self._peaks = head, newest, peaks
        self._absent.clear()
        self._blocks.clear()

    def _open_new(self, kind: str, openings: Sequence[tuple[Json, bytes]]) -> list[str]:
        rows, start = list[tuple[str, str, str, bytes, bytes]](), len(canonical([kind]))
        for _, opening in openings:
            salt = self._salt()
            ref, value = make_ref(opening, salt), opening[start:-1].decode()  # of `["kind",value]`
            rows.append((ref, kind, value, salt, value_digest(opening)))
        insert_rows(self.connection, tables.opening, sorted(rows))  # side by side: fewer pages are touched
        return [row[0] for row in rows]

    def _insert_rows(self, insert: Insert, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            self.connection.execute(insert, rows)
