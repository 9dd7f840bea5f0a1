"""Several processes on one ledger: no gaps, no forks, nothing half done after a kill."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Event
from typing import Any

import pytest

from gate.ledger.store import TreeHead, create_ledger
from gate.ledger.verify import verify
from support.ledgers import COMMON, check, fresh, numbered, opened

SPAWN = multiprocessing.get_context("spawn")
BATCHES, SIZE = 12, 20


def watched(url: str, workers: Sequence[Any]) -> list[TreeHead]:
    """Wait for the workers; meanwhile verify whatever state shows, and return the heads that were seen."""
    heads = list[TreeHead]()
    with opened(url) as ledger:
        while any(worker.is_alive() for worker in workers):
            with ledger.read() as reader:
                report = verify(reader)
                assert report.ok, report.findings
                assert (report.size, report.root) == reader.head()
                heads.append(reader.head())
            time.sleep(0.2)
    for worker in workers:
        worker.join()
    return heads


def append_batches(url: str, worker: int) -> None:
    with opened(url, wait=60) as ledger:
        for batch in range(BATCHES):
            with ledger.write() as tx:
                start = (worker * BATCHES + batch) * SIZE
                tx.append_many(numbered(start, start + SIZE))
                tx.append("mode", f"shared {batch}", {}, **COMMON)
                tx.commit_ref("person", f"shared {batch}")


def hang_in_a_transaction(url: str, ready: Event) -> None:
    with opened(url) as ledger, ledger.write() as tx:
        tx.append_many(numbered(1000, 3000))
        tx.commit_ref("person", "never recorded")
        ready.set()
        time.sleep(60)


def append_until_killed(url: str, ready: Event) -> None:
    with opened(url) as ledger:
        for number in range(100_000):
            with ledger.write() as tx:
                tx.append_many(numbered(number * 7, number * 7 + 7, "permit"))
            ready.set()


@pytest.mark.parametrize("processes", [4, pytest.param(16, marks=pytest.mark.slow)])
def test_processes_append_without_gaps_or_forks(ledger_url: str, processes: int) -> None:
    create_ledger(ledger_url)
    workers = [SPAWN.Process(target=append_batches, args=(ledger_url, n)) for n in range(processes)]
    for worker in workers:
        worker.start()
    heads = watched(ledger_url, workers)
    assert [worker.exitcode for worker in workers] == [0] * processes
    report = check(ledger_url)
    assert (report.ok, report.findings) == (True, ())
    assert report.size == processes * BATCHES * SIZE + BATCHES
    with opened(ledger_url) as ledger, ledger.read() as reader:
        assert all(reader.root_at(head.size) == head.root for head in heads), "what a reader saw was never taken back"
        assert [head.size for head in heads] == sorted(head.size for head in heads)
    with opened(ledger_url) as ledger, ledger.read() as reader:
        for batch in range(BATCHES):
            # Whoever came first recorded the shared entry; a batch is never interleaved with another.
            assert reader.find("mode", f"shared {batch}") is not None
        places = {entry.body["number"]: entry.idx for entry in reader.entries("tag")}
    for start in range(0, processes * BATCHES * SIZE, SIZE):
        first = places[start]
        assert [places[start + n] for n in range(SIZE)] == list(range(first, first + SIZE))


def test_creating_may_race(ledger_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: create_ledger(ledger_url), range(4)))
    with fresh(ledger_url) as ledger, ledger.read() as reader:
        assert reader.size == 0


def test_killed_in_the_middle_of_a_transaction(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        tx.append_many(numbered(0, 300))
    kill_when_ready(hang_in_a_transaction, ledger_url)
    report = check(ledger_url)
    assert (report.size, report.ok) == (300, True)
    with opened(ledger_url) as ledger:
        with ledger.write() as tx:
            assert tx.ref("person", "never recorded") is None
            tx.append_many(numbered(1000, 1010))
        assert check(ledger_url).size == 310


def test_killed_between_commits(ledger_url: str) -> None:
    create_ledger(ledger_url)
    kill_when_ready(append_until_killed, ledger_url, after=0.3)
    report = check(ledger_url)
    assert report.ok
    assert report.size > 0
    assert report.size % 7 == 0, "a batch is recorded as a whole or not at all"


def kill_when_ready(target: object, url: str, after: float = 0.0) -> None:
    ready = SPAWN.Event()
    process = SPAWN.Process(target=target, args=(url, ready))  # type: ignore[arg-type]
    process.start()
    assert ready.wait(60)
    time.sleep(after)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
