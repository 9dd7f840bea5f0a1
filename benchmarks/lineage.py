"""Lineage beside bare SQLite: a closure among a million links, taking events in; and a question about 20,000 nodes.

By hand: `python -m benchmarks.lineage [LINKS] [--json]`.
"""

from __future__ import annotations

import gc
import hashlib
import json
import random
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks._common import Row, alone, best_of, ratio
from gate.lineage.observed import observe
from gate.lineage.store.database import LineageStore, open_store
from gate.lineage.store.graph import FOREVER, closure
from gate.lineage.store.ingest import store_events
from gate.service.lineage_questions import Question, ask

LINKS = 1_000_000
LINKS_A_NODE = 5
FAMILY = 6550  # nodes of which the last has nearly all others as ancestors
NEAR = 200  # a node comes of members of its family that are at most so many places before it
LAST = 1_000_000  # links were told at instants up to here, each at its own
INSTANTS = (FOREVER, 900_000, 800_000, 700_000)
PAIRS = 2000  # runs taken in, a START and a COMPLETE each
BATCH = 2000  # events a transaction, as the store takes them
SLOWEST = {5000: 0.3, 20_000: 1.0}  # nodes of an answer → seconds

Link = tuple[int, int, int]  # dst, src, at


def main(links: int = LINKS) -> list[Row]:
    """Measure all; the million links are put into the tables, for taking them in as events would measure that."""
    return [*closures(links), *ingest(), *questions()]


def closures(links: int) -> list[Row]:
    """Everything upstream, now and as of three instants, against a recursive query over a bare table of links."""
    rows, each = [], dict[int, float]()
    for size in sorted({10_000, 100_000, links}):
        with tempfile.TemporaryDirectory(prefix="gate-bench-") as folder:
            graph = list(_graph(size))
            root = max(dst for dst, _, _ in graph if dst % _families(size) == 0)
            with _filled(Path(folder), graph) as store, closing(_bare(Path(folder) / "bare.db", graph)) as bare:
                for at in INSTANTS if size == links else INSTANTS[:1]:
                    (peer, expected), (spent, found) = best_of(
                        7, partial(_recursive, bare, root, at), partial(_closure, store, root, at)
                    )
                    note = f"{len(found):,} ancestors among {len(graph):,} links"
                    when = "now" if at == FOREVER else f"as of {at / LAST:.0%}"
                    what = f"closure {when} / bare recursive query"
                    if size == links:
                        rows.append(ratio(what, spent, peer, 2.0, note=note, ok=found == expected))
                    if at == FOREVER:
                        each[size] = spent / len(found)
    small, large = each[10_000], each[links]
    note = ", ".join(f"{size:,} links {seconds * 1e6:.1f} µs" for size, seconds in each.items())
    return [*rows, ratio("an ancestor among all links / among 10,000", large, small, 3.0, note=note)]


def _families(links: int) -> int:
    return max(1, links // LINKS_A_NODE // FAMILY)


def _graph(links: int) -> Iterator[Link]:
    """Yield links among families; whose members are everywhere among the ids, as runs at the same time are."""
    chance, families = random.Random(5), _families(links)
    members = links // LINKS_A_NODE // families
    for place in range(1, members):
        for family in range(families):
            before = range(max(0, place - NEAR), place)
            for one in chance.sample(before, min(LINKS_A_NODE, len(before))):
                yield place * families + family, one * families + family, chance.randrange(LAST)


def _filled(folder: Path, graph: list[Link]) -> LineageStore:
    """Make a store of runs with these links."""
    store = open_store(f"sqlite:///{folder / 'lineage.db'}")
    nodes = range(1 + max(dst for dst, _, _ in graph))
    with store.write() as connection:
        rows: list[Any] = [(id_, "run", str(uuid.UUID(int=id_)), None) for id_ in nodes]
        connection.exec_driver_sql("INSERT INTO lineage_node (id, kind, key, of) VALUES (?, ?, ?, ?)", rows)
        rows = [(*link, False) for link in graph]
        connection.exec_driver_sql("INSERT INTO lineage_edge (dst, src, at, assumed) VALUES (?, ?, ?, ?)", rows)
    return store


def _bare(path: Path, graph: list[Link]) -> sqlite3.Connection:
    """Make tables of nothing but links; the one that is asked about now knows no instants."""
    bare = sqlite3.connect(path)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA cache_size = -65536")
    bare.execute("CREATE TABLE edge (dst INTEGER, src INTEGER, PRIMARY KEY (dst, src)) WITHOUT ROWID")
    bare.execute("CREATE TABLE dated (dst INTEGER, src INTEGER, at INTEGER, PRIMARY KEY (dst, src)) WITHOUT ROWID")
    with bare:
        bare.executemany("INSERT INTO edge VALUES (?, ?)", [link[:2] for link in graph])
        bare.executemany("INSERT INTO dated VALUES (?, ?, ?)", graph)
    return bare


def _recursive(bare: sqlite3.Connection, root: int, at: int) -> set[int]:
    table, only = ("edge", "") if at == FOREVER else ("dated", " AND at <= ?2")
    step = f"SELECT src FROM {table} JOIN reached ON dst = id{only}"
    query = f"WITH RECURSIVE reached (id) AS (SELECT ?1 UNION {step}) SELECT id FROM reached"
    given = (root,) if at == FOREVER else (root, at)
    return {id_ for (id_,) in bare.execute(query, given)}


def _closure(store: LineageStore, root: int, at: int) -> set[int]:
    with store.read() as connection:
        return set(closure(connection, [root], "upstream", at=at))


def ingest() -> list[Row]:
    """Take events in, against inserting their JSON: made of the same events, or with text and digest ready before.

    Against rows that are ready 4 × is not met. Roughly, in times of inserting those rows, by CPU: writing an event as
    JSON with its keys sorted takes 2 (1.2 with msgspec instead of Python's json), inserting it 1, reading it 1.5, the
    index and its tables 3. The digest is that of the sorted text: the same event from another sender, its keys in
    another order, must stay the same event.
    """
    events = list(_events(PAIRS))
    ready = list(_rows(events))
    gc.freeze()  # what the benchmark itself holds is nobody's garbage to look through
    (bare, _), (written, _), (spent, _) = best_of(
        5, lambda: _inserted(iter(ready)), lambda: _inserted(_rows(events)), lambda: _taken_in(events)
    )
    gc.unfreeze()
    note = f"{len(events):,} events of {sum(len(row[-1]) for row in ready) / len(ready) / 1000:.1f} KB"
    return [
        ratio("taking events in / writing and inserting JSON", spent, written, 4.0, note=note),
        ratio("taking events in / inserting JSON that is ready", spent, bare, 4.0, note=note),
    ]


def _rows(events: Iterable[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for id_, event in enumerate(events):
        text = json.dumps(event)
        yield id_, hashlib.sha256(text.encode()).digest(), id_, id_, event["run"]["runId"], text


def _inserted(rows: Iterator[tuple[Any, ...]]) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="gate-bench-") as folder,
        closing(sqlite3.connect(Path(folder) / "raw.db")) as bare,
    ):
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = NORMAL")
        columns = "id INTEGER PRIMARY KEY, digest BLOB, at INTEGER, received_at INTEGER, run TEXT, event TEXT"
        bare.execute(f"CREATE TABLE event ({columns})")
        bare.execute("CREATE UNIQUE INDEX event_digest ON event (digest)")
        while some := list(islice(rows, BATCH)):
            with bare:
                bare.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", some)


def _taken_in(events: list[dict[str, Any]]) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="gate-bench-") as folder,
        open_store(f"sqlite:///{Path(folder) / 'lineage.db'}") as store,
    ):
        new, _ = store_events(store, map(observe, events))
        if new != len(events):
            raise AssertionError(f"{new} of {len(events)} events were taken")


def _events(pairs: int) -> Iterator[dict[str, Any]]:
    """Yield the events of runs: long ones as Airflow's provider writes them, short ones as others do.

    Each reads what two others wrote and writes one dataset; of every tenth nobody names a version.
    """
    for number in range(pairs):
        reads = [_dataset(number - back) for back in (40, 41) if number >= back]
        for kind in ("START", "COMPLETE"):
            second = 2 * number + (kind == "COMPLETE")
            yield {
                "eventType": kind,
                "eventTime": f"2026-11-22T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000001+00:00",
                "run": {"runId": str(uuid.UUID(int=number)), "facets": _run_facets(number)},
                "job": {"namespace": "default", "name": f"dag_{number % 40}.task_{number % 7}"},
                "inputs": reads,
                "outputs": [_dataset(number)] if kind == "COMPLETE" else [],
                "producer": _AIRFLOW,
                "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            }


_AIRFLOW = "https://github.com/apache/airflow/tree/providers-openlineage/2.20.3"


def _run_facets(number: int) -> dict[str, Any]:
    """Return the facets of a run: every other is a task of Airflow, whose provider tells all that it knows."""
    if number % 2:
        return {}
    dag = {"dag_id": f"dag_{number % 40}", "fileloc": "/opt/airflow/dags/some.py", "owner": "airflow", "tags": "[]"}
    told = {
        "dag": dag | {"timetable": {"expression": "@daily"}, "schedule_interval": "@daily"},
        "dagRun": {"dag_id": dag["dag_id"], "run_id": f"scheduled__{number}", "run_type": "scheduled", "conf": {}},
        "task": {"task_id": f"task_{number % 7}", "trigger_rule": "all_success", "retries": 2, "pool": "default_pool"}
        | {f"parameter_{n}": f"some value of an operator's parameter {n}" for n in range(60)},
        "taskInstance": {"try_number": 1, "map_index": -1, "queue": "default", "hostname": "worker-3"},
    }
    tree = {f"task_{n}": {"task_0": {}, "operator": "PythonOperator", "ui_label": f"task_{n}"} for n in range(12)}
    common = {"_producer": _AIRFLOW, "_schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunFacet"}
    return {
        "airflow": common | told,
        "airflowState": common | {"tasksState": {f"task_{n}": "success" for n in range(30)}, "tasks": tree},
        "processing_engine": common | {"name": "Airflow", "version": "3.3.2", "openlineageAdapterVersion": "2.20.3"},
        "parent": common | {"run": {"runId": str(uuid.UUID(int=number % 40))}, "job": {"name": "dag"}},
    }


def _dataset(number: int) -> dict[str, Any]:
    facets: dict[str, Any] = {"datasetType": {"_producer": _AIRFLOW, "datasetType": "FILE"}}
    if number % 10:
        facets["version"] = {"_producer": _AIRFLOW, "datasetVersion": "sha256:" + f"{number:064x}"}
        facets["tags"] = {"tags": [{"key": "data_category.chat", "value": "declared", "source": "GATE"}]}
    return {"namespace": "file", "name": f"/lake/part_{number % 200}/set_{number % 40}.parquet", "facets": facets}


def questions() -> list[Row]:
    """Answer what lies downstream of one dataset from which everything came."""
    rows: list[Row] = []
    for wanted, slowest in SLOWEST.items():
        with (
            tempfile.TemporaryDirectory(prefix="gate-bench-") as folder,
            open_store(f"sqlite:///{Path(folder) / 'lineage.db'}") as store,
        ):
            store_events(store, map(observe, _tree(wanted)))
            question = Question(("file:///lake/origin",), direction="downstream")
            ((spent, answer),) = best_of(5, partial(ask, store, question))
        nodes = len(answer["nodes"])
        rows.append(
            {
                "what": f"a question about {wanted:,} nodes",
                "measured": spent,
                "bar": slowest,
                "unit": "s",
                "note": f"{nodes:,} nodes, {len(answer['edges']):,} links",
                "ok": wanted <= nodes <= 1.2 * wanted and answer["complete"],
            }
        )
    return rows


def _tree(nodes: int) -> Iterator[dict[str, Any]]:
    """Yield events of runs that each read two datasets and write one; half of the nodes are runs, half versions."""
    runs = nodes // 2
    for number in range(1, runs + 1):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_700_000_000 + number))
        yield {
            "eventType": "COMPLETE",
            "eventTime": at,
            "run": {"runId": str(uuid.UUID(int=number)), "facets": _some_facets(number)},
            "job": {"namespace": "default", "name": f"dag_{number % 40}.task_{number % 7}"},
            "inputs": [_made(number // 2), _made(number // 3)],
            "outputs": [_made(number)],
            "producer": _AIRFLOW,
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        }


def _some_facets(number: int) -> dict[str, Any]:
    told = {
        "dag": {"dag_id": f"dag_{number % 40}"},
        "dagRun": {"run_id": f"scheduled__{number}"},
        "task": {"task_id": f"task_{number % 7}"},
        "taskInstance": {"try_number": 1, "map_index": -1},
    }
    return {"airflow": told}


def _made(number: int) -> dict[str, Any]:
    tags = {"tags": [{"key": "data_category.chat", "value": "declared"}]}
    facets = {"version": {"datasetVersion": f"sha256:{number:064x}"}, "tags": tags}
    return {"namespace": "file", "name": f"/lake/set_{number % 300}" if number else "/lake/origin", "facets": facets}


if __name__ == "__main__":
    asked = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    sys.exit(alone(lambda: main(*asked)))
