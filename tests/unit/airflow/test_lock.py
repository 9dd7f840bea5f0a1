"""The lock itself, without a running Airflow: whichever door into a locked task is tried, the guard is asked first."""

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

# There is no ledger behind this, so no guard lets anything pass; what trains leaves a file.
SCRIPT = """
import copy, json, warnings
warnings.simplefilter("ignore")
from types import SimpleNamespace
from airflow.sdk import DAG, TaskGroup
from airflow.sdk.exceptions import AirflowException
from airflow.providers.standard.operators.bash import BashOperator
from gate.airflow import dataset, mark_training, training, use
from gate.airflow.guard import guard_of
from gate.errors import InputError
from support.training_shapes import MARKS, SHAPES, PodOperator

MARKS.mkdir(parents=True)
DATA, USE = dataset("/lake/x.csv", "account_id"), use("train", feature="f", model="m")
found = {}

def lock(task):
    return mark_training(task, reads=[DATA], use=USE)

def attempt(door, *arguments, **named):
    try:
        door(*arguments, **named)
        return "opened"
    except (AirflowException, InputError) as error:
        return f"{type(error).__name__}: {error}"

def doors(task):
    if task.is_mapped:
        given = getattr(task.expand_input, "value", None) or {}
        given = given[0] if isinstance(given, list) else {key: values[0] for key, values in given.items()}
        kinds = {"op_kwargs": {}} if "Decorated" in task.task_type else {}
        task = task.unmap({**given, **kinds})
    task = task.prepare_for_execution()
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id=task.task_id, map_index=-1, try_number=1)
    context = {"ti": ti, "task": task, "dag": dag, "outlet_events": {}}
    yield attempt(task._pre_execute_hook, context)
    yield attempt(type(task).execute, task, context)
    yield attempt(task.resume_execution, "execute_complete", {}, context)
    task._pre_execute_hook = None
    yield attempt(task._pre_execute_hook, context)
    yield attempt(copy.deepcopy(task)._pre_execute_hook, context)

for name, shape in SHAPES.items():
    with DAG(name, schedule=None) as dag:
        shape(lock)
    [train] = [task for task in dag.tasks if guard_of(task) is not None]
    found[name] = sorted(set(doors(train)))

with DAG("marking", schedule=None):
    once = lock(PodOperator(task_id="once"))
    found["twice"] = attempt(lock, once)
    partial = lock(PodOperator.partial(task_id="partial"))
    found["twice partial"] = attempt(lock, partial)
    partial.expand(image=["a"])
    found["function"] = attempt(lock, lambda: None)
    with TaskGroup("group") as group:
        pass
    found["group"] = attempt(lock, group)
    for gated_by in ("features", "features gate", "features.gate", ""):
        found[f"gated_by {gated_by}"] = attempt(mark_training, once, reads=[DATA], use=USE, gated_by=gated_by)
    found["kept"] = [type(once).__name__, type(once).__module__, once.task_type, isinstance(once, PodOperator)]

    class Pretender(BashOperator):
        consent_guard = guard_of(once)

    found["pretender"] = guard_of(Pretender(task_id="pretender", bash_command="true")) is None

    @training(reads=[DATA], use=USE, gated_by="features:group.gate")
    def train(permit): ...

    found["gated_by"] = guard_of(train().operator).gated_by
    found["override"] = guard_of(train.override(pre_execute=None)().operator) is not None

found["marks"] = [path.name for path in MARKS.iterdir()]
print("FOUND " + json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("airflow")
    environ = {**os.environ, "AIRFLOW_HOME": str(home), "GATE_HOME": str(home / "gate"), "PYTHONPATH": str(TESTS)}
    # A database that is none of ours: it is there, and cannot be read as a ledger.
    environ["GATE_DATABASE_URL"] = f"sqlite:///{home / 'no-ledger.db'}"
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stdout[-2000:] + done.stderr[-4000:]
    return dict(json.loads(lines[0].removeprefix("FOUND ")))


def test_no_door_into_any_shape_opens_without_a_permit(found: dict[str, Any]) -> None:
    shapes = {
        name: answers for name, answers in found.items() if isinstance(answers, list) and name not in ("kept", "marks")
    }
    assert len(shapes) >= 26
    for name, answers in shapes.items():
        assert all(answer.startswith("AirflowException: cannot decide") for answer in answers), (name, answers)
    assert found["marks"] == []


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("twice", "marked as training once"),
        ("twice partial", "marked as training once"),
        ("function", "a function is not a task"),
        ("group", "a TaskGroup is not a task"),
        ("gated_by features", "'features' names no gate"),
        ("gated_by features gate", "names no gate"),
        ("gated_by features.gate", "names no gate"),
        ("gated_by ", "names no gate"),
    ],
)
def test_mistakes_in_marking_are_named(found: dict[str, Any], mistake: str, message: str) -> None:
    assert message in found[mistake]


def test_a_locked_operator_keeps_its_name(found: dict[str, Any]) -> None:
    assert found["kept"] == ["PodOperator", "support.training_shapes", "PodOperator", True]


def test_a_guard_that_does_not_stand_is_none(found: dict[str, Any]) -> None:
    assert found["pretender"] is True


def test_a_declared_gate_is_kept_and_overriding_arguments_does_not_unlock(found: dict[str, Any]) -> None:
    assert found["gated_by"] == "features:group.gate"
    assert found["override"] is True
