"""What people leaf through: names in their order, page by page, and entries from the newest back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from sqlalchemy import LargeBinary, bindparam, collate, func, or_, select

from gate.domain.canonical import canonical
from gate.ledger import queries, tables
from gate.ledger.reading import PAGE, Entry, Reader

_LAST = "\U0010ffff"  # sorts behind everything that a text holds


def names(
    reader: Reader, kind: str, *, prefix: str = "", after: str | None = None, before: str | None = None, limit: int
) -> list[tuple[str, str]]:
    """List the texts of a kind that were not erased, as (reference, text), by code points.

    Args:
        reader: the ledger.
        kind: the kind of reference.
        prefix: only texts that begin with this.
        after, before: only texts beyond that of this reference, those next to it. An erased one limits nothing.
        limit: at most so many.
    """
    opening = tables.opening.c
    # The server's own collation may sort otherwise; SQLite has only one that sorts by bytes.
    text = collate(opening.value, "C" if reader.connection.dialect.name == "postgresql" else "BINARY")
    query = select(opening.ref, opening.value).where(opening.kind == kind)
    if prefix:
        first = canonical(prefix).decode()[:-1]  # without the closing quote
        query = query.where(text >= first, text < first + _LAST)
    if after and (known := reader.open_ref(after)):
        query = query.where(text > canonical(known).decode())
    if before and (known := reader.open_ref(before)):
        query = query.where(text < canonical(known).decode())
    query = query.order_by(text.desc() if before else text).limit(limit)
    found = [(str(ref), str(json.loads(value))) for ref, value in reader.connection.execute(query)]
    return found[::-1] if before else found


def count_names(reader: Reader, kind: str) -> int:
    """Return how many values of a kind there are that were not erased."""
    counted = select(func.count()).select_from(tables.opening).where(tables.opening.c.kind == kind)
    return reader.connection.execute(counted).scalar_one()


def backwards(reader: Reader, kind: str, stop: int | None = None) -> Iterator[Entry]:
    """Stream the entries of a kind, the newest first, with flat memory.

    Args:
        reader: the ledger.
        kind: the kind.
        stop: only those before this place.
    """
    stop = reader.size if stop is None else stop
    page = queries.some(frozenset({"kind_", "stop_"}), limit=PAGE, newest_first=True)
    while True:
        rows = reader.connection.execute(page, {"kind_": kind, "stop_": stop}).all()
        for row in rows:
            yield Entry(*row)
        if len(rows) < PAGE:
            return
        stop = rows[-1].idx


def attachments_with(reader: Reader, wanted: Sequence[bytes]) -> frozenset[str]:
    """Return the digests of the attachments that hold any of these bytes; the database looks, nothing is copied."""
    content = tables.attachment.c.content
    postgres = reader.connection.dialect.name == "postgresql"
    places = []
    for number, some in enumerate(wanted):
        given = bindparam(f"wanted_{number}", some, LargeBinary)
        places.append(func.position(given.op("IN")(content)) if postgres else func.instr(content, given))
    found = select(tables.attachment.c.digest).where(or_(*(place > 0 for place in places)))
    return frozenset(reader.connection.execute(found).scalars())
