"""Events as Spark, dbt, Flink and older Airflows write them: read as they are, and nonsense is refused by place."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from gate.errors import InputError
from gate.lineage.observed import observe
from gate.lineage.store import tables
from gate.lineage.store.database import open_store
from gate.lineage.store.graph import events_of
from gate.lineage.store.ingest import store_events
from gate.lineage.store.nodes import SEPARATOR

Event = dict[str, Any]

ROOT, PARENT, RUN = (f"0196d2c4-0000-7000-8000-00000000000{number}" for number in range(1, 4))
AT = "2026-11-22T10:00:0{}.5Z"
SECOND = 1_000_000  # microseconds


def facet(**fields: Any) -> Event:
    return {"_producer": "https://example.org/emitter", "_schemaURL": "https://example.org/facet.json", **fields}


def dataset(namespace: str, name: str, **facets: Any) -> Event:
    return {"namespace": namespace, "name": name, "facets": facets}


def run_event(kind: str | None, second: int, job: tuple[str, str], run: str = RUN, **parts: Any) -> Event:
    facets = parts.pop("facets", {})
    event = {
        "eventTime": AT.format(second),
        "producer": "https://example.org/emitter",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run, "facets": facets},
        "job": {"namespace": job[0], "name": job[1], "facets": {}},
        **parts,
    }
    return event if kind is None else {**event, "eventType": kind}


def parent_facet(run: str, job: str, root: str) -> Event:
    return facet(
        run={"runId": run},
        job={"namespace": "etl", "name": job},
        root={"run": {"runId": root}, "job": {"namespace": "etl", "name": "nightly"}},
    )


def spark() -> list[Event]:
    """A write of a Spark application: nothing is known at the start, the plan's facets are nested without end."""
    job = ("etl", "nightly_load.execute_insert_into_hadoop_fs_relation_command.lake_meetings")
    facets = {
        "parent": parent_facet(PARENT, "nightly_load", ROOT),
        "spark_properties": facet(properties={"spark.master": "yarn", "spark.app.name": "nightly load"}),
        "spark.logicalPlan": facet(plan=[{"class": "InsertInto", "query": [{"child": [{"output": [[[]]]}]}]}]),
        "processing_engine": facet(name="spark", version="3.5.1", openlineageAdapterVersion="1.23.0"),
    }
    source = dataset(
        "s3://lake",
        "raw/meetings",
        schema=facet(fields=[{"name": "id", "type": "long"}]),
        symlinks=facet(identifiers=[{"namespace": "hive://meta:9083", "name": "raw.meetings", "type": "TABLE"}]),
        version=facet(datasetVersion="8267411033412"),
    )
    transformation = {"type": "DIRECT", "subtype": "IDENTITY", "description": "", "masking": False}
    field = {"namespace": "s3://lake", "name": "raw/meetings", "field": "id", "transformations": [transformation]}
    target = dataset(
        "s3://lake",
        "meetings",
        columnLineage=facet(fields={"id": {"inputFields": [field]}}, dataset=[]),
        lifecycleStateChange=facet(lifecycleStateChange="OVERWRITE"),
    )
    target["outputFacets"] = {"outputStatistics": facet(rowCount=10, size=2048, fileCount=1)}
    source["inputFacets"] = {}
    return [
        run_event("START", 1, job, facets=facets, inputs=[], outputs=[]),
        run_event("RUNNING", 2, job, facets=facets, inputs=[source], outputs=[]),
        run_event("COMPLETE", 3, job, facets=facets, inputs=[source], outputs=[target]),
    ]


def dbt() -> list[Event]:
    """A model of a dbt project: start and end, no versions, what a test found on the dataset's side."""
    job = ("dbt", "warehouse.analytics.shop.stg_calls.build.run")
    checks = facet(assertions=[{"assertion": "not_null", "success": False, "column": "account_id"}])
    source = dataset("postgres://db:5432", "analytics.raw.calls", dataQualityAssertions=checks)
    facets = {"dbt_version": facet(version="1.9.0"), "parent": parent_facet(PARENT, "dbt-run-shop", PARENT)}
    target = dataset("postgres://db:5432", "analytics.staging.stg_calls", documentation=facet(description="…"))
    return [
        run_event("START", 1, job, facets=facets, inputs=[source], outputs=[target]),
        run_event("COMPLETE", 2, job, facets=facets, inputs=[source], outputs=[target]),
    ]


def flink() -> list[Event]:
    """A stream that never ends: it says again and again that it runs."""
    source, target = dataset("kafka://broker:9092", "calls.v1"), dataset("kafka://broker:9092", "calls.clean")
    checkpoints = {"checkpoints": facet(completed=3, failed=0, in_progress=1, restored=0, total=4)}
    job, sides = ("streams", "clean-calls"), {"inputs": [source], "outputs": [target]}
    return [
        run_event("START", 1, job, **copy.deepcopy(sides)),
        *(run_event("RUNNING", second, job, facets=checkpoints, **copy.deepcopy(sides)) for second in (2, 3)),
    ]


def airflow_2() -> list[Event]:
    """A task of Airflow 2: settings as text, arguments of the run in a facet of their own, times of its own making."""
    airflow = facet(
        dag={"dag_id": "etl", "owner": "data", "schedule_interval": "@daily", "tags": "[]"},
        dagRun={"dag_id": "etl", "run_id": "scheduled__2024-01-01T00:00:00+00:00", "run_type": "scheduled"},
        task={"task_id": "load", "operator_class": "SQLExecuteQueryOperator", "mapped": False},
        taskInstance={"try_number": 2, "map_index": 4},
        taskUuid=RUN,
    )
    facets = {
        "airflow": airflow,
        "airflow_runArgs": facet(externalTrigger=False),
        "airflow_version": facet(version="2.10.5", operator="airflow.SQLExecuteQueryOperator"),
        "nominalTime": facet(nominalStartTime="2024-01-01T00:00:00Z", nominalEndTime="2024-01-02T00:00:00Z"),
        "parent": parent_facet(PARENT, "etl", PARENT),
        "unknownSourceAttribute": facet(unknownItems=[{"name": "SomeOperator", "properties": {"a": None}}]),
    }
    sides = {
        "inputs": [dataset("postgres://db:5432", "shop.public.calls")],
        "outputs": [dataset("bigquery", "shop.calls")],
    }
    return [
        run_event("START", 1, ("prod", "etl.load"), facets=facets, inputs=[], outputs=[]),
        run_event("FAIL", 2, ("prod", "etl.load"), facets={**facets, "errorMessage": facet(message="no")}, **sides),
    ]


EMITTERS = {"spark": spark, "dbt": dbt, "flink": flink, "airflow_2": airflow_2}


def graph_of(folder: Path, events: Iterable[Event]) -> set[tuple[str, str, bool]]:
    """Store events, twice, and return the links as (from, to, assumed); the raw events must come back unchanged."""
    made = list(events)
    with open_store(f"sqlite:///{folder / 'lineage.db'}") as store:
        store_events(store, [observe(event) for event in made])
        assert store_events(store, [observe(event) for event in made]) == (0, len(made))
        with store.read() as connection:
            names = {row.id: _name(row) for row in connection.execute(select(tables.node))}
            kept = [json.loads(text) for text in connection.execute(select(tables.event.c.event)).scalars()]
            edges = {(names[e.src], names[e.dst], e.assumed) for e in connection.execute(select(tables.edge))}
    assert sorted(map(str, kept)) == sorted(str(json.loads(json.dumps(event, sort_keys=True))) for event in made)
    return edges


def _name(row: Any) -> str:
    parts = row.key.split(SEPARATOR)
    return {"run": "run", "version": "@".join(parts[1:])}.get(row.kind, "/".join(parts))


GRAPHS = {
    "spark": {("raw/meetings@8267411033412", "run", False), ("run", f"meetings@run:{RUN}", True)},
    "dbt": {("analytics.raw.calls@", "run", True), ("run", f"analytics.staging.stg_calls@run:{RUN}", True)},
    "flink": {("calls.v1@", "run", True), ("run", f"calls.clean@run:{RUN}", True)},
    "airflow_2": {("shop.public.calls@", "run", True), ("run", f"shop.calls@run:{RUN}", True)},
}


@pytest.mark.parametrize("emitter", EMITTERS)
def test_others_events_are_kept_raw_and_make_a_graph(emitter: str, tmp_path: Path) -> None:
    assert graph_of(tmp_path, EMITTERS[emitter]()) == GRAPHS[emitter]


@pytest.mark.parametrize("emitter", EMITTERS)
def test_their_order_does_not_matter(emitter: str, tmp_path: Path) -> None:
    assert graph_of(tmp_path, reversed(EMITTERS[emitter]())) == GRAPHS[emitter]


def test_raw_events_of_a_run_are_found_by_its_id(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'lineage.db'}") as store:
        store_events(store, [observe(event) for event in [*spark(), *dbt()]])
        with store.read() as connection:
            kept = [json.loads(text) for text in events_of(connection, [RUN])]
    assert kept == [*spark(), *dbt()]


def test_what_older_airflows_say_of_a_task_is_known() -> None:
    seen = observe(airflow_2()[1])
    assert seen.facts["state"] == "FAIL"
    assert seen.facts["parent"] == PARENT
    assert json.loads(seen.facts["airflow"]) == {
        "dag_id": "etl",
        "run_id": "scheduled__2024-01-01T00:00:00+00:00",
        "task_id": "load",
        "map_index": 4,
        "try_number": 2,
    }


def test_an_upper_case_run_id_is_the_same_run(tmp_path: Path) -> None:
    start, end = dbt()
    end["run"]["runId"] = RUN.upper()
    assert graph_of(tmp_path, [start, end]) == GRAPHS["dbt"]


def test_without_a_type_an_event_says_what_was_read_but_not_that_it_ended() -> None:
    [event] = dbt()[:1]
    del event["eventType"]
    seen = observe(event)
    assert "state" not in seen.facts
    assert not seen.final
    assert [one.dataset[1] for one in seen.reads] == ["analytics.raw.calls"]


def test_a_dataset_event_is_about_a_version_and_what_it_was_made_from(tmp_path: Path) -> None:
    made_from = facet(inputs=[{"namespace": "hf", "name": "base", "type": "DATASET"}])
    event = {
        "eventTime": AT.format(1),
        "dataset": dataset("models", "tuned", version=facet(datasetVersion="2"), lineage=made_from),
    }
    assert observe(event).final
    assert graph_of(tmp_path, [event]) == {("base@", "tuned@2", True)}


def test_a_job_event_is_about_what_a_job_is_made_to_read_and_write(tmp_path: Path) -> None:
    job = {"namespace": "etl", "name": "nightly", "facets": {"sql": facet(query="select 1")}}
    version = facet(datasetVersion="7")
    event = {"eventTime": AT.format(1), "job": job, "inputs": [dataset("lake", "raw", version=version)], "outputs": []}
    assert graph_of(tmp_path, [event]) == {("raw@7", "etl/nightly", False)}


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("1970-01-01T00:00:01.123456789Z", 1.123456),
        ("1970-01-01T00:00:01.1Z", 1.1),
        ("1970-01-01T00:00:01", 1),
        ("1970-01-01 00:00:01+00:00", 1),
        ("1970-01-01T02:00:01+02:00", 1),
        ("1969-12-31T16:00:01-0800", 1),
    ],
)
def test_times_as_emitters_write_them(text: str, after: float) -> None:
    assert observe({"eventTime": text, "job": {"namespace": "a", "name": "b"}}).at == round(after * SECOND)


@pytest.mark.parametrize("nothing", [None, {}])
def test_facets_may_be_empty_or_null(nothing: Any) -> None:
    event = dbt()[0]
    event["run"]["facets"] = event["job"]["facets"] = nothing
    event["inputs"][0]["facets"] = event["inputs"][0]["inputFacets"] = nothing
    event["outputs"][0]["facets"] = {"version": nothing, "tags": nothing, "lineage": nothing, "datasetType": nothing}
    seen = observe(event)
    assert (seen.reads[0].version, seen.writes[0].version, seen.writes[0].facts) == (None, None, {})
    assert seen.facts == {"state": "START"}


def test_null_sides_are_empty_ones() -> None:
    event = {**dbt()[0], "inputs": None, "outputs": None, "dataset": None}
    assert (observe(event).reads, observe(event).writes) == ((), ())


def changed(**parts: Any) -> Event:
    return {**dbt()[0], **parts}


NONSENSE = {
    "event": [[], "text", None, 7, {"eventTime": AT.format(1)}, {"eventTime": AT.format(1), "run": None}],
    "event.eventTime": [
        {},
        *(changed(eventTime=time) for time in (None, 7, "", "yesterday", "2026-13-01T00:00:00Z", [])),
    ],
    "event.run": [changed(run=run) for run in ("id", 7, [])],
    "event.run.runId": [
        changed(run=run) for run in ({}, {"runId": None}, {"runId": ""}, {"runId": 7}, {"runId": "a\x00"})
    ],
    "event.job": [changed(job="name")],
    "event.job.name": [changed(job={"namespace": "a"}), changed(job={"namespace": "a", "name": ["b"]})],
    "event.job.namespace": [changed(job={"name": "b"})],
    "event.inputs": [changed(inputs={}), changed(inputs="raw")],
    "event.inputs[1]": [changed(inputs=[dataset("a", "b"), "raw"])],
    "event.outputs[0].name": [changed(outputs=[{"namespace": "a"}]), changed(outputs=[dataset("a", "\ud800")])],
    "event.outputs[0].namespace": [changed(outputs=[{}]), changed(outputs=[dataset("a\x1fb", "c")])],
    "event.dataset.namespace": [{"eventTime": AT.format(1), "dataset": {}}],
}


@pytest.mark.parametrize("where", NONSENSE)
def test_nonsense_is_refused_by_its_place(where: str) -> None:
    for event in NONSENSE[where]:
        with pytest.raises(InputError) as caught:
            observe(event)
        assert caught.value.where == where, event


def test_a_facet_that_only_has_the_name_of_one_we_know_stays_raw() -> None:
    known = {"namespace": "hf", "name": "base"}
    job = {"namespace": "etl", "name": "nightly", "type": "JOB"}
    facets: Event = {"lineage": {"inputs": [known, job, {"namespace": "a"}, "raw", None]}}
    facets |= {"version": "2", "tags": ["red", {"key": 7}], "datasetType": {"datasetType": ["FILE"]}}
    [seen] = observe(changed(outputs=[dataset("a", "b", **facets)])).writes
    assert (seen.sources, seen.version, seen.facts) == ((("hf", "base"),), None, {})


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: Any = None
    for _ in range(20_000):
        deep = [deep]
    with pytest.raises(InputError, match="nested too deeply"):
        observe(changed(producer=deep))


def test_a_decision_s_index_is_a_number_of_the_ledger() -> None:
    for index in (-1, 10**18, True, "41", 4.5, None, {"a": 1}):
        facets = {
            "gate_decision": facet(verdict="allow", ledger={"index": index}),
            "tags": {"tags": [{"key": "gate.decision", "value": "x" * 5000}]},
        }
        seen = observe(changed(run={"runId": RUN, "facets": facets}))
        assert (seen.decision, seen.permitted_by) == (None, None)


def longest(size: int) -> str:
    """Return a text of so many bytes that does not compress, as characters of three bytes each."""
    found, state = "", 1
    while len(found) < size // 3:
        state = state * 48271 % 2147483647
        found += chr(0x4E00 + state % 20_000)
    return found


def test_the_longest_names_fit_the_databases_indexes(ledger_url: str, tmp_path: Path) -> None:
    name = longest(1998)
    one = dataset("n", name, version={"datasetVersion": longest(498)})
    one["inputFacets"] = {"gate_consentCoverage": {"decision_index": longest(3000), "coverage": []}}
    event = changed(run={"runId": name}, job={"namespace": "n", "name": name}, inputs=[one], outputs=[one])
    with open_store(ledger_url) as store:
        assert store_events(store, [observe(event)]) == (1, 0)
    too_long = dataset("n" * 3, name)
    with pytest.raises(InputError, match="2000 bytes"):
        observe(changed(inputs=[too_long]))
    assert observe(changed(inputs=[dataset("n", "m", version={"datasetVersion": "v" * 501})])).reads[0].version is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KNOWN = (
    *("run", "job", "dataset", "inputs", "outputs", "eventType", "runId", "namespace", "name", "facets"),
    *("inputFacets", "version", "datasetVersion", "tags", "key", "value", "lineage", "datasetType", "gate_decision"),
    *("ledger", "index", "policy", "use", "reasons", "gate_consentCoverage", "decision_index", "airflow", "dag"),
    *("dag_id", "parent", "gate.decision", "gate.permit", "data_category.chat"),
)
almost_events = st.recursive(
    json_values | st.sampled_from(["START", "gate.decision", "1", 7]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KNOWN), inner, max_size=6),
    max_leaves=12,
)


@given(almost_events, st.dictionaries(st.sampled_from(KNOWN), almost_events, max_size=6))
@settings(max_examples=100, deadline=None)
def test_arbitrary_json_is_read_or_refused(anything: Any, parts: dict[str, Any]) -> None:
    named = {"eventTime": AT.format(1), "run": {"runId": RUN, "facets": parts}}
    for event in (anything, {**named, **parts}, {**named, "inputs": [{"namespace": "a", "name": "b", **parts}]}):
        with suppress(InputError):
            seen = observe(event)
            assert json.dumps(json.loads(seen.raw), sort_keys=True) == json.dumps(event, sort_keys=True)
