"""Lineage to look at: what the demo's decisions told, with a model that was trained; and graphs of any size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from gate.lineage.observed import Observed, observe
from gate.lineage.store.ingest import store_events
from gate.service.core import Service
from gate.service.lineage_store import open_lineage

TRAINED = ("train_meeting_summary", "manual__1")
MODEL = ("file", "/models/ms-1")
CATEGORIES = ("audio", "video", "chat", "telemetry", "phi", "")


def tell(service: Service) -> None:
    """Store the events of every recorded decision, Airflow's of the same runs, and a training."""
    with service.ledger.read() as reader:
        entries = list(reader.entries("decision"))
    events: list[dict[str, Any]] = []
    for entry in entries:
        text = service.ledger.outbox_event(f"decision/{entry.idx}")
        assert text is not None
        decided, run = json.loads(text), entry.body["run"]
        of_airflow = airflow(run["dag_id"], run["run_id"], run["task_id"])
        same = {name: decided[name] for name in ("job", "eventTime")} | {"run": {"runId": decided["run"]["runId"]}}
        events += [decided, event(same, "COMPLETE", of_airflow, inputs=[_bare(one) for one in decided["inputs"]])]
        if run["run_id"] == TRAINED[1] and run["dag_id"] == TRAINED[0]:
            events.append(_training(run, [_bare(one) for one in decided["inputs"]]))
    keep(service, map(observe, events))


def _training(run: dict[str, Any], inputs: list[Any]) -> dict[str, Any]:
    """Return the event of a training that somebody ran by hand, in spite of the gate."""
    own = {
        "job": {"namespace": "airflow", "name": f"{run['dag_id']}.train"},
        "eventTime": "2098-01-01T00:00:00.5Z",
        "run": {"runId": str(UUID(int=10_000))},
    }
    facets = airflow(run["dag_id"], run["run_id"], "train")
    return event(own, "COMPLETE", facets, inputs, [dataset(*MODEL, f"sha256:{7:064x}", model="ms-1")])


def keep(service: Service, observed: Iterator[Observed]) -> None:
    """Store events."""
    with open_lineage(service.settings) as store:
        store_events(store, observed)


def airflow(dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
    """Return the facet by which Airflow says whose run it is."""
    return {"airflow": {"dag": {"dag_id": dag_id}, "dagRun": {"run_id": run_id}, "task": {"task_id": task_id}}}


def event(
    same: dict[str, Any], kind: str, facets: dict[str, Any], inputs: list[Any], outputs: list[Any] | None = None
) -> dict[str, Any]:
    """Return a RunEvent; `same` holds its time, job and run."""
    run = {**same["run"], "facets": facets}
    return {**same, "eventType": kind, "run": run, "inputs": inputs, "outputs": outputs or []}


def dataset(namespace: str, name: str, version: str, category: str = "", *, model: str = "") -> dict[str, Any]:
    """Return a dataset version as it stands in events."""
    facets: dict[str, Any] = {"version": {"datasetVersion": version}}
    if category:
        facets["tags"] = {"tags": [{"key": f"data_category.{category}", "value": "declared"}]}
    if model:
        facets |= {"datasetType": {"datasetType": "MODEL"}, "tags": {"tags": [{"key": "gate.model", "value": model}]}}
    return {"namespace": namespace, "name": name, "facets": facets}


def layers(runs: int, width: int, dags: int) -> Iterator[Observed]:
    """Make a graph of about 2 × `runs` nodes: layers of runs that read two versions and write one; a model at the end.

    Args:
        runs: how many, before the one that trains `big`.
        width: runs in a layer.
        dags: how many DAGs they belong to.
    """
    written = [dataset("lake", f"/raw/{i}", f"v{i}", CATEGORIES[i % len(CATEGORIES)]) for i in range(width)]
    layer: list[dict[str, Any]] = []
    for number in range(runs):
        place = number % width
        version = dataset("lake", f"/d{number % 997}", f"r{number}", CATEGORIES[number % len(CATEGORIES)])
        yield observe(
            event(
                _run(number, f"dag_{number % dags}"),
                "COMPLETE",
                airflow(f"dag_{number % dags}", f"run_{number // dags}", "work"),
                [_bare(written[place]), _bare(written[(place * 7 + number // width) % width])],
                [version],
            )
        )
        layer.append(version)
        if len(layer) == width:
            written, layer = layer, []
    last = dataset("models", "big", "sha256:" + "b" * 64, model="big")
    ends = [_bare(one) for one in [*written[len(layer) :], *layer]]
    yield observe(event(_run(runs, "trains"), "COMPLETE", airflow("trains", "run", "train"), ends, [last]))


def _run(number: int, dag_id: str) -> dict[str, Any]:
    minutes, seconds = divmod(number, 60)
    return {
        "eventTime": f"2026-11-{1 + minutes // 1440:02}T{minutes // 60 % 24:02}:{minutes % 60:02}:{seconds:02}Z",
        "job": {"namespace": "airflow", "name": f"{dag_id}.work"},
        "run": {"runId": str(UUID(int=number + 1))},
    }


def _bare(one: dict[str, Any]) -> dict[str, Any]:
    """Return a dataset version without what the event says beside it."""
    return {**one, "facets": {name: one["facets"][name] for name in ("version",) if name in one.get("facets", {})}}
