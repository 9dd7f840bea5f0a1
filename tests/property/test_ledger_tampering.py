"""Whoever owns the database file can change it; verification must find every change."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.domain.words import Ownership
from gate.errors import TamperingFound
from gate.ledger import records
from gate.ledger.checkpoints import Note
from support.ledgers import COMMON, check, fill, fresh, numbered, sqlite_url

ENTRIES = 530  # two kept nodes, and some leaves beyond them
COLUMNS = {
    "entry": ("idx", "kind", "subject", "account_ref", "effective_at", "payload", "leaf_hash"),
    "node": ("level", "pos", "hash"),
    "tree_head": ("size", "previous", "root", "frontier"),
    "opening": ("ref", "kind", "value", "salt", "value_digest"),
    "attachment": ("digest", "content"),
}

tampering = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "ledger.db"
    with fresh(sqlite_url(path)) as ledger, ledger.write() as tx:
        tx.append("genesis", tx.origin, {"origin": tx.origin}, **COMMON)
        fill(tx)
        for start, stop in ((0, 200), (200, 201), (201, 400), (400, 500), (500, ENTRIES)):
            tx.append_many(numbered(start, stop))
    assert check(sqlite_url(path)).ok
    return path


def tampered(original: Path, change: Callable[[sqlite3.Connection], object]) -> str:
    """Return the URL of a copy without triggers on which `change` was made."""
    copy = original.with_name("copy.db")
    for leftover in copy.parent.glob("copy.db*"):
        leftover.unlink()
    shutil.copy(original, copy)
    connection = sqlite3.connect(copy)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    change(connection)
    connection.commit()
    connection.close()
    return sqlite_url(copy)


def found(url: str, checkpoint: Note | None = None) -> bool:
    try:
        return not check(url, checkpoint=checkpoint).ok
    except TamperingFound:
        return True


def rows(original: Path, table: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(original)
    listed = connection.execute(f"SELECT rowid, * FROM {table} ORDER BY 1").fetchall()
    connection.close()
    return listed


def test_dropping_the_triggers_alone_changes_nothing_recorded(original: Path) -> None:
    assert not found(tampered(original, lambda _: None))


@tampering
@given(st.data())
def test_any_value_of_any_row(original: Path, data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(sorted(COLUMNS)))
    column = data.draw(st.sampled_from(COLUMNS[table]))
    row = data.draw(st.sampled_from(rows(original, table)))
    names = ("rowid", *all_columns(original, table))
    old = row[names.index(column)]
    new = data.draw(other_than(old))

    def change(connection: sqlite3.Connection) -> None:
        done = connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE rowid = ?", (new, row[0]))
        changed.append(done.rowcount)  # none where another row has that key already

    changed: list[int] = []
    if column in ("idx", "size"):  # the rowid itself: only whole numbers fit
        new = data.draw(st.integers(-3, 2 * ENTRIES).filter(lambda n: n not in {r[0] for r in rows(original, table)}))
    assert found(tampered(original, change)) or changed == [0], (table, column, old, new)


def all_columns(original: Path, table: str) -> list[str]:
    connection = sqlite3.connect(original)
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    connection.close()
    return names


def other_than(old: object) -> st.SearchStrategy[object]:
    """Values near the old one and values of other types."""
    near: list[st.SearchStrategy[object]] = [
        st.text("abc0 é\x00", max_size=5),
        st.binary(max_size=5),
        st.integers(-9, 9),
    ]
    if isinstance(old, bytes):
        near.append(st.sampled_from([old[:-1], old + b" ", bytes([old[0] ^ 1]) + old[1:], old.hex(), b""]))
        near.append(st.just(old.decode("latin-1")))
    elif isinstance(old, str):
        near.append(st.sampled_from([old.upper() + "!", old + " ", old[1:], old.encode()]))
    elif isinstance(old, int):
        near.append(st.sampled_from([old + 1, old - 1, -old - 1, str(old) + "x"]))
    return st.one_of(near).filter(lambda new: (type(new), new) != (type(old), old) and not equal_number(new, old))


def equal_number(new: object, old: object) -> bool:
    """SQLite stores '7' in an INTEGER column, and 7 in a TEXT column, as what it had."""
    return str(new) == str(old) if isinstance(new, int | str) and isinstance(old, int | str) else False


@tampering
@given(st.data())
def test_any_row_removed(original: Path, data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(["entry", "node", "tree_head"]))
    rowid = data.draw(st.sampled_from(rows(original, table)))[0]
    assert found(tampered(original, lambda c: c.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))))


@tampering
@given(st.integers(0, ENTRIES), st.integers(1, ENTRIES))
def test_any_two_entries_swapped(original: Path, first: int, distance: int) -> None:
    total = len(rows(original, "entry"))
    one, other = first, (first + distance) % total

    def swap(connection: sqlite3.Connection) -> None:
        for new, old in ((-1, one), (one, other), (other, -1)):
            connection.execute("UPDATE entry SET idx = ? WHERE idx = ?", (new, old))

    if one != other:
        assert found(tampered(original, swap))


@tampering
@given(st.data())
def test_a_removed_entry_with_the_rest_moved_up(original: Path, data: st.DataObject) -> None:
    gone = data.draw(st.integers(0, ENTRIES))

    def close_the_gap(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM entry WHERE idx = ?", (gone,))
        connection.execute("UPDATE entry SET idx = -idx WHERE idx > ?", (gone,))
        connection.execute("UPDATE entry SET idx = -idx - 1 WHERE idx < 0")

    assert found(tampered(original, close_the_gap))


def test_an_added_row_anywhere(original: Path) -> None:
    for statement in (
        "INSERT INTO node SELECT 8, 2, hash FROM node WHERE level = 8 AND pos = 0",
        "INSERT INTO tree_head SELECT 2, 1, root, frontier FROM tree_head WHERE size > 5 LIMIT 1",
        "INSERT INTO tree_head SELECT 0, 0, root, frontier FROM tree_head LIMIT 1",
        "INSERT INTO tree_head SELECT size + 9, size, root, frontier FROM tree_head ORDER BY size DESC LIMIT 1",
        "INSERT INTO entry SELECT max(idx) + 1, kind, 'x', account_ref, effective_at, payload, leaf_hash FROM entry",
        "INSERT INTO entry SELECT -1, kind, 'x', NULL, NULL, payload, leaf_hash FROM entry WHERE idx = 0",
        "INSERT INTO opening SELECT 'f' || substr(ref, 2) || 'x', kind, value, salt, x'00' FROM opening LIMIT 1",
        "UPDATE meta SET value = 'consent-gate.ledger/other' WHERE key = 'origin'",
    ):
        assert found(tampered(original, lambda c, s=statement: c.execute(s))), statement


def test_text_that_is_not_utf8(original: Path) -> None:
    assert found(
        tampered(original, lambda c: c.execute("UPDATE entry SET subject = CAST(x'ff' AS TEXT) WHERE idx = 3"))
    )


def test_an_index_that_hides_a_row(original: Path) -> None:
    """The table is right, the index lies: a query by account would not see the withdrawal."""

    def hide(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA writable_schema = ON")
        sql = "SELECT sql FROM sqlite_master WHERE name = 'entry_account'"
        honest = connection.execute(sql).fetchone()[0]
        partial = honest + " WHERE account_ref IS NULL"
        connection.execute("DROP INDEX entry_account")
        connection.execute(partial)
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'entry_account'", (honest,))

    assert found(tampered(original, hide))


def test_a_rewritten_history_is_found_by_the_checkpoint(original: Path, tmp_path: Path) -> None:
    """Everything made anew, consistent in itself: only what others kept can tell."""
    with fresh(sqlite_url(tmp_path / "anew.db")) as ledger, ledger.write() as tx:
        tx.append_many(numbered(1, 50))
    kept = state_of(original)
    anew = sqlite_url(tmp_path / "anew.db")
    assert not found(anew)
    report = check(anew, checkpoint=kept)
    assert not report.ok
    assert "removed" in report.findings[-1].what
    with fresh(anew) as ledger, ledger.write() as tx:
        tx.append_many(numbered(50, 600))
    assert {f.what for f in check(anew, checkpoint=kept).findings} == {
        "it is of another ledger",
        f"the first {kept.size} entries are not those it saw",
    }


def state_of(original: Path) -> Note:
    report = check(sqlite_url(original))
    return Note(report.origin, report.size, report.root)


@tampering
@given(st.data())
def test_truncation_is_found_by_the_checkpoint(original: Path, data: st.DataObject) -> None:
    kept = state_of(original)
    sizes = [row[0] for row in rows(original, "tree_head")]
    cut = data.draw(st.sampled_from(sizes[:-1]))

    def truncate(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM entry WHERE idx >= ?", (cut,))
        connection.execute("DELETE FROM tree_head WHERE size > ?", (cut,))
        connection.execute("DELETE FROM node WHERE ((pos + 1) << level) > ?", (cut,))

    url = tampered(original, truncate)
    assert not found(url), "consistent in itself"
    assert found(url, kept)
    older = Note(kept.origin, int(str(cut)), check(url).root)
    assert not found(url, older)
    assert not found(sqlite_url(original), older)


def test_erasing_openings_and_attachments_is_no_tampering(original: Path) -> None:
    url = tampered(original, lambda c: c.executescript("DELETE FROM opening; DELETE FROM attachment"))
    report = check(url)
    assert report.ok
    assert report.erased == 15


def test_appending_over_a_forged_head_is_refused(original: Path) -> None:
    """A writer meets the contradiction itself, and adds nothing to it."""
    url = tampered(original, lambda c: c.execute("DELETE FROM tree_head WHERE size > 300"))
    with fresh(url) as ledger, pytest.raises(TamperingFound, match="gate ledger verify"), ledger.write() as tx:
        records.record_model(tx, "m", Ownership.FIRST_PARTY, ["*"], "e", **COMMON)
