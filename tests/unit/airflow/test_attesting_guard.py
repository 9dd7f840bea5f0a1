"""The end of a locked task: what it produced is attested before it is a success, or it is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.xdist_group("policy")]

TESTS = Path(__file__).parents[2]

# The connection names a real `gate serve` in this process: there, and then gone.
SCRIPT = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from types import SimpleNamespace
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, TaskDeferred
from gate.airflow import dataset, mark_training, use
from gate.airflow.granted import GrantedPermit
from gate.airflow.guard import guard_of
from gate.errors import PermitRefused
from gate.permits.keys import public_key_to_text
from gate.service.deciding import decide
from gate.service.tagging import tag_dataset
from gate.service.worker import redeem
from support.served import served
from support.world import ASKING, TRAIN, USE, add_account, chat_file, event, new_service, say
from gate.domain.instants import utc_now

home = Path(sys.argv[1])
found = {}

class Trainer(BaseOperator):
    def __init__(self, *, writes, ends=None, **kwargs):
        super().__init__(**kwargs)
        self.writes, self.ends = writes, ends
    def execute(self, context):
        for name in self.writes:
            (home / name).write_text("weights of " + name)
            context["permit"].produced(home / name)
            context["permit"].produced(home / name)
        if self.ends is not None:
            raise self.ends
        return "trained"
    def execute_complete(self, context):
        return self.execute(context)

with new_service(home / "gate", utc_now) as service:
    add_account(service, "acme")
    say(service, event("acme"))
    data = chat_file(home, ["acme"])
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    decide(service, [data], USE, ASKING)
    right = redeem(service, TRAIN, [data], USE, by="service:airflow")

    def recorded():
        with service.ledger.read() as reader:
            return [entry.body["model"]["uri"].rpartition("/")[2] for entry in reader.entries("attestation")]

    def attempt(name, method="execute", **how):
        with DAG(name, schedule=None):
            task = mark_training(Trainer(task_id="train", **how), reads=[data], use=use("train"))
        granted = GrantedPermit(right, {}, "gate_far", patience=0)
        guard_of(task)._granted = granted
        context = {"permit": granted}
        before = recorded()
        try:
            if method == "execute":
                said = type(task).execute(task, context)
            else:
                said = task.resume_execution("execute_complete", None, context)
        except (AirflowException, TaskDeferred) as error:
            said = f"{type(error).__name__}: {error}"
        found[name] = {"said": said, "recorded": recorded()[len(before):], "attested": len(granted.attested),
                       "models": [model.dataset.uri.rpartition("/")[2] for model in granted.models()]}
        return granted

    with served(service) as there:
        extra = {"keys": [public_key_to_text(key) for key in service.pinned_keys]}
        os.environ["AIRFLOW_CONN_GATE_FAR"] = json.dumps(
            {"conn_type": "consent_gate", "host": there.url, "password": there.token(), "extra": extra})
        attempt("nothing", writes=[])
        late = attempt("trained", writes=["a.bin", "b.bin"])
        (home / "late.bin").write_text("late")
        late.produced(home / "late.bin")
        found["late"] = recorded()[-1]
        attempt("failed", writes=["c.bin"], ends=AirflowException("diverged"))
        attempt("deferred", writes=["d.bin"], ends=TaskDeferred(trigger=None, method_name="execute_complete"))
        attempt("resumed", method="resume", writes=["e.bin"])
        def not_running(run):
            raise PermitRefused("it is not running", reason="permit_mismatch")
        confirm, service.confirm = service.confirm, not_running
        attempt("refused", writes=["f.bin"])
        service.confirm = confirm
    attempt("away", writes=["h.bin"])

print("FOUND " + json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("airflow")
    environ = {**os.environ, "AIRFLOW_HOME": str(home), "PYTHONPATH": str(TESTS)}
    environ.pop("GATE_DATABASE_URL", None)
    command = [sys.executable, "-c", SCRIPT, str(home)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stdout[-2000:] + done.stderr[-4000:]
    return dict(json.loads(lines[0].removeprefix("FOUND ")))


def test_what_was_produced_is_attested_once(found: dict[str, Any]) -> None:
    assert found["trained"] == {
        "said": "trained", "recorded": ["a.bin", "b.bin"], "attested": 2, "models": ["a.bin", "b.bin"]
    }  # fmt: skip
    assert found["nothing"] == {"said": "trained", "recorded": [], "attested": 0, "models": []}


def test_a_hook_that_runs_later_is_attested_too(found: dict[str, Any]) -> None:
    assert found["late"] == "late.bin"


def test_a_failed_training_attests_nothing(found: dict[str, Any]) -> None:
    assert (found["failed"]["said"], found["failed"]["recorded"]) == ("AirflowException: diverged", [])


def test_work_that_is_deferred_is_attested_so_far_and_then_the_rest(found: dict[str, Any]) -> None:
    assert found["deferred"]["said"].startswith("TaskDeferred")
    assert found["deferred"]["recorded"] == ["d.bin"]
    assert (found["resumed"]["said"], found["resumed"]["recorded"]) == ("trained", ["e.bin"])


def test_a_refused_attestation_fails_the_task_without_retries(found: dict[str, Any]) -> None:
    assert found["refused"]["said"].startswith("AirflowFailException: it is not running")
    assert (found["refused"]["recorded"], found["refused"]["models"]) == ([], ["f.bin"])


def test_a_service_that_is_away_fails_the_task_visibly(found: dict[str, Any]) -> None:
    said = found["away"]["said"]
    assert said.startswith("AirflowException: cannot decide: the model was trained but cannot be attested")
    assert (found["away"]["recorded"], found["away"]["attested"]) == ([], 0)
