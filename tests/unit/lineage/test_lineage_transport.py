"""GateTransport: what it accepted is in the store, or in the spool until it is; whole lines, in order, nothing lost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openlineage.client import event_v2
from openlineage.client.transport import get_default_factory
from openlineage.client.uuid import generate_new_uuid

from gate.errors import InputError
from gate.lineage import spool as spooling
from gate.lineage.intake import Intake
from gate.lineage.observed import observe
from gate.lineage.relay import configured_transport, transport_beside_store
from gate.lineage.spool import Spool
from gate.lineage.store.database import open_store
from gate.lineage.store.delivery import events_after
from support.lineage_backend import PRODUCER, key_of, run_events

TYPE = "gate.lineage.transport.GateTransport"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = dict(os.environ)
    for name in before:
        if name.startswith(("OPENLINEAGE", "AIRFLOW__OPENLINEAGE", "GATE_")):
            del os.environ[name]
    monkeypatch.chdir(tmp_path)
    os.environ |= {"HOME": str(tmp_path), "GATE_HOME": str(tmp_path / "home")}
    yield tmp_path / "home"
    os.environ.clear()
    os.environ.update(before)


def transport(**config: Any) -> Any:
    return get_default_factory().create({"type": TYPE, **config})


def stored(home: Path) -> list[dict[str, Any]]:
    with open_store(f"sqlite:///{home / 'lineage.db'}") as store:
        return [json.loads(raw) for _, raw in events_after(store, 0, 10_000)]


def broken(home: Path) -> Path:
    """Put a folder where the store's file should be."""
    (home / "lineage.db").mkdir(parents=True)
    return home / "lineage" / "spool.jsonl"


def repaired(home: Path) -> None:
    (home / "lineage.db").rmdir()
    os.utime(home / "lineage" / "spool.lock", (0, 0))  # as if the time to try again had come


def test_events_of_the_client_and_plain_ones_are_in_the_store(home: Path) -> None:
    run, job = event_v2.Run(str(generate_new_uuid())), event_v2.Job("airflow", "etl.task")
    when = "2026-01-01T00:00:00Z"
    sent = [
        event_v2.RunEvent(eventType=event_v2.RunState.START, eventTime=when, run=run, job=job, producer=PRODUCER),
        event_v2.JobEvent(eventTime=when, job=job, producer=PRODUCER),
        event_v2.DatasetEvent(eventTime=when, dataset=event_v2.StaticDataset("file", "/x"), producer=PRODUCER),
        run_events(1)[0],
    ]
    opened = transport()
    for event in [*sent, *sent]:
        opened.emit(event)
    assert opened.close()
    kept = stored(home)
    assert len(kept) == 4
    assert kept[0]["run"]["runId"] == run.runId
    assert kept[1]["job"]["name"] == "etl.task"
    assert kept[2]["dataset"]["name"] == "/x"
    assert kept[3] == run_events(1)[0]
    assert not Spool(home / "lineage").holds()


def test_it_goes_into_composite_and_says_where_it_writes(home: Path, tmp_path: Path) -> None:
    log, url = tmp_path / "log.jsonl", f"sqlite:///{tmp_path / 'other.db'}"
    parts = {
        "ours": {"type": TYPE, "lineage_url": url},
        "log": {"type": "file", "log_file_path": str(log), "append": True},
    }
    opened = configured_transport({"type": "composite", "transports": parts})
    opened.emit(run_events(1)[0])
    opened.close()
    assert len(log.read_text("utf-8").splitlines()) == 1
    with open_store(url) as store:
        assert len(events_after(store, 0, 10)) == 1
    assert not (home / "lineage.db").exists()


def test_what_is_no_event_is_refused(home: Path) -> None:
    with pytest.raises(InputError):
        transport().emit({"producer": PRODUCER})
    assert not (home / "lineage" / "spool.jsonl").exists()


def test_while_the_store_is_away_events_wait_in_the_spool_and_then_come_in_order(home: Path) -> None:
    waiting = broken(home)
    opened = transport()
    first, second = run_events(1), run_events(2)
    for event in [*first, second[0]]:
        opened.emit(event)
    assert [json.loads(line)["run"]["runId"] for line in waiting.read_text("utf-8").splitlines()] == [
        event["run"]["runId"] for event in [*first, second[0]]
    ]
    repaired(home)
    opened.emit(second[1])
    opened.close()
    assert [key_of(event) for event in stored(home)] == [key_of(event) for event in [*first, *second]]
    assert not Spool(home / "lineage").holds()


def test_a_locked_store_keeps_nobody_waiting_long(home: Path) -> None:
    with open_store(f"sqlite:///{home / 'lineage.db'}") as store:
        intake = Intake(f"sqlite:///{home / 'lineage.db'}", home, patience=0.05)
        with store.write():
            began = time.monotonic()
            assert intake.accept(observe(run_events(1)[0])) == "spooled"
            assert time.monotonic() - began < 1
        os.utime(home / "lineage" / "spool.lock", (0, 0))
        assert intake.accept(observe(run_events(1)[1])) == "spooled"
        intake.close()
    assert len(stored(home)) == 2


def test_a_store_that_is_away_is_not_asked_for_each_event(home: Path) -> None:
    broken(home)
    asked = []

    class Counting(Intake):
        def store(self) -> Any:
            asked.append(1)
            return super().store()

    intake = Counting(f"sqlite:///{home / 'lineage.db'}", home)
    for number in range(20):
        intake.accept(observe(run_events(number)[0]))
    assert len(asked) == 1
    assert len((home / "lineage" / "spool.jsonl").read_text("utf-8").splitlines()) == 20


def test_a_large_spool_is_left_to_the_relay(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "SMALL", 10)
    broken(home)
    opened = transport()
    opened.emit(run_events(1)[0])
    repaired(home)
    opened.emit(run_events(1)[1])
    opened.close()
    assert stored(home) == []
    with open_store(f"sqlite:///{home / 'lineage.db'}") as store:
        assert Spool(home / "lineage").take_in(store) == 2
    assert len(stored(home)) == 2


def test_lines_that_are_no_events_are_set_aside_and_hold_nothing_up(home: Path) -> None:
    spool = Spool(home / "lineage")
    spool.append('{"no": "event"}')
    with (home / "lineage" / "spool.jsonl").open("a") as file:
        file.write("torn by a kill, with")
    spool.append(json.dumps(run_events(1)[0]))
    with open_store(f"sqlite:///{home / 'lineage.db'}") as store:
        assert spool.take_in(store) == 1
    kept = (home / "lineage" / "unreadable.jsonl").read_text("utf-8").splitlines()
    assert kept == ['{"no": "event"}', "torn by a kill, with"]
    assert not spool.holds()


FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the test runner has threads


def forked(act: Callable[[], None]) -> int:
    """Do something in a child, as Airflow's listener emits; return its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        act()
        code = 0
    finally:
        os._exit(code)


@FORKS
def test_writers_and_takers_at_once_lose_nothing(home: Path) -> None:
    spool = Spool(home / "lineage")

    def write(first: int) -> None:
        for number in range(first, first + 50):
            spool.append(json.dumps(run_events(number)[0]))

    children = {forked(lambda first=first: write(first)) for first in (1000, 2000, 3000)}
    taken = 0
    with open_store(f"sqlite:///{home / 'lineage.db'}") as store:
        while children:
            taken += spool.take_in(store)
            for child in list(children):
                ended, status = os.waitpid(child, os.WNOHANG)
                assert status == 0
                children.discard(ended)
        taken += spool.take_in(store)
    assert taken == 150
    assert len({event["run"]["runId"] for event in stored(home)}) == 150
    assert not (home / "lineage" / "unreadable.jsonl").exists()


@FORKS
def test_a_child_does_not_use_its_parents_connection(home: Path) -> None:
    opened = transport()
    opened.emit(run_events(1)[0])
    assert os.waitpid(forked(lambda: opened.emit(run_events(1)[1])), 0)[1] == 0
    opened.emit(run_events(2)[0])
    opened.close()
    assert len(stored(home)) == 3


LOG = {"type": "file", "log_file_path": "/nowhere/log", "append": True}


@pytest.mark.parametrize(
    ("config", "kinds"),
    [
        ({"type": TYPE}, None),
        ({"type": "composite", "transports": {"a": {"type": TYPE}}}, None),
        ({"type": "composite", "transports": {"a": {"type": TYPE}, "b": LOG}}, ["gate_append"]),
        ({"type": "composite", "transports": [LOG, {"type": TYPE}]}, ["gate_append"]),
        (
            {
                "type": "composite",
                "transports": [LOG, {"type": "composite", "transports": [{"type": TYPE}, {"type": "console"}]}],
            },
            ["gate_append", "composite"],
        ),
        ({"type": "composite", "continue_on_success": False, "transports": [{"type": TYPE}, LOG]}, None),
    ],
)
def test_what_the_store_has_is_not_delivered_there_again(config: dict[str, Any], kinds: list[str] | None) -> None:
    os.environ["AIRFLOW__OPENLINEAGE__TRANSPORT"] = json.dumps(config)
    found = transport_beside_store()
    assert (None if found is None else [part.kind for part in found.transports]) == kinds
