"""Whoever rewrites what a checkpoint covers is found, also when the ledger is rewritten as a whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gate.domain.canonical import canonical
from gate.ledger import merkle
from gate.ledger.checkpoints import Note
from gate.ledger.store import Ledger
from gate.ledger.verify import VerifyReport, verify
from support.ledgers import COMMON, fresh, numbered, opened, sqlite_url

ENTRIES, COVERED = 530, 300
TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger'"

rewriting = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def grow(ledger: Ledger, other: int | None = None) -> Note:
    """Fill a ledger, entry `other` with other words; return the checkpoint of its first 300 entries."""
    entries = numbered(1, ENTRIES)
    if other is not None:
        entries[other - 1] = replace(entries[other - 1], body={"number": -other})
    with ledger.write() as tx:
        tx.append("genesis", tx.origin, {"origin": tx.origin}, **COMMON)
        tx.append_many(entries[: COVERED - 1])
    with ledger.write() as tx:
        tx.append_many(entries[COVERED - 1 :])
    with ledger.read() as reader:
        return Note(reader.origin, COVERED, reader.root_at(COVERED))


def since(ledger: Ledger, note: Note | None) -> VerifyReport:
    with ledger.read() as reader:
        return verify(reader, checkpoint=note, since=True)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Note]]:
    path = tmp_path_factory.mktemp("honest") / "ledger.db"
    with fresh(sqlite_url(path)):
        pass
    shutil.copy(path, path.with_name("empty.db"))
    with opened(sqlite_url(path)) as ledger:
        note = grow(ledger)
        assert since(ledger, note).ok
        yield path, note


def test_an_honest_ledger_continues_its_checkpoint(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        note = grow(ledger)
        report = since(ledger, note)
        assert (report.ok, report.size) == (True, ENTRIES)
        assert since(ledger, Note(note.origin, ENTRIES, report.root)).ok
        assert "not those it saw" in since(ledger, note._replace(root=bytes(32))).findings[0].what
        assert "another ledger" in since(ledger, note._replace(origin="other")).findings[0].what
        assert "were removed" in since(ledger, note._replace(size=ENTRIES + 1)).findings[0].what


@rewriting
@given(other=st.integers(1, COVERED - 1))
def test_a_ledger_rewritten_as_a_whole_is_found(honest: tuple[Path, Note], other: int) -> None:
    _, note = honest
    path = honest[0].with_name("rewritten.db")
    for leftover in path.parent.glob("rewritten.db*"):
        leftover.unlink()
    shutil.copy(path.with_name("empty.db"), path)  # of the same name
    with opened(sqlite_url(path)) as ledger:
        grow(ledger, other)
        assert since(ledger, None).ok  # nothing contradicts: the same name, other words
        assert [finding.where for finding in since(ledger, note).findings] == ["checkpoint"]


@rewriting
@given(
    idx=st.integers(0, ENTRIES - 1), column=st.sampled_from(["payload", "leaf_hash", "subject", "kind", "account_ref"])
)
def test_a_changed_row_is_found_on_either_side(honest: tuple[Path, Note], idx: int, column: str) -> None:
    path, note = honest
    value = {"payload": _other(idx), "leaf_hash": bytes(32)}.get(column, f"other-{idx}")
    with opened(sqlite_url(path)) as ledger, ledger.write() as tx:
        for (name,) in tx.connection.execute(text(TRIGGERS)).all():
            tx.connection.execute(text(f"DROP TRIGGER {name}"))
        tx.connection.execute(
            text(f"UPDATE entry SET {column} = :value WHERE idx = :idx"), {"value": value, "idx": idx}
        )
        assert not verify(tx, checkpoint=note, since=True).ok
        tx.connection.rollback()


def _other(idx: int) -> bytes:
    return canonical(
        {**COMMON, "recorded_at": "2024-06-01T12:00:00Z", "kind": "tag", "subject": f"n{idx}", "v": 1, "body": {}}
    )


def test_entries_and_hash_changed_together_are_found(honest: tuple[Path, Note]) -> None:
    path, note = honest
    with opened(sqlite_url(path)) as ledger, ledger.write() as tx:
        for (name,) in tx.connection.execute(text(TRIGGERS)).all():
            tx.connection.execute(text(f"DROP TRIGGER {name}"))
        payload = json.loads(tx.entry(7).payload)
        changed = canonical({**payload, "body": {"number": 8}})
        fields = {"payload": changed, "leaf": merkle.leaf_hash(changed)}
        tx.connection.execute(text("UPDATE entry SET payload = :payload, leaf_hash = :leaf WHERE idx = 7"), fields)
        report = verify(tx, checkpoint=note, since=True)
        assert "the first 300 entries are not those it saw" in [finding.what for finding in report.findings]
        tx.connection.rollback()
