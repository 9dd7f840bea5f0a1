"""Airflow's emission policy, locked as docs/openlineage.md shows it: a DAG author cannot switch lineage off."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("emission_policy")]

DOCS = Path(__file__).parents[3] / "docs" / "openlineage.md"
LOCKED = re.search(r"^AIRFLOW__OPENLINEAGE__EMISSION_POLICY='(.*)'$", DOCS.read_text("utf-8"), re.MULTILINE)[1]

TRY = """
import json, warnings
warnings.simplefilter("ignore")
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.providers.openlineage.api.emission_policy import extend_global_openlineage_emission_policy as extend
from airflow.providers.openlineage.utils import emission_policy
from airflow.providers.openlineage.utils.selective_enable import disable_lineage

def author(act):
    with DAG("etl", schedule=None) as dag:
        task = PythonOperator(task_id="train", python_callable=print)
    act(dag, task)
    of_task = emission_policy.resolve_task_emission_policy(task, "etl", "train")
    whole = of_task.extract_operator_metadata and of_task.hook_lineage
    return [of_task.emit, whole, emission_policy.resolve_dag_emission_policy("etl", dag).emit]

print(json.dumps({
    "nothing": author(lambda dag, task: None),
    "disable_lineage(dag)": author(lambda dag, task: disable_lineage(dag)),
    "disable_lineage(task)": author(lambda dag, task: disable_lineage(task)),
    "emit, dag": author(lambda dag, task: extend(dag, emit=False)),
    "emit, task": author(lambda dag, task: extend(task, emit=False)),
    "events": author(lambda dag, task: extend(dag, emit_task_events=False, emit_dag_events=False)),
    "hooks": author(lambda dag, task: extend(task, hook_lineage=False)),
    "metadata": author(lambda dag, task: extend(task, extract_operator_metadata=False)),
}))
"""


def resolved(tmp_path: Path, **config: str) -> dict[str, list[bool]]:
    environ: dict[str, Any] = {"AIRFLOW_HOME": str(tmp_path), "PATH": os.defpath, "HOME": str(tmp_path)}
    environ |= {f"AIRFLOW__OPENLINEAGE__{name}": value for name, value in config.items()}
    done = subprocess.run(
        [sys.executable, "-c", TRY], env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[bool]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_without_a_lock_an_author_switches_lineage_off(tmp_path: Path) -> None:
    assert resolved(tmp_path) == {
        "nothing": [True, True, True],
        "disable_lineage(dag)": [True, True, True],  # it means something only with selective_enable
        "disable_lineage(task)": [True, True, True],
        "emit, dag": [False, True, False],
        "emit, task": [False, True, True],
        "events": [False, True, False],
        "hooks": [True, False, True],
        "metadata": [True, False, True],
    }


def test_with_the_lock_of_our_docs_nothing_an_author_says_counts(tmp_path: Path) -> None:
    for more in ({}, {"SELECTIVE_ENABLE": "true"}):
        assert set(map(tuple, resolved(tmp_path, EMISSION_POLICY=LOCKED, **more).values())) == {(True, True, True)}


def test_a_lock_on_emit_alone_lets_an_author_hollow_events_out(tmp_path: Path) -> None:
    emit_only = '[{"scope":{},"controls":{"emit":true},"locked":true}]'
    assert resolved(tmp_path, EMISSION_POLICY=emit_only)["metadata"] == [True, False, True]
