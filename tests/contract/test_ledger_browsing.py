"""Leafing through names and entries gives the same on every database, whatever its collation."""

from __future__ import annotations

import json

from gate.ledger.browsing import backwards, count_names, names
from gate.ledger.reading import PAGE
from support.ledgers import fresh, numbered

NAMES = [
    "Zeta",
    "acme",
    "acme-2",
    "acme.eu",
    "acme 3",
    "ärger",
    "z",
    "日本",
    "🦊",
    '"quoted"',
    "back\\slash",
    "%",
    "_",
    "a\x00b",
]


def test_names_are_ordered_alike_and_found_by_their_beginning(ledger_url: str) -> None:
    expected = sorted(NAMES, key=lambda name: json.dumps(name, ensure_ascii=False))
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            refs = tx.commit_refs("account", NAMES)
            tx.commit_ref("person", "acme-person")
        with ledger.read() as reader:
            assert [name for _, name in names(reader, "account", limit=100)] == expected
            assert count_names(reader, "account") == len(NAMES)
            for start in range(len(expected)):
                after, before = (
                    names(reader, "account", limit=3, **{side: refs[expected[start]]}) for side in ("after", "before")
                )
                assert [name for _, name in after] == expected[start + 1 : start + 4]
                assert [name for _, name in before] == expected[max(0, start - 3) : start]
            for prefix in ("acme", "a", "%", "_", '"', "\\", "back\\", "日", "🦊", "a\x00", "nobody"):
                found = [name for _, name in names(reader, "account", prefix=prefix, limit=100)]
                assert found == [name for name in expected if name.startswith(prefix)], prefix


def test_entries_come_backwards_across_pages(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            tx.append_many(numbered(0, PAGE + 10))
        with ledger.read() as reader:
            forth = [entry.idx for entry in reader.entries("tag")]
            assert [entry.idx for entry in backwards(reader, "tag")] == forth[::-1]
            assert [entry.idx for entry in backwards(reader, "tag", 5)] == [4, 3, 2, 1, 0]
            assert list(backwards(reader, "model")) == []
