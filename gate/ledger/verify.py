"""Checks the whole ledger against itself and against a checkpoint kept elsewhere; reads everything, trusts nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from sqlalchemy import Engine, Table, func, literal_column, select, text

from gate.domain.canonical import sha256_hex
from gate.ledger import merkle, tables
from gate.ledger.checkpoints import Note
from gate.ledger.format import make_ref, opens, refs_in, statement_of, value_digest
from gate.ledger.reading import PAGE, Reader
from gate.ledger.recognising import PERSON_BY, Recogniser
from gate.ledger.records import ACCOUNT, PERSON, TEXT
from gate.ledger.rows import plain_rows, present

_SHOWN = 100  # findings kept; the rest is only counted
_ATTACHED = {"policy_activation": "digest", "decision": "accounts"}  # body fields that name an attachment
_REMEMBERED = 50_000  # references that were looked for and found
_PLAIN = re.compile('"[ !#-\\[\\]-~]*"')  # JSON text without anything that is escaped
_WORDS = frozenset({ACCOUNT, PERSON, TEXT})

Progress = Callable[[int, int], None]
Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One thing that is not as it was written: where, and what."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification saw.

    Attributes:
        origin, size, root: the state that was checked; the root is computed from the entries.
        findings: the first 100 contradictions; any means tampering (or a broken disk).
        contradictions: how many in all.
        erased: mentions of openings and attachments that are gone: erasure, not tampering.
    """

    origin: str
    size: int
    root: bytes
    findings: tuple[Contradiction, ...]
    contradictions: int
    erased: int

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts."""
        return not self.contradictions


@dataclass
class _Walk:
    """What one pass over the entries carries along."""

    reader: Reader
    findings: list[Contradiction] = field(default_factory=list)
    contradictions: int = 0
    size: int = 0
    peaks: list[bytes] = field(default_factory=list)
    nodes: int = 0
    erased: int = 0
    vouched: int = 0  # entries whose bytes a checkpoint covers; if they are others, its root tells
    forms: Recogniser = field(default_factory=Recogniser)
    there: set[str] = field(default_factory=set)  # references of which we know that their openings are there

    def report(self, where: str, what: str) -> None:
        self.contradictions += 1
        if len(self.findings) < _SHOWN:
            self.findings.append(Contradiction(where, what))


def verify(
    reader: Reader, *, checkpoint: Note | None = None, since: bool = False, progress: Progress | None = None
) -> VerifyReport:
    """Check every row of the ledger, with flat memory.

    Args:
        reader: the ledger.
        checkpoint: a note kept elsewhere, its signature already verified; without one, cutting off the newest
            entries together with their tree heads cannot be seen.
        since: the checkpoint vouches for the bytes of the entries it covers: they are hashed, and held against their
            columns, but their form is not checked again, nor is counted what was erased of them.
        progress: called with entries done and entries in all.

    Returns:
        What was found; the caller raises `TamperingFound` unless it is `ok`.

    Raises:
        LedgerUnavailable: the database cannot be read.
        TamperingFound: it holds text that cannot be read at all.
    """
    walk = _Walk(reader)
    walk.vouched = checkpoint.size if checkpoint is not None and since else 0
    with _checked_database(walk):
        _check_entries(walk, checkpoint, progress)
        _check_unique(walk)
        _check_openings(walk)
        _check_attachments(walk)
    root = merkle.root_of_peaks(walk.peaks)
    return VerifyReport(reader.origin, walk.size, root, tuple(walk.findings), walk.contradictions, walk.erased)


def entry_problems(payload: object, columns: Row) -> tuple[dict[str, Any] | None, list[str]]:
    """Check the bytes of one entry and the columns derived from them.

    Args:
        payload: the stored bytes.
        columns: kind, subject, account_ref, effective_at, leaf_hash as stored.

    Returns:
        The statement (`None` if the bytes cannot be read), and what is wrong.
    """
    if not isinstance(payload, bytes):
        return None, ["the payload is not bytes"]
    statement = statement_of(payload)
    if statement is None:
        return None, ["the payload is not a canonical entry"]
    return statement, _wrong_columns(statement, payload, columns)


def _vouched_problems(payload: object, columns: Row) -> tuple[None, list[str]]:
    """Check the columns of an entry whose bytes a checkpoint covers."""
    try:
        statement = json.loads(payload)  # type: ignore[arg-type]  # whatever the database gives
        return None, _wrong_columns(statement, payload, columns)  # type: ignore[arg-type]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None, ["the payload is not an entry"]


def _wrong_columns(statement: dict[str, Any], payload: bytes, columns: Row) -> list[str]:
    body = statement["body"]
    derived = (statement["kind"], statement["subject"], body.get("account_ref"), body.get("effective_at"))
    names = ("kind", "subject", "account_ref", "effective_at", "leaf_hash")
    expected = (*derived, merkle.leaf_hash(payload))
    wrong = [name for name, is_, should in zip(names, columns, expected, strict=True) if is_ != should]
    return [f"{name} is not what the payload says" for name in wrong]


@contextmanager
def _checked_database(walk: _Walk) -> Iterator[None]:
    """Let SQLite compare its indices with its tables meanwhile: an index that hides a row hides a withdrawal."""
    connection = walk.reader.connection
    if connection.dialect.name != "sqlite":
        yield
        return
    with ThreadPoolExecutor(1) as pool:  # SQLite works without the interpreter's lock
        said = pool.submit(_integrity, connection.engine)
        yield
        if said.result() != "ok":
            walk.report("database", "SQLite finds the file inconsistent")


def _integrity(engine: Engine) -> object:
    with engine.connect() as connection:
        return connection.execute(text("PRAGMA integrity_check(1)")).scalar()


def _check_entries(walk: _Walk, checkpoint: Note | None, progress: Progress | None) -> None:
    """Go through all entries, stopping wherever a tree head or the checkpoint speaks of what was before."""
    reader, heads = walk.reader, _heads(walk)
    total = max(reader.size, 1)
    _check_checkpoint(walk, checkpoint)
    head, previous = next(heads, None), 0
    for page in _pages(reader, tables.entry, "idx"):
        leaves, refs = list[bytes](), list[str]()
        start, completed = walk.size, list[tuple[int, int, bytes]]()
        for row in page:
            leaves.append(_check_entry(walk, row, refs))
            walk.size += 1
            stop = checkpoint is not None and checkpoint.size == walk.size
            if stop or (head is not None and head[0] == walk.size):
                walk.peaks = merkle.add_leaves(walk.peaks, start, leaves, completed, tables.NODE_LEVEL)
                start, leaves = walk.size, []
                _check_checkpoint(walk, checkpoint)
            while head is not None and head[0] == walk.size:
                previous = _check_head(walk, head, previous)
                head = next(heads, None)
        walk.peaks = merkle.add_leaves(walk.peaks, start, leaves, completed, tables.NODE_LEVEL)
        _check_nodes(walk, completed)
        _check_mentioned(walk, refs)
        if progress:
            progress(walk.size, max(total, walk.size))
    _check_ends(walk, head, previous, checkpoint)


def _check_entry(walk: _Walk, row: Row, refs: list[str]) -> bytes:
    """Check one row, add the references it mentions, and return the hash that its bytes give."""
    idx, kind, subject, account_ref, effective_at, payload, leaf = row
    if not isinstance(payload, bytes):
        walk.report(f"entry {idx}", "the payload is not bytes")
        hashed = merkle.EMPTY_ROOT
    else:
        hashed = sha256(b"\x00" + payload).digest()
        seen = walk.forms.recognise(payload)
        if seen is None or (kind, subject, account_ref, effective_at) != seen[0] or leaf != hashed:
            _read_entry(walk, row, refs)
        elif walk.size >= walk.vouched:
            refs += seen[1]
    if idx != walk.size:
        walk.report(f"entry {idx}", f"stands where entry {walk.size} should")
    return hashed


def _read_entry(walk: _Walk, row: Row, refs: list[str]) -> None:
    """Check an entry that looks like none before it, or that does not fit its columns."""
    idx, *columns, payload, leaf = row
    check = _vouched_problems if walk.size < walk.vouched else entry_problems
    statement, problems = check(payload, (*columns, leaf))
    for problem in problems:
        walk.report(f"entry {idx}", problem)
    if statement is not None:
        attached = _ATTACHED.get(statement["kind"])
        if attached is None and statement["kind"] != "genesis":
            walk.forms.learn(payload)
        _check_mentions(walk, statement, refs)


def _check_head(walk: _Walk, head: Row, previous: int) -> int:
    size, before, root, frontier = head
    expected = (previous, merkle.root_of_peaks(walk.peaks), b"".join(walk.peaks))
    for name, is_, should in zip(("previous", "root", "frontier"), (before, root, frontier), expected, strict=True):
        if is_ != should:
            walk.report(f"tree head {size}", f"{name} is not what the entries give")
    return int(size)


def _check_ends(walk: _Walk, head: Row | None, previous: int, checkpoint: Note | None) -> None:
    """Compare what is left when the entries have ended: heads, nodes, the checkpoint."""
    if head is not None:
        walk.report(f"tree head {head[0]}", "there are not as many entries")
    elif previous != walk.size:
        walk.report("tree heads", f"the newest speaks of {previous} entries, there are {walk.size}")
    stored = walk.reader.connection.execute(select(func.count()).select_from(tables.node)).scalar()
    if stored != walk.nodes:
        walk.report("nodes", f"{stored} are stored, the entries give {walk.nodes}")
    if checkpoint is not None and checkpoint.size > walk.size:
        walk.report("checkpoint", f"it saw {checkpoint.size} entries, there are {walk.size}: the newest were removed")


def _check_checkpoint(walk: _Walk, checkpoint: Note | None) -> None:
    if checkpoint is None or checkpoint.size != walk.size:
        return
    if checkpoint.origin != walk.reader.origin:
        walk.report("checkpoint", "it is of another ledger")
    if checkpoint.root != merkle.root_of_peaks(walk.peaks):
        walk.report("checkpoint", f"the first {checkpoint.size} entries are not those it saw")


def _check_nodes(walk: _Walk, completed: Sequence[tuple[int, int, bytes]]) -> None:
    walk.nodes += len(completed)
    for level in sorted({level for level, _, _ in completed}):
        expected = {pos: digest for at, pos, digest in completed if at == level}
        raw = select(*_raw("pos", "hash")).select_from(tables.node)
        within = tables.node.c.pos.between(min(expected), max(expected))
        rows = walk.reader.connection.execute(raw.where(tables.node.c.level == level, within))
        stored = {pos: digest for pos, digest in rows}  # noqa: C416  rows are no tuples to the type checker
        for pos, digest in expected.items():
            if stored.get(pos) != digest:
                walk.report(f"node {level}/{pos}", "is missing or not what the entries give")


def _check_mentions(walk: _Walk, statement: dict[str, Any], refs: list[str]) -> None:
    """Add the references an entry mentions, look for its attachment; check that genesis names this ledger."""
    body, by = statement["body"], statement["by"]
    refs.extend(refs_in(body))
    if by.startswith(PERSON_BY):
        refs.append(by.removeprefix(PERSON_BY))
    named = body.get(_ATTACHED.get(statement["kind"], ""))
    if isinstance(named, str):
        walk.erased += not present(walk.reader.connection, tables.attachment.c.digest, {named})
    if statement["kind"] == "genesis" and body.get("origin", walk.reader.origin) != walk.reader.origin:
        walk.report("origin", "the first entry names another ledger")


def _check_mentioned(walk: _Walk, refs: list[str]) -> None:
    """Count the mentions of references whose openings are gone."""
    unknown = set(refs).difference(walk.there)
    gone = unknown.difference(present(walk.reader.connection, tables.opening.c.ref, unknown))
    if gone:
        walk.erased += sum(ref in gone for ref in refs)
    if len(walk.there) > _REMEMBERED:
        walk.there.clear()
    walk.there |= unknown - gone


def _check_unique(walk: _Walk) -> None:
    entry = tables.entry.c
    twice = select(entry.kind).group_by(entry.kind, entry.subject).having(func.count() > 1).limit(1)
    if walk.reader.connection.execute(twice).first():
        walk.report("entries", "two entries have the same kind and subject")


def _check_openings(walk: _Walk) -> None:
    for page in _pages(walk.reader, tables.opening, "ref"):
        for ref, kind, value, salt, digest in page:
            if digest is None or _digest_of(ref, kind, value, salt) != digest:
                walk.report(f"opening {str(ref)[:12]}", "does not belong to its reference")


def _digest_of(ref: object, kind: object, value: object, salt: object) -> bytes | None:
    """As `opens`; text that needs no escaping is canonical as it stands."""
    if type(value) is str and kind in _WORDS and type(salt) is bytes and _PLAIN.fullmatch(value):
        opening = f'["{kind}",{value}]'.encode()
        return value_digest(opening) if make_ref(opening, salt) == ref else None
    return opens(ref, kind, value, salt)


def _check_attachments(walk: _Walk) -> None:
    for page in _pages(walk.reader, tables.attachment, "digest", size=8):
        for digest, _, content in page:
            if not isinstance(content, bytes) or sha256_hex(content) != digest:
                walk.report(f"attachment {str(digest)[:19]}", "does not belong to its digest")


def _heads(walk: _Walk) -> Iterator[Row]:
    """Stream tree heads; one that could not stand before the first entry is reported and passed over."""
    for page in _pages(walk.reader, tables.tree_head, "size"):
        for head in page:
            if head[0] > 0:
                yield head
            else:
                walk.report(f"tree head {head[0]}", "speaks of no entries")


def _pages(reader: Reader, table: Table, key: str, size: int = PAGE) -> Iterator[Sequence[Row]]:
    """Stream a table by its key, values as the database gives them: no type is taken for granted."""
    names, order = [column.name for column in table.columns], table.c[key]
    query = select(*_raw(*names)).select_from(table).order_by(order).limit(size)
    page = plain_rows(reader.connection, query)
    while page:
        yield page
        last = page[-1][names.index(key)]
        page = plain_rows(reader.connection, query.where(order > last)) if len(page) == size else []


def _raw(*names: str) -> list[Any]:
    return [literal_column(name) for name in names]
