"""Trainings, subsets and derived data in a small world, told to ledger and lineage, for tests of what they concern."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gate.domain.dataset import Dataset
from gate.domain.run import TaskRun
from gate.lineage.observed import observe
from gate.lineage.store.database import LineageStore
from gate.lineage.store.ingest import store_events
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.outcome import Asking, Outcome
from gate.service.tagging import tag_dataset
from gate.service.worker import redeem
from support.world import USE, chat_file

GATE = TaskRun("train_summary", "manual__1", "consent_gate")
Version = tuple[str, str]  # name and digest, of a file


def decided(service: Service, data: Dataset, run_id: str = "manual__1", *, dag: str = "train_summary") -> Outcome:
    """Ask the gate about a dataset that was tagged as chat."""
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    run = replace(GATE, dag_id=dag, run_id=run_id)
    return decide(service, [data], USE, Asking(run, ("train",), "service:airflow", "airflow"))


def trained(service: Service, data: Dataset, run_id: str = "manual__1", *, dag: str = "train_summary") -> Outcome:
    """Decide about a dataset, and start training on it."""
    outcome = decided(service, data, run_id, dag=dag)
    assert outcome.allowed, outcome.reasons
    redeem(service, TaskRun(dag, run_id, "train"), [data], USE, by="service:airflow")
    return outcome


def chats(folder: Path, name: str, accounts: Iterable[str]) -> Dataset:
    """Write one message per account."""
    return chat_file(folder, accounts, f"{name}.jsonl")


def version_of(outcome: Outcome) -> Version:
    """Return name and digest of what a decision is about."""
    version = outcome.versions[0]
    return version.dataset.name, version.digest


def ran(
    store: LineageStore,
    reads: Iterable[Version] = (),
    writes: Iterable[Version] = (),
    *,
    run: TaskRun | None = None,
    model: bool = False,
    at: str = "2024-01-01T00:00:00Z",
) -> str:
    """Tell lineage of a run; returns its id."""
    run_id = str(uuid.uuid4())
    facets = {} if run is None else {"airflow": _airflow(run)}
    event = {
        "eventType": "COMPLETE",
        "eventTime": at,
        "run": {"runId": run_id, "facets": facets},
        "job": {"namespace": "default", "name": f"{run.dag_id}.{run.task_id}" if run else "someone.else"},
        "inputs": [_dataset(one) for one in reads],
        "outputs": [_dataset(one, model=model) for one in writes],
        "producer": "https://example.org",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
    }
    store_events(store, [observe(event)])
    return run_id


def _dataset(one: Version, *, model: bool = False) -> dict[str, Any]:
    facets: dict[str, Any] = {"version": {"datasetVersion": one[1]}}
    if model:
        facets["datasetType"] = {"datasetType": "MODEL"}
    return {"namespace": "file", "name": one[0], "facets": facets}


def _airflow(run: TaskRun) -> dict[str, Any]:
    return {
        "dag": {"dag_id": run.dag_id},
        "dagRun": {"run_id": run.run_id},
        "task": {"task_id": run.task_id},
        "taskInstance": {"map_index": run.map_index, "try_number": run.try_number},
    }
