"""The lineage store answers alike on SQLite and PostgreSQL: closures, parts, versions, and finding nodes by name."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import select, text

from gate.lineage.observed import observe
from gate.lineage.store import graph, lookup, tables
from gate.lineage.store.among import among
from gate.lineage.store.database import LineageStore, open_store
from gate.lineage.store.graph import FOREVER
from gate.lineage.store.ingest import dataset_key, store_events, version_key
from gate.service.lineage_questions import Question, ask
from support.lineage_scene import CHAT, MODEL, SUBSET, data, digest, event, observed, run_id, scene

MINUTE = 60_000_000  # microseconds


@pytest.fixture
def store(ledger_url: str) -> Iterator[LineageStore]:
    with open_store(ledger_url) as opened:
        yield opened


@pytest.fixture
def told(store: LineageStore) -> LineageStore:
    store_events(store, observed())
    return store


def test_the_closure_is_what_going_from_link_to_link_finds(store: LineageStore) -> None:
    chance = random.Random(5)
    links = {(chance.randrange(40), chance.randrange(40)): chance.randrange(10) for _ in range(90)}
    with store.write() as connection:
        nodes = [{"id": id_, "kind": "run", "key": f"r{id_}", "of": None} for id_ in range(40)]
        connection.execute(tables.node.insert(), nodes)
        edges = [{"src": src, "dst": dst, "at": at, "assumed": False} for (src, dst), at in links.items()]
        connection.execute(tables.edge.insert(), edges)
    with store.read() as connection:
        for at in (0, 3, 6, FOREVER):
            for direction in ("upstream", "downstream"):
                for depth in (None, 0, 1, 3, 100):
                    roots = chance.sample(range(40), 2)
                    expected = walked(links, roots, direction, at, depth)
                    found = graph.closure(connection, roots, direction, at=at, depth=depth)
                    assert found.keys() == expected.keys()
                    assert depth is None or found == expected


def walked(
    links: dict[tuple[int, int], int], roots: list[int], direction: str, at: int, depth: int | None
) -> dict[int, int]:
    found, border, distance = dict.fromkeys(roots, 0), set(roots), 0
    while border and (depth is None or distance < depth):
        distance += 1
        ends = {
            (src, dst) if direction == "downstream" else (dst, src) for (src, dst), when in links.items() if when <= at
        }
        border = {there for here, there in ends if here in border} - found.keys()
        found.update(dict.fromkeys(border, distance))
    return found


def test_a_closure_that_is_cut_keeps_what_is_nearest(told: LineageStore) -> None:
    with told.read() as connection:
        [root] = lookup.nodes_of_model(connection, "ms-1")
        whole = graph.closure(connection, [root], "upstream", depth=100)
        cut = graph.closure(connection, [root], "upstream", depth=100, most=4)
    assert len(cut) == 4
    assert cut.items() <= whole.items()
    assert max(cut.values()) <= sorted(whole.values())[4]


def test_versions_are_those_heard_of_by_then(told: LineageStore) -> None:
    events = [event("notes.tag", 30, reads=[data(CHAT, digest("f"))], run="tuesday")]
    store_events(told, observed(events))
    with told.read() as connection:
        old, new = (graph.find_version(connection, ("file", CHAT), digest(letter)) for letter in "af")
        at = observed(events)[0].at
        assert graph.versions_of(connection, ("file", CHAT), at=at - 1) == [old]
        assert graph.versions_of(connection, ("file", CHAT)) == [old, new]


def test_a_part_tells_facts_and_links_of_its_time(told: LineageStore) -> None:
    with told.read() as connection:
        run = lookup.runs_by_id(connection, [run_id("part.train/monday")])[run_id("part.train/monday")]
        model = graph.node_id(connection, version_key(("file", MODEL), digest("d")))
        at = observed(scene()[5:6])[0].at
        before, after = (graph.part(connection, {run: 0, model: 1}, at=when) for when in (at, FOREVER))
    assert before.nodes[run].facts["state"] == "START"
    assert after.nodes[run].facts["state"] == "COMPLETE"
    assert not before.edges
    assert [(edge.src, edge.dst) for edge in after.edges] == [(run, model)]
    assert after.nodes[after.nodes[run].of or 0].name == ("airflow", "part.train")


def test_nodes_are_found_by_airflows_names(told: LineageStore) -> None:
    with told.read() as connection:
        ids = lookup.runs_by_id(connection, [run_id(f"part.{task}/monday") for task in ("gate", "train")])
        assert lookup.airflow_runs(connection, "part", "monday") == sorted(ids.values())
        assert lookup.airflow_runs(connection, "part") == sorted(ids.values())
        assert lookup.airflow_runs(connection, "part", "monday", "gate") == [ids[run_id("part.gate/monday")]]
        assert lookup.airflow_runs(connection, "par") == []
        assert lookup.airflow_runs(connection, "part", "mon") == []
        assert lookup.airflow_runs(connection, "part", "monday", 'gate", "try') == []


@pytest.mark.parametrize("name", ['d"a\\g', "d%_g", "dαg\U0001f600", "d" * 1900, "x" * 590 + "é" * 700])
def test_names_of_every_kind_are_found_again(store: LineageStore, name: str) -> None:
    told = event("plain.task", 1, writes=[data(f"/lake/{name}", digest("a"), model=name)], run=name)
    told["run"]["facets"]["airflow"]["dag"]["dag_id"] = name
    other = event("plain.task", 1, writes=[data("/lake/other", digest("b"), model=name + "2")], run=name + "2")
    other["run"]["facets"]["airflow"]["dag"]["dag_id"] = name
    store_events(store, [observe(told), observe(other)])
    with store.read() as connection:
        [run] = lookup.airflow_runs(connection, name, name)
        [model] = lookup.nodes_of_model(connection, name)
        assert lookup.nodes_by_id(connection, [run])[run].name == (run_id(f"plain.task/{name}"),)
        assert lookup.nodes_by_id(connection, [model])[model].name == ("file", f"/lake/{name}", digest("a"))
        assert [node.name[1] for node in graph.named(connection, "dataset", "/" + name)] == [f"/lake/{name}"]
        [found] = lookup.datasets_by_name(connection, [("file", f"/lake/{name}")])
        assert found.name == ("file", f"/lake/{name}")


def test_digests_jobs_and_parts_of_names(told: LineageStore) -> None:
    with told.read() as connection:
        assert [n.name[1] for n in lookup.versions_with_digest(connection, digest("c")[:19], limit=5)] == [SUBSET]
        assert lookup.versions_with_digest(connection, "sha256:0", limit=5) == []
        [job] = lookup.jobs_named(connection, "airflow/part.gate", limit=5)
        assert lookup.jobs_named(connection, "part.gate", limit=5) == [job]
        assert lookup.jobs_named(connection, "gate", limit=5) == []
        assert len(lookup.all_of(connection, [job.id])) == 1
        assert {n.name[1] for n in lookup.nodes_containing(connection, "dataset", "chat", limit=5)} == {CHAT, SUBSET}
        assert lookup.nodes_containing(connection, "dataset", "%", limit=5) == []


def test_the_first_word_of_a_node_counts_whatever_told_it(told: LineageStore) -> None:
    first = {one.run: one.at for one in reversed(observed())}
    with told.read() as connection:
        runs = lookup.runs_by_id(connection, first)
        assert lookup.first_heard(connection, runs.values()) == {runs[run]: at for run, at in first.items() if run}
        chat = graph.node_id(connection, version_key(("file", CHAT), digest("a")))
        assert lookup.first_heard(connection, [chat or 0]) == {chat: observed()[0].at}
        assert lookup.first_heard(connection, [9_999]) == {}


def test_airflows_names_are_looked_up_in_an_index(told: LineageStore) -> None:
    which = f"name = 'airflow' AND substr(value, 1, {tables.LOOKED_UP}) BETWEEN 'a' AND 'b'"
    statement = f"SELECT node FROM lineage_fact WHERE {which}"
    sqlite = told.engine.dialect.name == "sqlite"
    with told.read() as connection:
        if not sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(text(("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ") + statement)).all()
    assert "lineage_fact_airflow" in str(plan)


def test_the_whole_answer_is_the_same_on_every_database(told: LineageStore) -> None:
    answer = ask(told, Question(("model:ms-1",)))
    names = {node["id"]: node["label"] for node in answer["nodes"]}
    assert [names[root] for root in answer["roots"]] == ["ms-1 (model.joblib) @ dddddddd"]
    assert {(names[e["source"]], names[e["target"]], e["verdict"]) for e in answer["edges"]} == {
        ("part.train · monday", "ms-1 (model.joblib) @ dddddddd", None),
        ("chat.jsonl @ cccccccc", "part.train · monday", None),
        ("telemetry @ bbbbbbbb", "part.train · monday", None),
        ("decision 12: allow", "part.train · monday", None),
        ("part.gate · monday", "decision 12: allow", "allow"),
        ("part.gate · monday", "chat.jsonl @ cccccccc", None),
        ("chat.jsonl @ aaaaaaaa", "part.gate · monday", "block"),
    }


def test_many_threads_each_have_a_connection_of_their_own(told: LineageStore) -> None:
    all_reading = Barrier(12)

    def read_beside_others(_: int) -> int:
        with told.read() as connection:
            all_reading.wait(30)
            return len(connection.execute(select(tables.node.c.id)).all())

    with ThreadPoolExecutor(all_reading.parties) as threads:
        found = set(threads.map(read_beside_others, range(all_reading.parties)))
    assert len(found) == 1


def test_a_dataset_without_events_has_no_node(told: LineageStore) -> None:
    with told.read() as connection:
        assert graph.node_id(connection, dataset_key(("file", "/nowhere"))) is None
        assert connection.execute(select(tables.node.c.id).where(tables.node.c.key == "/nowhere")).all() == []


def test_many_values_are_looked_up_by_index(store: LineageStore) -> None:
    """A condition that a database must work out row by row reads the whole table for one value."""
    with store.read() as connection:
        if connection.dialect.name != "sqlite":
            pytest.skip("PostgreSQL's planner scans tables as small as this one")
        query = select(tables.node.c.key).where(among(tables.node.c.id, [1, 2, 3]))
        compiled = query.compile(connection, compile_kwargs={"render_postcompile": True})
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", ("[1, 2, 3]",)).all()
    assert any("SEARCH lineage_node USING INTEGER PRIMARY KEY" in str(step) for step in plan), plan
