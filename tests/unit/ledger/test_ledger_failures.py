"""What a person sees when the database cannot be used: what is wrong, where, what to do; never a password."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from gate.errors import InputError, LedgerUnavailable, TamperingFound
from gate.ledger.store import NewEntry, create_ledger, open_ledger
from support.ledgers import COMMON, check, fresh, numbered, opened, sqlite_url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private" / "ledger.db"


def test_files_belong_to_the_owner_only(path: Path) -> None:
    with fresh(sqlite_url(path)) as ledger, ledger.write() as tx:
        tx.append_many(numbered(0, 3))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_commit_is_on_disk_before_anyone_acts_on_it(path: Path) -> None:
    with fresh(sqlite_url(path)) as ledger, ledger.read() as reader:
        pragmas = {name: reader.connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}
    assert pragmas == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000, "secure_delete": 1}


def test_locked(path: Path) -> None:
    create_ledger(sqlite_url(path))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with opened(sqlite_url(path), wait=0.1) as ledger:
        with pytest.raises(LedgerUnavailable, match=r"locked by another process.*try again"), ledger.write():
            pass
        with ledger.read() as reader:
            assert reader.size == 0
        other.close()
        with ledger.write() as tx:
            tx.append_many(numbered(0, 1))


def test_full(path: Path) -> None:
    with fresh(sqlite_url(path)) as ledger:
        with ledger.write() as tx:
            tx.append_many(numbered(0, 10))
        event.listen(ledger.engine, "checkout", lambda raw, *_: raw.execute("PRAGMA max_page_count = 60"))
        with pytest.raises(LedgerUnavailable, match=r"no space left.*free disk space"), ledger.write() as tx:
            tx.append("tag", "big", {"text": "x" * 1_000_000}, **COMMON)
    assert (check(sqlite_url(path)).size, check(sqlite_url(path)).ok) == (10, True)


def test_a_disk_that_stops_taking_bytes(path: Path) -> None:
    """A real write error, in a process whose files may not grow."""
    create_ledger(sqlite_url(path))
    grow = (
        "import resource, sys; sys.path[:0] = sys.argv[2:]\n"
        "from support.ledgers import COMMON, opened\n"
        "from gate.errors import LedgerUnavailable\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "try:\n"
        "    with opened(sys.argv[1]) as ledger, ledger.write() as tx:\n"
        "        tx.append('tag', 'big', {'text': 'x' * 1_000_000}, **COMMON)\n"
        "except LedgerUnavailable as error:\n"
        "    print(error)\n"
    )
    said = run_python(grow, sqlite_url(path))
    assert "cannot be opened or written" in said
    assert check(sqlite_url(path)).ok


def test_no_space_to_sort_an_import() -> None:
    """The lines of a large file are sorted on disk, in a process whose files may not grow."""
    sort = (
        "import resource, sys; sys.path[:0] = sys.argv[1:]\n"
        "from gate.errors import LedgerUnavailable\n"
        "from gate.service.spool import Spool\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "spool = Spool(run=1000)\n"
        "try:\n"
        "    for place in range(5000):\n"
        "        spool.add(('2024', place, ('consent', '', (), -1), ('x' * 100,)))\n"
        "except LedgerUnavailable as error:\n"
        "    print(error)\n"
    )
    said = run_python(sort)
    assert "cannot be sorted on disk" in said
    assert "TMPDIR" in said


AS_NOBODY = (
    "import os, sys; sys.path[:0] = sys.argv[2:]\n"
    "from support.ledgers import check, numbered, opened, sqlite_url\n"
    "from gate.errors import LedgerUnavailable\n"
    "try:\n"
    "    check(sqlite_url(sys.argv[1]))\n"  # imports what it needs while it may
    "    os.getuid() or os.setuid(65534)\n"
    "    with opened(sqlite_url(sys.argv[1])) as ledger, ledger.write() as tx:\n"
    "        tx.append_many(numbered(3, 6))\n"
    "except LedgerUnavailable as error:\n"
    "    print(error)\n"
)


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "said"),
    [(0o444, 0o777, "may not be written"), (0o644, 0o600, "cannot be reached: Permission denied")],
)
def test_no_permission(file_mode: int, folder_mode: int, said: str) -> None:
    """Root may do everything, so this runs as somebody who may not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inner" / "ledger.db"
        Path(folder).chmod(0o755)
        with fresh(sqlite_url(path)) as ledger, ledger.write() as tx:
            tx.append_many(numbered(0, 3))
        path.chmod(file_mode)
        path.parent.chmod(folder_mode)
        answer = run_python(AS_NOBODY, str(path))
        path.parent.chmod(0o700)
        path.chmod(0o600)
        assert said in answer
        assert check(sqlite_url(path)).size == 3


def run_python(code: str, *arguments: str) -> str:
    root = Path(__file__).parents[3]
    paths = [str(root), str(root / "tests")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, *paths], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("content", "said"), [(b"not a database at all" * 99, "not a ledger database"), (b"", "gate db upgrade")]
)
def test_some_other_file(path: Path, content: bytes, said: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(LedgerUnavailable, match=said):
        open_ledger(sqlite_url(path))


def test_a_damaged_file(path: Path) -> None:
    with fresh(sqlite_url(path)) as ledger, ledger.write() as tx:
        tx.append_many(numbered(0, 500))
    content = bytearray(path.read_bytes())
    content[12 * 4096 :] = os.urandom(len(content) - 12 * 4096)
    path.write_bytes(content)
    with pytest.raises(LedgerUnavailable, match=r"is damaged.*backup"):
        check(sqlite_url(path))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LedgerUnavailable, match="cannot be created"):
        create_ledger(sqlite_url(tmp_path / "file" / "ledger.db"))


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////tmp/x.db?mode=memory",
        "sqlite:///file:x?mode=memory&uri=true",
        "mysql://gate:s3cret@host/gate",
        "s3cret",
        "postgresql://gate:s3cret@host:port/gate",
    ],
)
@pytest.mark.parametrize("act", [open_ledger, create_ledger])
def test_urls_we_cannot_use(url: str, act: Callable[[str], object]) -> None:
    with pytest.raises(InputError, match="database URL") as caught:
        act(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("act", [open_ledger, create_ledger])
def test_an_unreachable_server(act: Callable[[str], object]) -> None:
    with pytest.raises(LedgerUnavailable, match="check GATE_DATABASE_URL") as caught:
        act("postgresql://gate:s3cret@127.0.0.1:1/gate?application_name=s3cret")
    assert str(caught.value).startswith("postgresql://127.0.0.1:1/gate: ")
    assert "s3cret" not in str(caught.value.to_dict())
    assert caught.value.__suppress_context__


def test_parameters_never_show(path: Path) -> None:
    """SQLAlchemy would print the row, personal values included."""
    with fresh(sqlite_url(path)) as ledger:
        with pytest.raises(TamperingFound) as caught, ledger.write() as tx:  # noqa: PT012  needs the open transaction
            tx.commit_ref("person", "ada@example.org")
            tx.connection.exec_driver_sql("CREATE UNIQUE INDEX one ON opening (kind)")
            tx.commit_ref("person", "eve@example.org")
        assert "example.org" not in str(caught.value)
        assert ledger.engine.hide_parameters


def test_a_ledger_that_lost_its_name_never_gets_another(path: Path) -> None:
    with fresh(sqlite_url(path)) as ledger, ledger.write() as tx:
        tx.append_many(numbered(0, 1))
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM meta")
    raw.close()
    create_ledger(sqlite_url(path))
    with pytest.raises(TamperingFound, match=r"name is gone.*backup"):
        check(sqlite_url(path))


def test_entry_bytes_must_be_exact(path: Path) -> None:
    with fresh(sqlite_url(path)) as ledger:
        for body in ({"x": 1.5}, {"x": 2**53}, {"ключ": 1}, {"x": "\ud800"}, {"x": b"bytes"}):
            with pytest.raises(InputError), ledger.write() as tx:
                tx.append_many([NewEntry("tag", "s", body, **COMMON)])
