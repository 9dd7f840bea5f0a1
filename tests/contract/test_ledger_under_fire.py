"""PostgreSQL restarted, killed, slow, frozen and full: nothing lost, nothing doubled, and one says what is wrong."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import psycopg
import pytest

from gate.errors import InputError, LedgerUnavailable
from gate.ledger import postgres
from gate.ledger.store import Ledger, TreeHead, create_ledger, open_ledger
from support.databases import OwnServer, own_server
from support.ledgers import COMMON, check, fresh, numbered, opened, sqlite_url

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("own_postgres")]

SPAWN = multiprocessing.get_context("spawn")
WORKERS, APPENDS = 3, 40


@pytest.fixture(scope="module")
def running() -> Iterator[OwnServer]:
    with own_server() as server:
        yield server


@pytest.fixture
def server(running: OwnServer) -> OwnServer:
    with psycopg.connect(running.url, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS ledger WITH (FORCE)")
        admin.execute("CREATE DATABASE ledger")
    return running


@pytest.fixture
def url(server: OwnServer) -> str:
    return server.url.replace("/postgres", "/ledger")


def append_come_what_may(url: str, worker: int, ready: Event) -> None:
    """Append one entry after the other; each is tried again until the ledger has said that it is there."""
    ledger = open_ledger(url)
    ready.set()
    for number in range(APPENDS):
        for _ in range(600):
            try:
                with ledger.write() as tx:
                    tx.append_many(numbered(worker * APPENDS + number, worker * APPENDS + number + 1))
                break
            except LedgerUnavailable:
                time.sleep(0.1)
        else:
            os._exit(3)
        time.sleep(0.02)
    ledger.close()


@pytest.mark.slow
def test_restarts_while_processes_append(server: OwnServer, url: str) -> None:
    create_ledger(url)
    ready = [SPAWN.Event() for _ in range(WORKERS)]
    workers = [SPAWN.Process(target=append_come_what_may, args=(url, n, ready[n])) for n in range(WORKERS)]
    for worker in workers:
        worker.start()
    assert all(event.wait(60) for event in ready)
    for mode in ("immediate", "fast", "immediate"):
        time.sleep(0.5)
        server.restart(mode)
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * WORKERS
    report = check(url)
    assert (report.ok, report.size) == (True, WORKERS * APPENDS), "each entry once: its subject tells it from others"


def append_and(ledger: Ledger, interrupt: Callable[[], None]) -> None:
    with ledger.write() as tx:
        tx.append_many(numbered(10, 20))
        interrupt()
        tx.append_many(numbered(20, 30))


def test_an_open_ledger_outlives_the_server(server: OwnServer, url: str) -> None:
    with fresh(url) as ledger:
        with ledger.write() as tx:
            tx.append_many(numbered(0, 10))
        with pytest.raises(LedgerUnavailable, match=r"is being restarted|cannot be used"):
            append_and(ledger, server.restart)
        with ledger.read() as reader:
            assert reader.size == 10, "the transaction that was cut off left nothing"
        server.stop()
        with pytest.raises(LedgerUnavailable, match=r"cannot be used.*that the database server runs"), ledger.read():
            pass
        server.start()
        with ledger.write() as tx:
            assert [new for _, new in tx.append_many(numbered(0, 30))] == [False] * 10 + [True] * 20
    assert (check(url).ok, check(url).size) == (True, 30)


def test_a_statement_that_takes_too_long(url: str) -> None:
    create_ledger(url)
    with opened(f"{url}?options=-c%20statement_timeout%3D100") as ledger:
        with (
            pytest.raises(LedgerUnavailable, match=r"did not answer in time.*statement_timeout"),
            ledger.read() as reader,
        ):
            reader.connection.exec_driver_sql("SELECT pg_sleep(20)")
        with ledger.write() as tx:
            tx.append_many(numbered(0, 1))


def test_limits_are_set_on_every_connection(url: str) -> None:
    create_ledger(url)
    with opened(url, wait=7) as ledger:
        with ledger.read() as reader:
            shown = {name: reader.connection.exec_driver_sql(f"SHOW {name}").scalar() for name in LIMITS}
        assert shown == LIMITS
        with ledger.write() as tx:
            idle = tx.connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar()
        assert idle == "2min"


LIMITS = {"lock_timeout": "7s", "statement_timeout": "5min", "idle_in_transaction_session_timeout": "0"}


def freeze_while_writing(url: str, ready: Event) -> None:
    postgres.ABANDONED = 1.0
    with opened(url) as ledger, ledger.write() as tx:
        tx.append_many(numbered(100, 200))
        ready.set()
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            tx.append_many(numbered(200, 300))
        except Exception as error:  # noqa: BLE001
            os._exit(4 if "25P03" in str(getattr(getattr(error, "orig", None), "sqlstate", "")) else 5)


def test_a_writer_that_freezes_does_not_hold_up_the_others_for_ever(url: str) -> None:
    create_ledger(url)
    ready = SPAWN.Event()
    frozen = SPAWN.Process(target=freeze_while_writing, args=(url, ready))
    frozen.start()
    assert frozen.pid is not None
    assert ready.wait(60)
    said = "locked by another process"
    with opened(url, wait=0.2) as ledger, pytest.raises(LedgerUnavailable, match=said), ledger.write():
        pass
    with opened(url, wait=30) as ledger, ledger.write() as tx:
        tx.append_many(numbered(0, 5))
    os.kill(frozen.pid, signal.SIGCONT)
    frozen.join(60)
    assert frozen.exitcode in (4, 5), "it was told that its transaction is gone"
    assert (check(url).ok, check(url).size) == (True, 5)


@pytest.fixture
def small_disk(running: OwnServer, tmp_path: Path) -> Iterator[str]:
    """A database on a disk of 16 MiB."""
    disk = running.folder / "small"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        disk.rmdir()
        pytest.skip("a small disk can only be mounted by root")
    try:
        subprocess.run(["chown", "postgres", str(disk)], check=True)
        with psycopg.connect(running.url, autocommit=True) as admin:
            admin.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
            admin.execute("CREATE DATABASE full_one TABLESPACE small")
        yield running.url.replace("/postgres", "/full_one")
        with psycopg.connect(running.url, autocommit=True) as admin:
            admin.execute("DROP DATABASE full_one WITH (FORCE)")
            admin.execute("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def append_much(ledger: Ledger) -> None:
    with ledger.write() as tx:
        for number in range(40):
            tx.append("tag", f"big {number}", {"text": os.urandom(400_000).hex()}, **COMMON)


def test_a_full_disk(small_disk: str) -> None:
    with fresh(small_disk) as ledger:
        with ledger.write() as tx:
            tx.append_many(numbered(0, 100))
        with pytest.raises(LedgerUnavailable, match=r"no space left.*free disk space"):
            append_much(ledger)
        with ledger.read() as reader:
            assert reader.size == 100
    assert check(small_disk).ok


def test_long_reading_on_a_replica_that_has_caught_up(server: OwnServer, url: str) -> None:
    create_ledger(url)
    with own_server(server) as replica, opened(url, replica=replica.url.replace("/postgres", "/ledger")) as ledger:
        head = grown(ledger, 0)
        wait_for(lambda: on_replica(ledger, head))
        with psycopg.connect(replica.url, autocommit=True) as late:
            late.execute("SELECT pg_wal_replay_pause()")
        assert not on_replica(ledger, grown(ledger, 10)), "one that is late is passed over"
        assert on_replica(ledger, head), "for what it holds it will do"
        assert not on_replica(ledger, TreeHead(head.size, b"?" * 32)), "one with another root is of another ledger"
        replica.stop()
        assert not on_replica(ledger, head)
        replica.start()
        wait_for(lambda: on_replica(ledger, ledger.look(lambda reader: reader.head())))


def grown(ledger: Ledger, start: int) -> TreeHead:
    with ledger.write() as tx:
        tx.append_many(numbered(start, start + 10))
        return tx.head()


def on_replica(ledger: Ledger, head: TreeHead) -> bool:
    """Say where the long reading happens; wherever it does, all up to the head is there."""
    with ledger.read_since(head) as reader:
        assert reader.size >= head.size
        assert len(list(reader.entries())) == reader.size
        return bool(reader.connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar())


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_replica_of_a_file_is_a_mistake(tmp_path: Path) -> None:
    create_ledger(sqlite_url(tmp_path / "l.db"))
    with pytest.raises(InputError, match="is not a PostgreSQL database"):
        open_ledger(sqlite_url(tmp_path / "l.db"), replica=sqlite_url(tmp_path / "r.db"))
