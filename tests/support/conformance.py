"""The events that an Airflow wrote: which of them are not valid OpenLineage, and what kinds of runs they are about."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from sqlalchemy import select

from gate.demo.home import Home
from gate.lineage.observed import observe
from gate.lineage.store import tables
from gate.lineage.store.database import LineageStore
from gate.lineage.store.nodes import SEPARATOR
from support.openlineage_spec import errors_of

Event = dict[str, Any]
Link = tuple[tuple[str, ...], tuple[str, ...]]  # namespace and name of a dataset and a job, or the other way around

ENDS = ("COMPLETE", "FAIL", "ABORT")


def read_events(home: Home) -> list[Event]:
    """Return the events so far; a line that is still being written is none."""
    lines = home.events.read_text("utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def faults_of(events: Iterable[Event]) -> dict[str, list[str]]:
    """Return what is wrong with which events, once per job and type; empty when all are valid facet by facet.

    Raises:
        InputError: our store could not read one.
    """
    found: dict[str, list[str]] = {}
    for event in events:
        observe(event)
        if faults := errors_of(event):
            found.setdefault(f"{event['job']['name']} {event.get('eventType')}", faults)
    return found


def shapes_of(events: Iterable[Event]) -> set[str]:
    """Return the kinds of runs that events are about."""
    return {shape for own in _runs(events) for shape in _shapes(own)}


def _runs(events: Iterable[Event]) -> Collection[list[Event]]:
    runs: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        runs[event["run"]["runId"]].append(event)
    return runs.values()


def _shapes(run: list[Event]) -> Iterator[str]:
    types = [event["eventType"] for event in run]
    facets: dict[str, Any] = {name: facet for event in run for name, facet in event["run"]["facets"].items()}
    airflow = facets.get("airflow") or facets.get("airflowDagRun") or {}
    instance = airflow.get("taskInstance") or {}
    decision = facets.get("gate_decision") or {}
    kind = (airflow.get("dagRun") or {}).get("run_type")
    if types.count("START") > 1:
        yield "review" if decision else "deferral"
    if "START" in types and not set(types) & set(ENDS):
        yield "no end"
    if instance.get("map_index", -1) > 0:
        yield "mapped"
    if instance.get("try_number", 1) > 1:
        yield "retry"
    if kind in ("asset_triggered", "backfill"):
        yield str(kind)
    if decision:
        yield str(decision["verdict"])
    if decision.get("override") is not None:
        yield "break-glass"
    if decision and any(output for event in run for output in event.get("outputs") or []):
        yield "subset"
    if any(tag["key"] == "gate.permit" for tag in (facets.get("tags") or {}).get("tags", [])):
        yield "training"


def plain_links(events: Iterable[Event]) -> set[Link]:
    """Return the links between datasets and jobs as somebody reads them who knows nothing of our store.

    What a run's last event lists as read beats what it declared before; a named version is believed in any event; what
    a run wrote did not come of itself, though it looked at it again.
    """
    found: set[Link] = set()
    for own in _runs(events):
        told = any(event["eventType"] in ENDS and event["inputs"] for event in own)
        written = {_version(one) for event in own for one in event["outputs"]}
        for event in own:
            job = (event["job"]["namespace"], event["job"]["name"])
            said = not told or event["eventType"] in ENDS
            reads = [v for v in map(_version, event["inputs"]) if (said or v[2]) and not (v[2] and v in written)]
            found.update((dataset[:2], job) for dataset in reads)
            found.update((job, _version(one)[:2]) for one in event["outputs"])
    return found


def _version(dataset: Event) -> tuple[str, str, str | None]:
    version = (dataset.get("facets") or {}).get("version") or {}
    return dataset["namespace"], dataset["name"], version.get("datasetVersion")


def stored_links(store: LineageStore) -> set[Link]:
    """Return the same links as our run-level graph tells them, of versions and runs what they are of."""
    with store.read() as connection:
        nodes = {row.id: row for row in connection.execute(select(tables.node))}
        edges = [(nodes[row.src], nodes[row.dst]) for row in connection.execute(select(tables.edge))]
    names = {id_: tuple(row.key.split(SEPARATOR)) for id_, row in nodes.items()}
    return {(names[src.of], names[dst.of]) for src, dst in edges if {src.kind, dst.kind} == {"run", "version"}}
