"""The operators in a real Airflow: what runs, what refuses, and that nothing trains without a permit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900), pytest.mark.xdist_group("operators")]

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="module")
def outcomes(home: Path) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATE_", "AIRFLOW"))}
    environ = {
        **kept,
        "AIRFLOW_HOME": str(home),
        "GATE_HOME": str(home / "gate"),
        "PYTHONPATH": str(HERE.parent),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__OPENLINEAGE__DISABLED": "true",
    }
    (home / "dags").mkdir()
    shutil.copy(HERE / "operator_dags.py", home / "dags")
    airflow = str(Path(sys.executable).with_name("airflow"))
    subprocess.run([airflow, "db", "migrate"], env=environ, check=True, capture_output=True, timeout=300)
    done = subprocess.run(
        [sys.executable, str(home / "dags" / "operator_dags.py")],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    marked = [line for line in done.stdout.splitlines() if line.startswith("OUTCOMES ")]
    assert marked, done.stdout[-3000:] + done.stderr[-3000:]
    return dict(json.loads(marked[0].removeprefix("OUTCOMES ")))


def test_consented_data_trains(outcomes: dict[str, Any]) -> None:
    assert outcomes["allowed"]["state"] == "success"
    assert outcomes["allowed"]["trained"] == 1


def test_a_block_fails_without_retries_and_nothing_downstream_starts(outcomes: dict[str, Any]) -> None:
    assert outcomes["blocked"]["tasks"] == {"tag": "success", "consent_gate": "failed", "train": "upstream_failed"}
    assert outcomes["blocked"]["trained"] == 0


def test_subset_trains_on_the_consented_rows(outcomes: dict[str, Any], home: Path) -> None:
    assert outcomes["subset"]["state"] == "success"
    assert (home / "gate" / "marks" / "subset-0").read_text() == "1"


def test_mapped_training_redeems_for_every_index(outcomes: dict[str, Any]) -> None:
    assert outcomes["mapped"]["state"] == "success"
    assert outcomes["mapped"]["trained"] == 2


def test_marking_the_gate_successful_permits_nothing(outcomes: dict[str, Any]) -> None:
    tasks = outcomes["gate_marked_success"]["tasks"]
    assert (tasks["consent_gate"], tasks["train"]) == ("success", "failed")
    assert outcomes["gate_marked_success"]["trained"] == 0


@pytest.mark.parametrize("rule", ["all_done", "always"])
def test_permissive_trigger_rules_do_not_help(outcomes: dict[str, Any], rule: str) -> None:
    assert outcomes[rule]["tasks"]["train"] == "failed"
    assert outcomes[rule]["trained"] == 0


def test_any_operator_can_be_locked(outcomes: dict[str, Any]) -> None:
    assert (outcomes["bash"]["trained"], outcomes["bash_blocked"]["trained"]) == (1, 0)
    assert outcomes["bash_blocked"]["tasks"]["train"] == "failed"
    assert (outcomes["bash_mapped"]["trained"], outcomes["bash_mapped_blocked"]["trained"]) == (2, 0)


def test_the_authors_hook_runs_after_ours(outcomes: dict[str, Any], home: Path) -> None:
    assert outcomes["author_hook"]["state"] == "success"
    assert (home / "gate" / "marks" / "author_hook-hook").read_text() == "permit"


def test_without_its_guard_a_training_task_refuses(outcomes: dict[str, Any]) -> None:
    assert outcomes["guard_removed"]["tasks"]["train"] == "failed"
    assert outcomes["guard_removed"]["trained"] == 0


def test_the_sensor_waits_for_consent(outcomes: dict[str, Any]) -> None:
    assert outcomes["sensor"]["state"] == "success"
    assert outcomes["sensor_deferred"]["state"] == "success"
    assert outcomes["sensor_times_out"]["tasks"]["wait"] == "failed"


def test_every_refusal_is_recorded(outcomes: dict[str, Any], home: Path) -> None:
    from gate.service.core import open_service
    from gate.service.settings import read_settings

    assert outcomes
    with open_service(read_settings({"GATE_HOME": str(home / "gate")})) as service, service.ledger.read() as reader:
        refused = {entry.body["run"]["dag_id"]: entry.body["reason"] for entry in reader.entries("refusal")}
    for dag_id in ("gate_marked_success", "all_done", "always", "bash_blocked", "bash_mapped_blocked"):
        assert refused[dag_id] == "permit_missing"
