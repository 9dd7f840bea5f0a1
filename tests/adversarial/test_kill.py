"""Killed between any two steps of deciding and redeeming: re-running adds nothing twice and permits nothing alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gate.domain.dataset import Dataset
from gate.lineage.store.delivery import events_after
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.delivery import deliver_outbox
from gate.service.settings import read_settings
from gate.service.tagging import tag_dataset
from gate.service.worker import redeem
from support.world import ASKING, TRAIN, USE, add_account, chat_file, event, new_service, reopen, say

DRIVER = """
import os, signal, sys
from pathlib import Path
from support.world import ASKING, TRAIN, USE, reopen
from gate.domain.dataset import dataset
from gate.ledger import store
from gate.service import deciding, redeeming, worker
from gate.service.settings import read_settings

home, path, act, step = sys.argv[1:]
service = reopen(read_settings({"GATE_HOME": home}))

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def die_after(function):
    def wrapped(*args, **kwargs):
        function(*args, **kwargs)
        die()
    return wrapped

def dies_before_commit(kind):
    append_many = store.Transaction.append_many
    def wrapped(self, entries):
        result = append_many(self, entries)
        if any(entry.kind == kind for entry, _ in result):
            die()
        return result
    store.Transaction.append_many = wrapped

match step:
    case "before-gathering": deciding.gather = die
    case "after-gathering": deciding.evaluate = die
    case "decision-appended": dies_before_commit("decision")
    case "permit-appended": dies_before_commit("permit")
    case "event-put": store.Transaction.outbox_put = die_after(store.Transaction.outbox_put)
    case "before-delivery": deciding.deliver_outbox = die
    case "before-return": deciding.recorded_decision = die
    case "permit-verified": redeeming._verified = die_after(redeeming._verified)
    case "redemption-appended": dies_before_commit("redemption")
    case "redemption-committed": redeeming.Redeemed = die

data = dataset(path, "account_id")
if act == "decide":
    deciding.decide(service, [data], USE, ASKING)
else:
    worker.redeem(service, TRAIN, [data], USE, by="service:airflow")
"""


@pytest.fixture
def world(tmp_path: Path) -> tuple[Path, Dataset]:
    with new_service(tmp_path / "home") as service:
        add_account(service, "acme")
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme"])
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    return tmp_path / "home", data


def _killed(home: Path, data: Dataset, act: str, step: str) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", DRIVER, str(home), data.name, act, step]
    done = subprocess.run(command, env=environ, capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def _reopened(home: Path) -> Service:
    return reopen(read_settings({"GATE_HOME": str(home)}))


def _count(service: Service) -> dict[str, int]:
    with service.ledger.read() as reader:
        return {kind: len(list(reader.entries(kind))) for kind in ("decision", "permit", "redemption")}


@pytest.mark.parametrize(
    "step",
    [
        "before-gathering",
        "after-gathering",
        "decision-appended",
        "permit-appended",
        "event-put",
        "before-delivery",
        "before-return",
    ],
)
def test_killed_while_deciding(world: tuple[Path, Dataset], step: str) -> None:
    home, data = world
    _killed(home, data, "decide", step)
    with _reopened(home) as service:
        after = _count(service)
        assert after["permit"] <= after["decision"]
        assert decide(service, [data], USE, ASKING).allowed
        assert _count(service) == {"decision": 1, "permit": 1, "redemption": 0}
        deliver_outbox(service)
        assert service.ledger.pending_outbox(10) == []
        assert len(events_after(service.intake.store(), 0, 10)) == 1


@pytest.mark.parametrize("step", ["permit-verified", "redemption-appended", "redemption-committed"])
def test_killed_while_redeeming(world: tuple[Path, Dataset], step: str) -> None:
    home, data = world
    with _reopened(home) as service:
        decide(service, [data], USE, ASKING)
    _killed(home, data, "redeem", step)
    with _reopened(home) as service:
        assert _count(service)["redemption"] == (1 if step == "redemption-committed" else 0)
        redeem(service, TRAIN, [data], USE, by="service:airflow")
        assert _count(service) == {"decision": 1, "permit": 1, "redemption": 1}
