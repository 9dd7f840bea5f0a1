"""The guard in real workers: it stands in front of every shape of training task, and lets it pass with consent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gate.service.core import open_service
from gate.service.settings import read_settings
from support.attack_lab import RUN, seed
from support.real_airflow import ONE_AT_A_TIME, RealAirflow, real_airflow

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(1500), ONE_AT_A_TIME]

HERE = Path(__file__).parent
DAGS = ("shapes_good", "shapes_bad", "found_good", "found_bad", "resumed_after_withdrawal")


@dataclass
class Runs:
    """What came of the runs: task states, marks of training code, and the ledger's entries by DAG."""

    airflow: RealAirflow
    states: Mapping[str, Mapping[str, str | None]]

    @property
    def folder(self) -> Path:
        return self.airflow.home.gate

    def marks(self, dag_id: str) -> set[str]:
        return {path.name.removeprefix(f"{dag_id}.") for path in (self.folder / "marks").glob(f"{dag_id}.*")}

    def training(self, dag_id: str) -> dict[str, str | None]:
        """Return the states of the training tasks, by shape and map index."""
        return {name: state for name, state in self.states[dag_id].items() if "train" in name}

    def entries(self, kind: str, dag_id: str) -> list[Mapping[str, Any]]:
        with open_service(read_settings({"GATE_HOME": str(self.folder)})) as service, service.ledger.read() as reader:
            return [entry.body for entry in reader.entries(kind) if entry.body["run"]["dag_id"] == dag_id]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "dags").mkdir()
    shutil.copy(HERE / "dags" / "shapes.py", folder / "dags")
    rules = str(HERE / "training-rules.yaml")
    with real_airflow(folder, folder / "dags", AIRFLOW__CONSENT_GATE__TRAINING_RULES=rules) as airflow:
        seed(airflow.home.gate)
        airflow.wait_until_healthy()
        airflow.wait_for_dags(DAGS)
        for dag_id in DAGS:
            airflow.start(dag_id, RUN)
        airflow.wait_until_ended(dict.fromkeys(DAGS, RUN), seconds=1200)
        yield Runs(airflow, {dag_id: airflow.states(dag_id, RUN) for dag_id in DAGS})


def shape_of(mark: str) -> str:
    return mark.split(".")[0]


@pytest.mark.parametrize("dag_id", ["shapes_good", "found_good"])
def test_with_consent_every_shape_trains(runs: Runs, dag_id: str) -> None:
    training = runs.training(dag_id)
    assert training
    assert set(training.values()) == {"success"}, training
    trained = {mark for mark in runs.marks(dag_id) if not mark.endswith(("-submitted", "-hook"))}
    assert len(trained) == len(training)
    redeemed = {(run["task_id"], run["map_index"]) for run in (e["run"] for e in runs.entries("redemption", dag_id))}
    assert len(redeemed) == len(training)


@pytest.mark.parametrize("dag_id", ["shapes_bad", "found_bad"])
def test_without_consent_no_shape_trains(runs: Runs, dag_id: str) -> None:
    assert runs.marks(dag_id) == set()
    training = runs.training(dag_id)
    assert training
    assert set(training.values()) == {"failed"}, training
    refused = runs.entries("refusal", dag_id)
    assert {entry["reason"] for entry in refused} == {"permit_missing"}
    assert len({(entry["run"]["task_id"], entry["run"]["map_index"]) for entry in refused}) == len(training)
    assert runs.entries("redemption", dag_id) == []


def test_both_runs_saw_the_same_tasks(runs: Runs) -> None:
    assert set(runs.training("shapes_good")) == set(runs.training("shapes_bad"))
    assert len({shape_of(name) for name in runs.training("shapes_good")}) >= 26


def test_the_authors_hook_runs_after_ours(runs: Runs) -> None:
    hooked = {shape_of(mark) for mark in runs.marks("shapes_good") if mark.endswith("-hook")}
    assert hooked == {"with_author_hook", "with_generator_hook"}


def test_a_deferred_task_is_asked_again_when_it_resumes(runs: Runs) -> None:
    assert runs.marks("resumed_after_withdrawal") == {"train-1-submitted"}
    assert runs.states["resumed_after_withdrawal"]["train"] == "failed"
    assert len(runs.entries("redemption", "resumed_after_withdrawal")) == 1
    [exposure] = runs.entries("exposure", "resumed_after_withdrawal")
    assert exposure["reason"] == "consent_withdrawn"


def test_the_interface_shows_the_operators_by_their_own_names(runs: Runs) -> None:
    tasks = runs.airflow.do("viewer", "GET", "/dags/shapes_good/tasks")["tasks"]
    names = {task["task_id"]: task["class_ref"]["class_name"] for task in tasks}
    assert names["bash.train"] == "BashOperator"
    assert names["pod_mapped.train"] == "PodOperator"
