"""The cluster policy as Airflow applies it: no shape of training task gets into the DAG bag without gate and guard."""

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
DAGS = TESTS / "integration" / "coverage_dags"
RULES = TESTS / "integration" / "coverage_rules.yaml"

# Airflow's own DAG bag parses and judges each file; then each DAG is judged alone, because Airflow keeps one
# message a file.
SCRIPT = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.dag_processing.importers import get_importer_registry
from airflow.exceptions import AirflowClusterPolicyViolation
from airflow.serialization.serialized_objects import DagSerialization
from airflow.settings import dag_policy
from pathlib import Path

os.environ["AIRFLOW__CONSENT_GATE__TRAINING_RULES"] = ""  # what a DAG file might do: too late
folder = Path(sys.argv[1])
bag = BundleDagBag(folder, bundle_path=folder, safe_mode=False)
from gate.airflow.guard import guard_of

found = {"errors": dict(bag.import_errors), "bagged": {}, "judged": {}}
for dag in bag.dags.values():
    DagSerialization.to_dict(dag)
    locked = [task for task in dag.tasks if guard_of(task) is not None]
    found["bagged"][dag.dag_id] = {task.task_id: str(guard_of(task).use.purpose) for task in locked}
for file in sorted(folder.glob("*.py")):
    for dag in get_importer_registry().get_importer(file).import_file(file, safe_mode=False).dags:
        try:
            dag_policy(dag)
            found["judged"][dag.dag_id] = "accepted"
        except AirflowClusterPolicyViolation as error:
            found["judged"][dag.dag_id] = str(error)
print("FOUND " + json.dumps(found))
"""


def ask(home: Path, script: str, *words: str, **environ: str) -> dict[str, Any]:
    """Run a script in an Airflow of its own and return what it found."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**os.environ, "AIRFLOW_HOME": str(home), "PYTHONPATH": str(TESTS), **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stdout[-2000:] + done.stderr[-4000:]
    return dict(json.loads(lines[0].removeprefix("FOUND ")))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return ask(
        tmp_path_factory.mktemp("airflow"),
        SCRIPT,
        str(DAGS),
        AIRFLOW__CONSENT_GATE__TRAINING_RULES=str(RULES),
        AIRFLOW__SDK__QUEUE_TO_COORDINATOR='{"java": "jdk-11"}',
    )


def starting(found: dict[str, Any], *prefixes: str) -> dict[str, str]:
    chosen = {dag_id: text for dag_id, text in found["judged"].items() if dag_id.startswith(prefixes)}
    assert chosen
    return chosen


def test_every_shape_behind_its_gate_is_accepted_and_locked(found: dict[str, Any]) -> None:
    for dag_id, text in starting(found, "gated_", "found_gated_").items():
        assert text == "accepted", dag_id
        locked = found["bagged"][dag_id]
        assert set(locked) <= {"train", "work.train", "again", "train__1"}, dag_id
        assert locked, dag_id
        assert set(locked.values()) == {"train"}, dag_id


def test_no_shape_without_a_gate_is_accepted(found: dict[str, Any]) -> None:
    for dag_id, text in starting(found, "ungated_", "found_ungated_", "gate_").items():
        assert dag_id not in found["bagged"]
        assert "trains without a consent gate upstream" in text, dag_id
        assert "    gate = ConsentGateOperator(task_id=" in text, dag_id
        assert "    gate >> " in text, dag_id


def test_the_two_lines_carry_the_use_and_the_task(found: dict[str, Any]) -> None:
    use = 'use("train", feature="meeting_summary", model="ms-1")'
    assert found["judged"]["ungated_pod"].splitlines() == [
        "ungated_pod.train (mark_training): it trains without a consent gate upstream",
        "Add:",
        f'    gate = ConsentGateOperator(task_id="consent_gate", datasets=[...], use={use})',
        "    gate >> train",
    ]


def test_a_found_task_needs_exactly_one_gate(found: dict[str, Any]) -> None:
    several = found["judged"]["found_behind_two_gates"]
    assert "several consent gates upstream (gate_0, gate_1)" in several
    assert several.count("mark_training(train, reads=[...], use=") == 2
    assert "is for use(" in found["judged"]["found_behind_a_gate_for_no_training"]
    assert "mark_training(train, reads=[...], " in found["judged"]["found_ungated_pod"]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("in_the_triggerer", "start_from_trigger starts it in the triggerer"),
        ("in_the_triggerer_mapped", "start_from_trigger starts it in the triggerer"),
        ("in_the_triggerer_by_argument", "start_from_trigger starts it in the triggerer"),
        ("stub", "@task.stub runs in a worker of another language"),
        ("foreign_queue", "the queue java leads to a worker of another language"),
        ("foreign_queue_mapped", "the queue java leads to a worker of another language"),
        ("disguised", "Disguised overrides __getattribute__"),
        ("swapped", "Swapped overrides prepare_for_execution"),
        ("copied", "Copied overrides __copy__"),
    ],
)
@pytest.mark.parametrize("prefix", ["impossible_", "found_impossible_"])
def test_where_no_guard_can_stand_nothing_trains(found: dict[str, Any], prefix: str, shape: str, message: str) -> None:
    assert message in found["judged"][prefix + shape]
    assert prefix + shape not in found["bagged"]


def test_what_never_reaches_a_worker_is_told_apart(found: dict[str, Any]) -> None:
    assert "without sending it to a worker" in found["judged"]["impossible_empty"]
    assert found["judged"]["possible_empty_with_callback"] == "accepted"
    assert found["judged"]["nothing_to_find_in_empty"] == "accepted"


def test_a_lock_that_an_author_took_away_is_missed(found: dict[str, Any]) -> None:
    assert "its guard was taken away" in found["judged"]["impossible_unlocked"]


def test_a_gate_of_another_dag_is_declared_and_only_where_assets_trigger(found: dict[str, Any]) -> None:
    assert found["judged"]["across_permitted"] == "accepted"
    assert found["judged"]["across_elsewhere"] == "accepted"
    assert "is not scheduled on assets" in found["judged"]["across_by_hand"]
    assert "only one can permit" in found["judged"]["across_both"]


def test_exemptions_are_for_found_tasks_while_they_last(found: dict[str, Any]) -> None:
    assert found["bagged"]["exempt"] == {}
    assert found["judged"]["not_found"] == "accepted"
    assert "trains without a consent gate" in found["judged"]["exempt_no_longer"]
    assert "trains without a consent gate" in found["judged"]["exempt_but_marked"]


def test_airflow_shows_the_rejection_as_an_import_error(found: dict[str, Any]) -> None:
    assert set(found["errors"]) == {
        "across.py",
        "broken.py",
        "exempt.py",
        "impossible.py",
        "other_purpose.py",
        "ungated.py",
    }
    assert found["errors"]["ungated.py"].startswith("AirflowClusterPolicyViolation: ")
    assert "infer is not a training purpose" in found["errors"]["other_purpose.py"]


PLAIN = """
import json, sys, warnings
warnings.simplefilter("ignore")
from airflow.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator
from airflow.exceptions import AirflowClusterPolicyViolation
from airflow.settings import dag_policy

with DAG("plain", schedule=None) as dag:
    BashOperator(task_id="hello", bash_command="true")
try:
    dag_policy(dag)
    answer = "accepted"
except AirflowClusterPolicyViolation as error:
    answer = str(error)
print("FOUND " + json.dumps({"answer": answer, "imported": "gate.airflow.guard" in sys.modules}))
"""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the training rules cannot be read"),
        ("training: [{task: [x]}]", ":1:13: unknown field 'task'"),
    ],
)
def test_with_a_broken_rules_file_no_dag_at_all_is_accepted(tmp_path: Path, content: str | None, message: str) -> None:
    rules = tmp_path / "rules.yaml"
    if content is not None:
        rules.write_text(content)
    answer = ask(tmp_path, PLAIN, AIRFLOW__CONSENT_GATE__TRAINING_RULES=str(rules))["answer"]
    assert answer.startswith("nothing is accepted: ")
    assert message in answer
    assert str(rules) in answer


def test_a_dag_without_the_gate_costs_no_import(tmp_path: Path) -> None:
    assert ask(tmp_path, PLAIN) == {"answer": "accepted", "imported": False}
