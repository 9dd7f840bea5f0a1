"""The same set of events gives the same graph, in whatever order, batches and copies they come."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from gate.lineage.observed import observe
from gate.lineage.store import tables
from gate.lineage.store.database import open_store
from gate.lineage.store.ingest import index_again, store_events

DATASETS = ("raw", "clean", "model")
times = st.integers(0, 6).map(lambda minute: f"2026-11-22T10:0{minute}:00Z")


def dataset(name: str, version: str | None, sources: list[str]) -> dict[str, Any]:
    facets: dict[str, Any] = {"version": {"datasetVersion": version}} if version else {}
    if sources:
        facets["lineage"] = {"inputs": [{"namespace": "lake", "name": source} for source in sources]}
    return {"namespace": "lake", "name": name, "facets": facets}


datasets = st.builds(dataset, st.sampled_from(DATASETS), st.sampled_from([None, None, "1", "2"]), st.just([]))
run_events = st.fixed_dictionaries(
    {
        "eventTime": times,
        "eventType": st.sampled_from(["START", "RUNNING", "COMPLETE", "FAIL", "OTHER", None]),
        "run": st.sampled_from(["r1", "r2", "r3"]).map(lambda run: {"runId": run, "facets": {}}),
        "job": st.just({"namespace": "dag", "name": "task"}),
        "inputs": st.lists(datasets, max_size=2),
        "outputs": st.lists(datasets, max_size=2),
    }
)
dataset_events = st.builds(
    lambda at, name, version, source: {"eventTime": at, "dataset": dataset(name, version, [source])},
    times,
    st.sampled_from(DATASETS),
    st.sampled_from([None, "1", "3"]),
    st.sampled_from(DATASETS),
)
job_events = st.builds(
    lambda at, reads: {"eventTime": at, "job": {"namespace": "dag", "name": "design"}, "inputs": reads},
    times,
    st.lists(datasets, max_size=2),
)


def graph_of(batches: list[list[dict[str, Any]]], *, again: bool = False) -> tuple[set[Any], set[Any]]:
    with tempfile.TemporaryDirectory() as folder, open_store(f"sqlite:///{Path(folder) / 'lineage.db'}") as store:
        for batch in batches:
            store_events(store, [observe(event) for event in batch])
        with store.write() as connection:
            if again:
                for table in (tables.node, tables.edge, tables.fact, tables.seen, tables.loose, tables.told):
                    connection.execute(table.delete())
                index_again(connection)
            names = {row.id: (row.kind, row.key) for row in connection.execute(select(tables.node))}
            edges = {(names[e.src], names[e.dst], e.at, e.assumed) for e in connection.execute(select(tables.edge))}
            facts = {(names[f.node], f.name, f.at, f.value) for f in connection.execute(select(tables.fact))}
    return edges, facts


@given(
    st.lists(st.one_of(run_events, run_events, dataset_events, job_events), max_size=9),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_order_batches_and_copies_do_not_matter(events: list[dict[str, Any]], chance: random.Random) -> None:
    expected = graph_of([events])
    mixed = [*events, *chance.sample(events, len(events) // 2)]
    chance.shuffle(mixed)
    assert graph_of([[event] for event in mixed]) == expected
    cut = chance.randint(0, len(mixed))
    assert graph_of([mixed[:cut], mixed[cut:]]) == expected
    assert graph_of([mixed[:cut], mixed[cut:]], again=True) == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
@settings(max_examples=200, deadline=None)
def test_unknown_facets_are_kept_whatever_they_hold(value: Any) -> None:
    event = {"eventTime": "2026-11-22T10:00:00Z", "run": {"runId": "r1", "facets": {"strange": {"is": value}}}}
    kept = json.loads(observe(json.loads(json.dumps(event))).raw)
    assert json.dumps(kept, sort_keys=True) == json.dumps(event, sort_keys=True)
