"""The platform team's rules: read strictly, refused whole when anything is wrong, and found by operators and names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gate.airflow.recognition import Rules, read_rules
from gate.errors import InputError

FILE = """
training:
  - operators: [SageMakerTrainingOperator]
  - tags: [training]
    tasks: ["train*", fit]
  - pools: [gpu]
exempt:
  - {dag: legacy, task: train, by: eve, why: "moves in spring", until: 2030-01-01T00:00:00Z}
  - {dag: legacy, task: train, by: eve, why: "a little longer", until: 2030-02-01T00:00:00+02:00}
"""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def written(folder: Path, text: str) -> str:
    path = folder / "rules.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def test_a_rules_file_is_read(tmp_path: Path) -> None:
    rules = read_rules(written(tmp_path, FILE))
    assert [str(rule) for rule in rules.training] == [
        "rule 1: operators SageMakerTrainingOperator",
        "rule 2: tasks train* fit, tags training",
        "rule 3: pools gpu",
    ]
    assert len(rules.exempt) == 2


def test_without_a_file_only_marks_count() -> None:
    assert read_rules("") == Rules()


def test_an_exemption_ends_at_its_instant(tmp_path: Path) -> None:
    rules = read_rules(written(tmp_path, FILE))
    standing = rules.exemption("legacy", "train", NOW)
    assert standing is not None
    assert standing.to_dict() == {"by": "eve", "why": "a little longer", "until": "2030-01-31T22:00:00Z"}
    assert rules.exemption("legacy", "train", datetime(2030, 1, 31, 21, 59, 59, tzinfo=UTC)) is not None
    assert rules.exemption("legacy", "train", datetime(2030, 1, 31, 22, tzinfo=UTC)) is None
    assert rules.exemption("legacy", "training", NOW) is None
    assert rules.exemption("other", "train", NOW) is None


def exempting(**changes: str | None) -> str:
    fields: dict[str, str | None] = {"dag": "d", "task": "t", "by": "eve", "why": "x", "until": "2030-01-01T00:00:00Z"}
    given = {name: value for name, value in (fields | changes).items() if value is not None}
    return json.dumps({"training": [], "exempt": [given]})


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", ":1:1", "is empty"),
        ("[]", ":1:1", "holds no mapping"),
        ("rules: []", ":1:1", "unknown field 'rules'"),
        ("exempt: []", ":1:1", "'training' is a required property"),
        ("training:\n  - tasks: train*", ":2:12", "is not of type 'array'"),
        ("training:\n  - tasks: []", ":2:12", "non-empty"),
        ("training:\n  - {}", ":2:5", "should be non-empty"),
        ("training:\n  - operator: [X]", ":2:5", "unknown field 'operator'"),
        ("training:\n  - tasks: [1]", ":2:13", "is not of type 'string'"),
        ("training: [\n", ":2:1", "not well-formed YAML"),
        (exempting(by=None), ":1:", "'by' is a required property"),
        (exempting(why=" "), ":1:", "does not match"),
        (exempting(until=None), ":1:", "'until' is a required property"),
        (exempting(until="2030-01-01"), ":1:", "has no time zone"),
        (exempting(until="2030-01-01T00:00:00"), ":1:", "has no time zone"),
        (exempting(until="next spring"), ":1:", "is not a date-time"),
        (exempting(note="x"), ":1:", "unknown field 'note'"),
    ],
)
def test_anything_wrong_refuses_the_whole_file_and_says_where(
    tmp_path: Path, text: str, place: str, message: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_rules(path)
    assert message in str(caught.value)
    assert f"{path}{place}" in str(caught.value)


def test_a_missing_file_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_rules(str(tmp_path / "rules.yaml"))
    with pytest.raises(InputError, match="cannot be read"):
        read_rules(str(tmp_path))
    with pytest.raises(InputError, match="not absolute"):
        read_rules("rules.yaml")


def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "training: []")
    assert not read_rules(path).training
    written(tmp_path, "training: [{pools: [gpu]}]")
    assert read_rules(path).training


SCRIPT = """
import json, warnings
warnings.simplefilter("ignore")
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, TaskGroup, task
from gate.airflow.recognition import Rule

class Trainer(BashOperator):
    pass

class Confusing(BashOperator):  # an attribute that mapped operators have too
    operator_class = str

with DAG("d", schedule=None, tags=["training", "nightly"]) as dag:
    BashOperator(task_id="bash", bash_command="true", pool="gpu")
    Trainer(task_id="trainer", bash_command="true")
    Trainer.partial(task_id="mapped", pool="gpu").expand(bash_command=["true"])
    Confusing(task_id="confusing", bash_command="true")
    with TaskGroup("group"):
        @task.bash
        def train_it(): return "true"
        train_it()

RULES = {
    "bare": Rule(1, operators=("Trainer",)),
    "base": Rule(1, operators=("BashOperator",)),
    "dotted": Rule(1, operators=("airflow.providers.standard.operators.bash.BashOperator",)),
    "offered": Rule(1, operators=("airflow.providers.standard.decorators.bash.BashOperator",)),
    "other module": Rule(1, operators=("airflow.providers.standard.operators.python.BashOperator",)),
    "id": Rule(1, tasks=("train*",)),
    "id with group": Rule(1, tasks=("group.*",)),
    "case": Rule(1, tasks=("TRAIN*",)),
    "tag": Rule(1, tags=("training",)),
    "other tag": Rule(1, tags=("serving", "train")),
    "pool": Rule(1, pools=("gpu",)),
    "pool and operator": Rule(1, pools=("gpu",), operators=("Trainer",)),
}
print("FOUND " + json.dumps(
    {name: sorted(t.task_id for t in dag.tasks if rule.fits(dag, t)) for name, rule in RULES.items()}
))
"""
ALL = ["bash", "confusing", "group.train_it", "mapped", "trainer"]


@pytest.mark.airflow
def test_rules_find_tasks_by_class_id_tag_and_pool(tmp_path: Path) -> None:
    environ = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, check=False)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")] or [done.stderr]
    assert json.loads(line.removeprefix("FOUND ")) == {
        "bare": ["mapped", "trainer"],
        "base": ALL,
        "dotted": ALL,
        "offered": ALL,
        "other module": [],
        "id": ["group.train_it", "trainer"],
        "id with group": ["group.train_it"],
        "case": [],
        "tag": ALL,
        "other tag": [],
        "pool": ["bash", "mapped"],
        "pool and operator": ["mapped"],
    }
