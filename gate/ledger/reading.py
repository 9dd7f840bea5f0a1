"""Reads one consistent state of the ledger: entries, references, attachments, tree and proofs."""

from __future__ import annotations

import heapq
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, select, tuple_

from gate.domain.canonical import Json
from gate.domain.instants import parse_instant
from gate.errors import InputError, LedgerUnavailable, TamperingFound
from gate.ledger import merkle, queries, tables
from gate.ledger.format import opening_bytes, value_digest
from gate.ledger.queries import Question

PAGE = 2000  # rows per query when streaming
_SHARED = 65_536  # nodes of the tree that many proofs share, kept while these are made

_T = TypeVar("_T")


class TreeHead(NamedTuple):
    """The state of the log: how many entries, and their 32-byte Merkle root."""

    size: int
    root: bytes


@dataclass(frozen=True)
class Entry:
    """One entry of the log.

    Attributes:
        idx: place in the log, from 0, gap-free.
        subject: unique within its kind.
        account_ref, effective_at: the body's fields of these names, if it has them.
        payload: the canonical bytes that the leaf hash covers.
        leaf_hash: 32 bytes.
    """

    idx: int
    kind: str
    subject: str
    account_ref: str | None
    effective_at: str | None
    payload: bytes
    leaf_hash: bytes

    @cached_property
    def _statement(self) -> dict[str, Any]:
        try:
            statement: dict[str, Any] = json.loads(self.payload)
        except (ValueError, TypeError):
            raise TamperingFound(
                "cannot be read", where=f"ledger entry {self.idx}", hint="gate ledger verify"
            ) from None
        return statement

    @cached_property
    def body(self) -> dict[str, Any]:
        """What the entry states."""
        body: dict[str, Any] = self._statement["body"]
        return body

    @property
    def recorded_at(self) -> datetime:
        """When it was recorded, by the recorder's clock."""
        return parse_instant(self._statement["recorded_at"])

    @property
    def by(self) -> str:
        """Who recorded it: a service, or a person's reference."""
        return str(self._statement["by"])

    @property
    def via(self) -> str:
        """How it came in, such as `cli`, `api`, `ui` or `import`."""
        return str(self._statement["via"])


class _Top(NamedTuple):
    """What one look at the end of the log tells."""

    head: TreeHead
    frontier: bytes
    origin: str | None
    clock: datetime | None  # the database server's; SQLite has none
    newest: Entry | None
    at: float  # monotonic seconds when we looked


def chunks(items: Sequence[_T], size: int = PAGE) -> Iterator[Sequence[_T]]:
    """Yield `items` in slices."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Reader:
    """One consistent state of the ledger, for as long as its context is open.

    `connection` is for this room only.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._blocks: dict[int, list[bytes]] = {}

    @cached_property
    def _top(self) -> _Top:
        found = self.connection.execute(queries.top(self.connection.dialect.name)).one()
        origin, clock, size, root, frontier, *newest = found
        head = TreeHead(0, merkle.EMPTY_ROOT) if size is None else TreeHead(size, root)
        entry = None if newest[0] is None else _entry(newest)
        return _Top(head, frontier or b"", origin, clock, entry, monotonic())

    @cached_property
    def _head(self) -> TreeHead:
        return self._top.head

    @cached_property
    def _newest(self) -> Entry | None:
        return self._top.newest

    @cached_property
    def origin(self) -> str:
        """The ledger's own name, made when it was created.

        Raises:
            TamperingFound: it was taken away.
        """
        if self._top.origin is None:
            raise TamperingFound("the ledger's name is gone", hint="restore the database from a backup")
        return self._top.origin

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self._head.size

    def head(self) -> TreeHead:
        """Return size and root of the log."""
        return self._head

    def entry(self, idx: int) -> Entry:
        """Return the entry at a place.

        Raises:
            InputError: there is none.
        """
        found = self.connection.execute(queries.ENTRY, {"idx_": idx}).one_or_none()
        if found is None:
            raise InputError(f"the ledger has no entry {idx}", hint=f"it holds {self.size}, counted from 0")
        return _entry(found)

    def newest(self) -> Entry | None:
        """Return the newest entry of all."""
        if self._newest is None and self.size:
            raise TamperingFound("the newest entry is gone", where="ledger", hint="gate ledger verify")
        return self._newest

    def server_time(self) -> datetime | None:
        """Return what the database server's clock shows now; `None` where it has none of its own."""
        told = self._top.clock
        return None if told is None else told.astimezone(UTC) + timedelta(seconds=monotonic() - self._top.at)

    def ask(self, *questions: Question) -> list[list[Entry]]:
        """Answer several questions with one statement: per question its entries, in the log's order."""
        if not questions:
            return []
        statement, wanted = queries.together(questions)
        answers: list[list[Entry]] = [[] for _ in questions]
        for number, *row in self.connection.execute(statement, wanted):
            answers[number].append(_entry(row))
        return [sorted(answer, key=_place) for answer in answers]

    def had(self, head: TreeHead) -> bool:
        """Whether the log once ended with this very head: what is here now then continues it."""
        return self.connection.execute(queries.ROOT, {"size_": head.size}).scalar() == head.root

    def last_subject(self, kind: str, before: str) -> Entry | None:
        """Return, of the entries of a kind whose subject sorts before a text, the one with the greatest subject."""
        found = self.connection.execute(queries.LAST_SUBJECT, {"kind_": kind, "before_": before}).one_or_none()
        return None if found is None else _entry(found)

    def entries(
        self,
        kind: str | Collection[str] | None = None,
        account_ref: str | None = None,
        subject: str | None = None,
        subject_prefix: str | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[Entry]:
        """Stream entries in the log's order, with flat memory.

        Args:
            kind: one kind, several, or all.
            account_ref: only those about this account.
            subject: only the one with this subject.
            subject_prefix: only those whose subject begins with this; few enough to be read at once.
            start: first place.
            stop: place after the last.
        """
        if kind is not None and not isinstance(kind, str):
            # One stream per kind keeps every page an index range; a single IN would sort all rows per page.
            streams = [self.entries(k, account_ref, subject, subject_prefix, start, stop) for k in sorted(set(kind))]
            yield from heapq.merge(*streams, key=_place)
            return
        if subject_prefix:
            wanted = _conditions(kind, account_ref, subject, stop) | ({"start_": start} if start else {})
            yield from self._beginning_with(subject_prefix, wanted)
            return
        wanted = _conditions(kind, account_ref, subject, stop) | {"start_": start}
        page = queries.some(frozenset(wanted), limit=PAGE)
        while True:
            rows = self.connection.execute(page, wanted | {"start_": start}).all()
            yield from map(_entry, rows)
            if len(rows) < PAGE:
                return
            start = rows[-1].idx + 1

    def entries_by_account(self) -> Iterator[list[Entry]]:
        """Stream all entries about accounts, one list per account, each in the log's order, with flat memory."""
        entry = tables.entry
        order = (entry.c.account_ref, entry.c.kind, entry.c.idx)
        after, waiting = ("", "", -1), list[Entry]()
        while True:
            page = select(entry).where(tuple_(*order) > after).order_by(*order).limit(PAGE)
            found = [_entry(row) for row in self.connection.execute(page)]
            for item in found:
                if waiting and item.account_ref != waiting[0].account_ref:
                    yield sorted(waiting, key=_place)
                    waiting = []
                waiting.append(item)
            if len(found) < PAGE:
                break
            after = (str(found[-1].account_ref), found[-1].kind, found[-1].idx)
        if waiting:
            yield sorted(waiting, key=_place)

    def find(self, kind: str, subject: str) -> Entry | None:
        """Return the one entry of this kind and subject."""
        return self._existing(kind, [subject]).get(subject)

    def latest(self, kind: str, subject_prefix: str | None = None, known_at: int | None = None) -> Entry | None:
        """Return the newest entry of a kind.

        Args:
            kind: the kind.
            subject_prefix: only entries whose subject begins with this.
            known_at: as the ledger was when it held this many entries.
        """
        if subject_prefix:
            return max(self.entries(kind, None, None, subject_prefix, 0, known_at), key=_place, default=None)
        wanted = _conditions(kind, stop=known_at)
        newest = queries.some(frozenset(wanted), limit=1, newest_first=True)
        found = self.connection.execute(newest, wanted).one_or_none()
        return None if found is None else _entry(found)

    def ref(self, kind: str, value: Json) -> str | None:
        """Return the reference that stands for a value, unless it is unknown or erased."""
        digest = value_digest(opening_bytes(kind, value))
        return self.connection.execute(queries.REF, {"digest_": digest}).scalar()

    def open_ref(self, ref: str) -> Any:
        """Return the value a reference stands for; `None` when it was erased."""
        return self.open_refs([ref]).get(ref)

    def open_refs(self, refs: Iterable[str]) -> dict[str, Any]:
        """Return the values references stand for; erased ones are left out."""
        opening, opened = tables.opening.c, {}
        for some in chunks(sorted(set(refs))):
            found = self.connection.execute(select(opening.ref, opening.value).where(opening.ref.in_(some)))
            opened.update({ref: json.loads(value) for ref, value in found})
        return opened

    def erased(self) -> int:
        """Return how many openings were deleted so far: what was copied from the ledger before may be erased by now."""
        return int(self.connection.execute(queries.ERASED).scalar() or 0)

    def attachment(self, digest: str) -> bytes | None:
        """Return an attachment's bytes by their digest (`sha256:…`); `None` when unknown or erased."""
        return self.connection.execute(queries.ATTACHMENT, {"digest_": digest}).scalar()

    def root_at(self, size: int) -> bytes:
        """Return the root the log had when it held `size` entries.

        Raises:
            InputError: it never held so many.
        """
        self._check_size(size)
        return self._head.root if size == self.size else merkle.root_at(size, self._node)

    def inclusion_proof(self, idx: int, size: int) -> list[bytes]:
        """Return the hashes that show entry `idx` in the log of `size` entries (RFC 9162 section 2.1.3).

        Raises:
            InputError: no such entry, or no such size.
        """
        self._check_size(size)
        if not 0 <= idx < size:
            raise InputError(f"there is no entry {idx} among the first {size}", hint="entries are counted from 0")
        return merkle.inclusion_proof(idx, size, self._node)

    def inclusion_proofs(self, indices: Iterable[int], size: int) -> Iterator[list[bytes]]:
        """Yield the proof of each of many entries; what they share is read once. In order they are fastest.

        Raises:
            InputError: as `inclusion_proof`.
        """
        self._check_size(size)
        node = lru_cache(maxsize=_SHARED)(self._node)
        for idx in indices:
            if not 0 <= idx < size:
                raise InputError(f"there is no entry {idx} among the first {size}", hint="entries are counted from 0")
            yield merkle.inclusion_proof(idx, size, node)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Return the hashes that show the log of `old` entries as a prefix of that of `new` (section 2.1.4).

        Raises:
            InputError: no such sizes, or `old` is larger.
        """
        self._check_size(new)
        if not 0 <= old <= new:
            raise InputError(f"a log of {old} entries is no prefix of one of {new}", hint="give the older size first")
        return merkle.consistency_proof(old, new, self._node)

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self.size:
            raise InputError(f"the ledger never held {size} entries", hint=f"it holds {self.size}")

    def _node(self, level: int, pos: int) -> bytes:
        if level >= tables.NODE_LEVEL:
            found = self.connection.execute(queries.NODE, {"level_": level, "pos_": pos}).scalar()
            if found is None:
                raise LedgerUnavailable(f"the tree lacks its node {level}/{pos}", hint="gate ledger verify")
            return bytes(found)
        first = pos << level
        block = first >> tables.NODE_LEVEL
        offset = first - (block << tables.NODE_LEVEL)
        return merkle.subtree_root(self._block(block)[offset : offset + (1 << level)])

    def _block(self, block: int) -> list[bytes]:
        """Return the up to 256 leaf hashes below one kept node; a proof touches two such blocks at most."""
        if block not in self._blocks:
            start = block << tables.NODE_LEVEL
            within = {"start_": start, "stop_": start + (1 << tables.NODE_LEVEL)}
            self._blocks = dict(list(self._blocks.items())[-3:])
            self._blocks[block] = list(self.connection.execute(queries.LEAVES, within).scalars())
        return self._blocks[block]

    def _beginning_with(self, prefix: str, wanted: dict[str, Any]) -> list[Entry]:
        """Read the few entries of one person, dataset or model at once; ordering by place is left to Python."""
        wanted |= queries.beginning_with(prefix)
        rows = self.connection.execute(queries.some(frozenset(wanted)), wanted)
        return sorted(map(_entry, rows), key=_place)

    def _existing(self, kind: str, subjects: Sequence[str]) -> dict[str, Entry]:
        entry, found = tables.entry, {}
        if len(subjects) == 1:
            row = self.connection.execute(queries.FIND, {"kind_": kind, "subject_": subjects[0]}).one_or_none()
            return {} if row is None else {row.subject: _entry(row)}
        for some in chunks(subjects):
            rows = self.connection.execute(select(entry).where(entry.c.kind == kind, entry.c.subject.in_(some)))
            found.update({row.subject: _entry(row) for row in rows})
        return found


def _place(entry: Entry) -> int:
    return entry.idx


def _entry(row: Sequence[Any]) -> Entry:
    return Entry(*row)


def _conditions(
    kind: str | None, account_ref: str | None = None, subject: str | None = None, stop: int | None = None
) -> dict[str, Any]:
    given = {"kind_": kind, "account_": account_ref, "subject_": subject, "stop_": stop}
    return {name: value for name, value in given.items() if value is not None}
