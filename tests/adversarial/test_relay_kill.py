"""A relay that is killed at any moment, and backends that come and go: nothing is lost, the order of a run holds."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gate.lineage.observed import observe
from gate.service.core import Service
from support.lineage_backend import Recorder, key_of, recording, run_events
from support.world import new_service

pytestmark = pytest.mark.slow

RUNS = 400


def relay(service: Service, backends: dict[str, dict]) -> subprocess.Popen[bytes]:
    """Start `gate lineage relay --follow` in a process of its own."""
    settings = service.settings
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OPENLINEAGE", "AIRFLOW__"))},
        "GATE_HOME": str(settings.home),
        "GATE_DATABASE_URL": settings.database_url,
        "GATE_LINEAGE_BACKENDS": json.dumps(backends),
    }
    command = [sys.executable, "-c", "from gate.cli.main import main; main()", "lineage", "relay", "--follow", "--json"]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(backend: Recorder, events: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while len(backend.firsts) < events:
        assert time.monotonic() < deadline, f"{len(backend.firsts)} of {events} events came"
        time.sleep(0.02)


def stopped(process: subprocess.Popen[bytes]) -> dict:
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


def test_killed_at_random_moments_it_loses_nothing(ledger_url: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    with new_service(tmp_path / "home", url=ledger_url) as service, recording() as backend:
        sent: list[tuple[str, str]] = []
        kills = 0
        process = relay(service, {"b": backend.config})
        wait_after = time.monotonic() + 3
        for number in range(RUNS):
            events = run_events(number)
            service.intake.keep([observe(event) for event in events])
            sent += map(key_of, events)
            time.sleep(0.01)
            if time.monotonic() > wait_after and backend.received:
                process.kill()
                process.communicate(timeout=30)
                kills += 1
                process = relay(service, {"b": backend.config})
                wait_after = time.monotonic() + chance.uniform(1.0, 4.0)
        wait_for(backend, len(sent))
        said = stopped(process)
    assert kills >= 2
    assert backend.firsts == sent  # all of them, each run's START first
    assert said["backends"]["b"]["behind"] == 0
    assert said["backends"]["b"]["dead"] == 0


def test_a_backend_that_goes_away_gets_everything_when_it_is_back(ledger_url: str, tmp_path: Path) -> None:
    with new_service(tmp_path / "home", url=ledger_url) as service, recording() as steady:
        with recording() as before:
            port = before.server_port
            process = relay(service, {"steady": steady.config, "goes": before.config})
            service.intake.keep([observe(event) for number in range(20) for event in run_events(number)])
            wait_for(before, 40)
        service.intake.keep([observe(event) for number in range(20, 40) for event in run_events(number)])
        wait_for(steady, 80)
        time.sleep(3)
        with recording(port) as after:
            wait_for(after, 40)
            said = stopped(process)
    expected = [key_of(event) for number in range(40) for event in run_events(number)]
    assert steady.firsts == expected
    assert [*before.firsts, *after.firsts] == expected
    assert {one["behind"] for one in said["backends"].values()} == {0}


def test_two_relays_at_once_keep_the_order(ledger_url: str, tmp_path: Path) -> None:
    with new_service(tmp_path / "home", url=ledger_url) as service, recording() as backend:
        both = [relay(service, {"b": backend.config}) for _ in range(2)]
        for number in range(60):
            service.intake.keep([observe(event) for event in run_events(number)])
            if number == 30:
                wait_for(backend, 10)
                both[0].kill()
                both[0].communicate(timeout=30)
        wait_for(backend, 120)
        stopped(both[1])
    assert backend.firsts == [key_of(event) for number in range(60) for event in run_events(number)]
