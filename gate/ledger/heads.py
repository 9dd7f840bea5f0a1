"""Finds the recorded tree heads of the past: one for every batch that was appended."""

from __future__ import annotations

from sqlalchemy import select

from gate.errors import TamperingFound
from gate.ledger import tables
from gate.ledger.reading import Reader


def head_covering(reader: Reader, idx: int) -> int:
    """Return the size of the first tree head that covers an entry: the one its own batch wrote.

    Raises:
        TamperingFound: there is none.
    """
    sizes = tables.tree_head.c.size
    found = reader.connection.execute(select(sizes).where(sizes > idx).order_by(sizes).limit(1)).scalar()
    if found is None:
        raise TamperingFound(f"no tree head covers entry {idx}", where="ledger", hint="gate ledger verify")
    return int(found)
