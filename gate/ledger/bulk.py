"""Appends what files hold, page by page: no object per entry, one tree head for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from gate.domain.canonical import canonical
from gate.domain.instants import format_instant
from gate.ledger import merkle
from gate.ledger.format import VERSION
from gate.ledger.lines import Line, Shape
from gate.ledger.tables import NODE_LEVEL
from gate.ledger.writing import EntryRow, Transaction

_REMEMBERED = 20_000  # references kept from page to page
_MANY = 10_000  # entries after which the database's own statistics are of another ledger


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of the lines: how many entries are new, how many stood there before, the first new one's place."""

    added: int
    known: int
    start: int


@dataclass
class _Bulk:
    """What is carried from page to page."""

    tx: Transaction
    before: str  # what stands in an entry's bytes between body and subject, and after the subject
    after: str
    size: int
    peaks: list[bytes]
    refs: dict[str, dict[str, str]] = field(default_factory=dict)  # kind -> value -> reference
    known: int = 0


def append_lines(
    tx: Transaction,
    pages: Iterable[Sequence[Line]],
    *,
    recorded_at: datetime,
    by: str,
    via: str,
    progress: Callable[[int], None] = lambda _: None,
) -> Appended:
    """Append lines in the order given; one whose entry exists adds nothing. Memory holds a page.

    The bytes are those that `gate.ledger.records` writes. What was appended before an error goes with the transaction.

    Args:
        pages: lines of one kind of entry, some thousands at a time.
        recorded_at, by, via: as for `Transaction.append`.
        progress: called with the number of lines done so far.

    Raises:
        CannotDecide: `recorded_at` is too long before the newest entry's.
    """
    bulk: _Bulk | None = None
    start = tx.size
    for page in pages:
        if bulk is None:
            said = {"by": by, "recorded_at": format_instant(tx.time_for(recorded_at)), "via": via}
            before, after = _around(page[0][2][0], said)
            bulk = _Bulk(tx, before, after, start, tx.frontier)
        _append_page(bulk, page)
        progress(bulk.size - start + bulk.known)
    if bulk is None:
        return Appended(0, 0, start)
    tx.end_batch(bulk.peaks)
    if bulk.size - start >= _MANY:
        tx.renew_statistics()
    return Appended(bulk.size - start, bulk.known, start)


def _around(kind: str, said: dict[str, str]) -> tuple[str, str]:
    """Return the canonical text around an entry's subject; see `gate.ledger.writing.entry_bytes`."""
    rest = canonical({**said, "kind": kind, "subject": "\x00", "v": VERSION}).decode()
    before, after = rest[1:].split("\\u0000")
    return "," + before, after


def _append_page(bulk: _Bulk, page: Sequence[Line]) -> None:
    tx, kind = bulk.tx, page[0][2][0]
    stated = _stated(bulk, page)
    # What mentions a reference that was made just now cannot stand there already.
    there = tx.subjects_among(kind, [subject for subject, (_, _, _, new) in stated.items() if not new])
    rows, leaves = list[EntryRow](), list[bytes]()
    before, after, idx = bulk.before, bulk.after, bulk.size
    for subject, (body, account, effective_at, _) in stated.items():
        if subject in there:
            continue
        payload = f'{{"body":{body}{before}{subject}{after}'.encode()
        leaf = sha256(b"\x00" + payload).digest()
        rows.append((idx, kind, subject, account, effective_at, payload, leaf))
        leaves.append(leaf)
        idx += 1
    completed = list[tuple[int, int, bytes]]()
    bulk.peaks = merkle.add_leaves(bulk.peaks, bulk.size, leaves, completed, NODE_LEVEL)
    tx.insert_batch(rows, completed)
    bulk.known += len(page) - len(rows)
    bulk.size = idx


_Stated = dict[str, tuple[str, str, str, bool]]
"""Subject -> body, account, effective_at, whether a reference in it was made just now; in the order of the lines."""


def _stated(bulk: _Bulk, page: Sequence[Line]) -> _Stated:
    """Fill the templates of a page, shape by shape, and put the results back in order."""
    groups: dict[Shape, list[int]] = {}
    for place, line in enumerate(page):
        groups.setdefault(line[2], []).append(place)
    columns = {shape: list(zip(*(page[place][3] for place in places), strict=True)) for shape, places in groups.items()}
    made = _commit(bulk, columns)
    found: list[tuple[str, tuple[str, str, str, bool]] | None] = [None] * len(page)
    for shape, places in groups.items():
        _, template, holes, lead = shape
        filled = [
            column if hole is None else list(map(bulk.refs[hole].__getitem__, column))
            for hole, column in zip(holes, columns[shape], strict=True)
        ]
        for place, texts in zip(places, zip(*filled, strict=True), strict=True):
            body = template % texts
            subject = "sha256:" + sha256(body.encode()).hexdigest()
            if lead >= 0:
                subject = f"{texts[lead]}/{subject}"
            found[place] = subject, (body, texts[0], texts[1], not made.isdisjoint(texts))
    stated: _Stated = {}
    for item in found:
        if item is not None:
            stated.setdefault(*item)
    return stated


def _commit(bulk: _Bulk, columns: dict[Shape, list[tuple[str, ...]]]) -> set[str]:
    """Have a reference for every value of the page; return those that were made for it."""
    wanted: dict[str, set[str]] = {}
    for shape, texts in columns.items():
        for hole, column in zip(shape[2], texts, strict=True):
            if hole is not None:
                wanted.setdefault(hole, set()).update(column)
    made = set[str]()
    for kind, values in sorted(wanted.items()):
        refs = bulk.refs.setdefault(kind, {})
        missing = sorted(values.difference(refs))
        if len(refs) + len(missing) > _REMEMBERED:
            refs = bulk.refs[kind] = {value: refs[value] for value in values if value in refs}
        found, new = bulk.tx.stand_ins(kind, missing)
        refs |= found
        refs |= new
        made.update(new.values())
    return made
