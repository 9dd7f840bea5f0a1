"""Many references at once: looked up before the one writer has to wait, and good for as long as nothing is erased."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gate.ledger import tables
from gate.ledger.format import opening_bytes, value_digest
from gate.ledger.reading import Reader
from gate.ledger.rows import looked_up
from gate.ledger.writing import Transaction


@dataclass(frozen=True, slots=True)
class Known:
    """References as they stood at one state of the ledger.

    Attributes:
        refs: by value; of values that nothing stood for there is none.
        erased: how many openings had been deleted by then.
    """

    refs: Mapping[str, str]
    erased: int


def known_refs(reader: Reader, kind: str, values: Collection[str]) -> Known:
    """Return the references that stand for many different values."""
    digests = {value_digest(opening_bytes(kind, value)): value for value in values}
    found = looked_up(reader.connection, tables.opening.c.value_digest, tables.opening.c.ref, list(digests))
    return Known({digests[digest]: ref for digest, ref in found.items()}, reader.erased())


def commit_refs(tx: Transaction, kind: str, values: Collection[str], known: Known) -> dict[str, str]:
    """Return references for many different values: those known, unless anything was erased since, and new ones."""
    there = known.refs if tx.erased() == known.erased else {}
    missing = [value for value in values if value not in there]
    return {value: there[value] for value in values if value in there} | tx.commit_refs(kind, missing)
