"""While a DAG file is parsed nothing heavy is imported, mistakes are named, and ungated training is rejected."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow

SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import airflow.sdk
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, dag, task
before = set(sys.modules)
from gate.airflow import ConsentGateOperator, ConsentSensor, TagDatasetOperator, dataset, mark_training, training, use
found = {"new": sorted({name.partition(".")[0] for name in set(sys.modules) - before})}

from airflow.exceptions import AirflowClusterPolicyViolation
from gate.airflow.policy import dag_policy
from gate.errors import InputError

DATA, USE = dataset("/lake/x.csv", "account_id"), use("train", feature="f", model="m")

def attempt(build):
    try:
        return build() or "accepted"
    except (InputError, AirflowClusterPolicyViolation) as error:
        return str(error)

def ungated():
    with DAG("d", schedule=None) as d:
        @training(reads=[DATA], use=USE)
        def train(permit): ...
        train()
    dag_policy(d)

def other_use():
    with DAG("d", schedule=None) as d:
        @training(reads=[DATA], use=USE)
        def train(permit): ...
        ConsentGateOperator(task_id="g", datasets=[DATA], use=use("tune", feature="f", model="m")) >> train()
    dag_policy(d)

def gated():
    with DAG("d", schedule=None) as d:
        @training(reads=[DATA], use=USE)
        def train(permit): ...
        ConsentGateOperator(task_id="g", datasets=[DATA], use=USE) >> train()
    dag_policy(d)

def mapped_ungated():
    with DAG("d", schedule=None) as d:
        @training(reads=[DATA], use=USE)
        def train(permit, fold): ...
        train.expand(fold=[1, 2])
    dag_policy(d)

found["ungated"] = attempt(ungated)
found["mapped_ungated"] = attempt(mapped_ungated)
found["other_use"] = attempt(other_use)
found["gated"] = attempt(gated)
found["purpose"] = attempt(lambda: use("trian"))
found["not_training"] = attempt(lambda: training(reads=[DATA], use=use("infer", feature="f", model="m")))
found["no_reads"] = attempt(lambda: training(reads=[], use=USE))
found["no_datasets"] = attempt(lambda: ConsentGateOperator(task_id="g", datasets=[], use=USE) and None)
found["relative"] = attempt(lambda: dataset("lake/x.csv", "account_id") and None)
found["locator"] = attempt(lambda: dataset("/lake", "path:*/x.wav") and None)
print("FOUND " + json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    environ = {**os.environ, "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow"))}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stderr
    return dict(json.loads(lines[0].removeprefix("FOUND ")))


def test_nothing_heavy_is_imported(found: dict[str, object]) -> None:
    heavy = {"pandas", "great_expectations", "duckdb", "ibis", "av", "sqlalchemy", "pyarrow", "openlineage", "numpy"}
    assert not heavy & set(found["new"])  # type: ignore[call-overload]


@pytest.mark.parametrize("shape", ["ungated", "mapped_ungated", "other_use"])
def test_training_without_its_gate_is_rejected_with_the_lines_to_add(found: dict[str, object], shape: str) -> None:
    assert "trains without a consent gate upstream" in str(found[shape])
    assert "ConsentGateOperator(" in str(found[shape])


def test_training_with_its_gate_is_accepted(found: dict[str, object]) -> None:
    assert found["gated"] == "accepted"


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("purpose", "'trian' is not a purpose"),
        ("not_training", "infer is not a training purpose"),
        ("no_reads", "must name the datasets it reads"),
        ("no_datasets", "must name the datasets it is for"),
        ("relative", "neither a URI nor an absolute path"),
        ("locator", "must hold {account} exactly once"),
    ],
)
def test_mistakes_are_named(found: dict[str, object], mistake: str, message: str) -> None:
    assert message in str(found[mistake])


def test_provider_info_follows_airflows_schema() -> None:
    import importlib.resources

    import jsonschema

    from gate.airflow.provider import get_provider_info

    schema = Path(str(importlib.resources.files("airflow"))) / "provider_info.schema.json"
    jsonschema.validate(get_provider_info(), json.loads(schema.read_text("utf-8")))
