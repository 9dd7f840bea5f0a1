"""Verification: what the bytes of one entry must be, progress, and how much is reported."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gate.domain.canonical import canonical
from gate.errors import TamperingFound
from gate.ledger import records
from gate.ledger.merkle import leaf_hash
from gate.ledger.verify import entry_problems, verify
from gate.ledger.writing import NewEntry, entry_bytes
from support.ledgers import COMMON, check, consent, fresh, numbered, opened, sqlite_url

_, PAYLOAD = entry_bytes(NewEntry("consent", "s", {"account_ref": "r"}, **COMMON))
COLUMNS = ("consent", "s", "r", None, leaf_hash(PAYLOAD))


def altered(**changes: Any) -> bytes:
    return canonical({**json.loads(PAYLOAD), **changes})


def test_an_entry_as_it_was_written_is_fine() -> None:
    assert entry_problems(PAYLOAD, COLUMNS) == (json.loads(PAYLOAD), [])


@pytest.mark.parametrize("column", range(5))
def test_every_column_must_follow_from_the_payload(column: int) -> None:
    for wrong in ("x", b"x", 7):
        changed = [*COLUMNS]
        changed[column] = wrong
        assert len(entry_problems(PAYLOAD, changed)[1]) == 1


@pytest.mark.parametrize(
    "payload",
    [
        None,
        7,
        PAYLOAD.decode(),
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff",
        PAYLOAD.decode().encode("utf-16"),
        PAYLOAD + b" ",
        PAYLOAD.replace(b":", b": ", 1),
        PAYLOAD.replace(b'{"body"', b'{"v":1,"body"'),
        PAYLOAD.replace(b'"v":1', b'"v":1.0'),
        PAYLOAD.replace(b'"v":1', b'"v":NaN'),
        b"[" * 100_000,
        altered(v=2),
        altered(v=True),
        altered(body=[]),
        altered(kind="gossip"),
        altered(kind=["consent"]),
        altered(subject=None),
        altered(by=7),
        altered(recorded_at="yesterday"),
        altered(recorded_at=7),
        altered(recorded_at="2024-06-01T14:00:00+02:00"),
        altered(more=1),
        canonical({"v": 1}),
    ],
)
def test_what_is_not_an_entry_is_found_without_a_traceback(payload: object) -> None:
    statement, problems = entry_problems(payload, COLUMNS)
    assert statement is None
    assert len(problems) == 1


def test_progress_counts_up_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with fresh(sqlite_url(tmp_path / "l.db")) as ledger:
        with ledger.write() as tx:
            tx.append_many(numbered(0, 4500))
        with ledger.read() as reader:
            verify(reader, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2000, 4500), (4000, 4500), (4500, 4500)]


def test_an_empty_ledger_is_fine(tmp_path: Path) -> None:
    with fresh(sqlite_url(tmp_path / "l.db")):
        report = check(sqlite_url(tmp_path / "l.db"))
    assert (report.ok, report.size, report.findings) == (True, 0, ())


def test_findings_are_counted_beyond_those_shown(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with fresh(sqlite_url(path)) as ledger, ledger.write() as tx:
        tx.append_many(numbered(0, 300))
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER entry_no_update")
        raw.execute("UPDATE entry SET leaf_hash = x'00'")
    raw.close()
    report = check(sqlite_url(path))
    assert (report.contradictions, len(report.findings), report.ok) == (300, 100, False)
    assert (report.findings[7].where, report.findings[7].what) == ("entry 7", "leaf_hash is not what the payload says")


def test_a_missing_index_cannot_hide_a_double(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with fresh(sqlite_url(path)) as ledger, ledger.write() as tx:
        tx.append_many(numbered(0, 2))
    with sqlite3.connect(path) as raw:
        raw.executescript("DROP INDEX entry_subject; DROP TRIGGER entry_no_replace")
        raw.execute(
            "INSERT INTO entry SELECT 2, kind, subject, NULL, NULL, payload, leaf_hash FROM entry WHERE idx = 1"
        )
    raw.close()
    said = [finding.what for finding in check(sqlite_url(path)).findings]
    assert said == [
        "the newest speaks of 2 entries, there are 3",
        "two entries have the same kind and subject",
    ]


def test_an_unreadable_entry_is_said_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with fresh(sqlite_url(path)) as ledger, ledger.write() as tx:
        tx.append_many(numbered(0, 2))
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER entry_no_update")
        raw.execute("UPDATE entry SET payload = x'7b' WHERE idx = 1")
    raw.close()
    with opened(sqlite_url(path)) as ledger, ledger.read() as reader, pytest.raises(TamperingFound, match="entry 1"):
        assert reader.entry(1).body


ALIKE = 60  # consents that differ in references and times only; the first was read, the others are recognised
ALTERED = {
    "UPDATE entry SET account_ref = (SELECT account_ref FROM entry WHERE idx = 9) WHERE idx = 40": (
        ("entry 40", "account_ref is not what the payload says"),
    ),
    "UPDATE entry SET effective_at = '2024-01-10T00:00:01Z' WHERE idx = 40": (
        ("entry 40", "effective_at is not what the payload says"),
    ),
    "UPDATE entry SET subject = replace(subject, 'a', 'b') WHERE idx = 40": (
        ("entry 40", "subject is not what the payload says"),
    ),
    "UPDATE entry SET kind = 'profile' WHERE idx = 40": (("entry 40", "kind is not what the payload says"),),
    "UPDATE entry SET leaf_hash = zeroblob(32) WHERE idx = 40": (
        ("entry 40", "leaf_hash is not what the payload says"),
    ),
    "UPDATE entry SET payload = CAST(replace(CAST(payload AS TEXT), 'grant', 'renew') AS BLOB) WHERE idx = 40": (
        ("entry 40", "leaf_hash is not what the payload says"),
        ("tree head 60", "root is not what the entries give"),
    ),
    "UPDATE entry SET payload = CAST(upper(CAST(payload AS TEXT)) AS BLOB) WHERE idx = 40": (
        ("entry 40", "the payload is not a canonical entry"),
        ("tree head 60", "root is not what the entries give"),
    ),
    "DELETE FROM entry WHERE idx = 40": (
        ("entry 41", "stands where entry 40 should"),
        ("tree head 60", "there are not as many entries"),
    ),
}


@pytest.mark.parametrize("change", ALTERED)
def test_what_is_altered_among_entries_that_are_alike(tmp_path: Path, change: str) -> None:
    path = tmp_path / "l.db"
    with fresh(sqlite_url(path)) as ledger, ledger.write() as tx:
        records.record_consents(tx, [consent(f"account {number}") for number in range(ALIKE)], **COMMON)
    assert check(sqlite_url(path)).ok
    with sqlite3.connect(path) as raw:
        raw.executescript("DROP TRIGGER entry_no_update; DROP TRIGGER entry_no_delete")
        raw.execute(change)
    raw.close()
    said = {(finding.where, finding.what) for finding in check(sqlite_url(path)).findings}
    assert said.issuperset(ALTERED[change]), said


def test_erased_openings_of_entries_that_are_alike_are_counted(tmp_path: Path) -> None:
    with fresh(sqlite_url(tmp_path / "l.db")) as ledger, ledger.write() as tx:
        records.record_consents(tx, [consent(f"account {number}") for number in range(ALIKE)], **COMMON)
        gone = [tx.ref("account", "account 7"), tx.ref("account", "account 50"), tx.ref("person", "ada")]
        assert tx.erase(ref for ref in gone if ref) == 3
    report = check(sqlite_url(tmp_path / "l.db"))
    assert (report.ok, report.erased) == (True, 2 + ALIKE)
