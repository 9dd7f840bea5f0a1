"""Finds nodes by what people know of them: Airflow's names, a model, a digest, an ending, a part of a name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, and_, func, literal_column, select, union_all

from gate.lineage.observed import Named
from gate.lineage.store import tables
from gate.lineage.store.among import among
from gate.lineage.store.graph import Node, as_node
from gate.lineage.store.ingest import dataset_key
from gate.lineage.store.nodes import SEPARATOR
from gate.lineage.store.rows import rows_with

_AFTER = "\U0010ffff"  # sorts after whatever may follow a prefix

_BEGIN: Any = literal_column(f"substr(value, 1, {tables.LOOKED_UP})")  # as the index has it, or it would not be used


def nodes_by_id(connection: Connection, ids: Iterable[int]) -> dict[int, Node]:
    """Return nodes without facts."""
    return {row.id: as_node(row, 0) for row in rows_with(connection, tables.node, "id", ids)}


def newest_facts(connection: Connection, ids: Iterable[int], names: Sequence[str]) -> dict[int, dict[str, str]]:
    """Return the newest value of these facts, whenever it was told: what a node is does not depend on as-of."""
    columns, found = tables.fact.c, dict[int, dict[str, str]]()
    rows = select(columns.node, columns.name, columns.value).where(among(columns.node, ids), columns.name.in_(names))
    for node, name, value in connection.execute(rows.order_by(columns.at)).all():
        found.setdefault(node, {})[name] = value
    return found


def first_heard(connection: Connection, ids: Iterable[int]) -> dict[int, int]:
    """Return the earliest instant at which an event told anything of nodes, in microseconds since 1970."""
    edges, facts, seen = tables.edge.c, tables.fact.c, tables.seen.c
    wanted = list(ids)
    places = (edges.dst, edges.at), (edges.src, edges.at), (facts.node, facts.at), (seen.version, seen.at)
    told = union_all(
        *(select(node.label("node"), at.label("at")).where(among(node, wanted)) for node, at in places)
    ).subquery()
    earliest = select(told.c.node, func.min(told.c.at)).group_by(told.c.node)
    return {int(node): int(at) for node, at in connection.execute(earliest)}


def airflow_runs(connection: Connection, dag: str, run: str | None = None, task: str | None = None) -> list[int]:
    """Return runs by Airflow's names: of a task, of a DAG run and its tasks, or of a DAG."""
    names = {"dag_id": dag} | ({"run_id": run} if run is not None else {}) | ({"task_id": task} if task else {})
    if run is None:
        names.pop("task_id", None)
    rows = _facts_beginning(connection, "airflow", json.dumps(names)[:-1])
    wanted = names.items()
    return sorted({node for node, value in rows if wanted <= json.loads(value).items()})


def nodes_of_model(connection: Connection, model: str) -> list[int]:
    """Return the versions or datasets that say they are of a model."""
    return sorted({node for node, value in _facts_beginning(connection, "model", model) if value == model})


def models(connection: Connection, limit: int) -> list[str]:
    """Return names of models."""
    rows = select(tables.fact.c.value).where(literal_column("name = 'model'")).distinct().order_by(tables.fact.c.value)
    return list(connection.execute(rows.limit(limit)).scalars())


def _facts_beginning(connection: Connection, name: str, prefix: str) -> Iterator[tuple[int, str]]:
    columns, begin = tables.fact.c, prefix[: tables.LOOKED_UP]
    only: Any = literal_column(f"name = '{name}'")  # spelt out: only so is the partial index found
    rows = select(columns.node, columns.value).where(only, _BEGIN.between(begin, begin + _AFTER))
    for node, value in connection.execute(rows):
        yield int(node), str(value)


def versions_with_digest(connection: Connection, beginning: str, *, limit: int) -> list[Node]:
    """Return versions whose version begins with a text, of whatever dataset."""
    columns = tables.node.c
    part = columns.key.contains(SEPARATOR + beginning, autoescape=True)
    rows = connection.execute(select(tables.node).where(columns.kind == "version", part).order_by(columns.id))
    found = (as_node(row, 0) for row in rows)
    return [node for node, _ in zip((n for n in found if n.name[-1].startswith(beginning)), range(limit), strict=False)]


def datasets_by_name(connection: Connection, names: Iterable[Named]) -> list[Node]:
    """Return the datasets that have one of these names."""
    columns, keys = tables.node.c, [dataset_key(name)[1] for name in names]
    rows = select(tables.node).where(columns.kind == "dataset", among(columns.key, keys)).order_by(columns.id)
    return [as_node(row, 0) for row in connection.execute(rows)]


def nodes_containing(connection: Connection, kind: str, part: str, *, limit: int) -> list[Node]:
    """Return nodes of a kind with a text somewhere in their name."""
    columns = tables.node.c
    rows = select(tables.node).where(columns.kind == kind, columns.key.contains(part, autoescape=True))
    return [as_node(row, 0) for row in connection.execute(rows.order_by(columns.id).limit(limit))]


def all_of(connection: Connection, ids: Iterable[int]) -> list[int]:
    """Return the runs of jobs, or the versions of datasets, oldest first."""
    columns = tables.node.c
    return list(connection.execute(select(columns.id).where(among(columns.of, ids)).order_by(columns.id)).scalars())


def outer_runs(connection: Connection, jobs: Iterable[int]) -> dict[int, set[int]]:
    """Return the first and the last run of jobs."""
    columns = tables.node.c
    rows = select(columns.of, func.min(columns.id), func.max(columns.id)).where(among(columns.of, jobs))
    return {job: {first, last} for job, first, last in connection.execute(rows.group_by(columns.of))}


def deciding_runs(connection: Connection, decisions: Iterable[int]) -> dict[int, set[int]]:
    """Return the runs (or jobs) that told each decision."""
    return _links(connection, decisions, tables.edge.c.dst, tables.edge.c.src)


def decisions_of(connection: Connection, runs: Iterable[int], *, at: int) -> dict[int, set[int]]:
    """Return the decisions that runs told until then."""
    return _links(connection, runs, tables.edge.c.src, tables.edge.c.dst, at)


def _links(
    connection: Connection, ids: Iterable[int], here: Any, there: Any, at: int | None = None
) -> dict[int, set[int]]:
    decided = and_(tables.node.c.id == tables.edge.c.dst, tables.node.c.kind == "decision")
    found: dict[int, set[int]] = {}
    rows = select(here, there).select_from(tables.edge.join(tables.node, decided)).where(among(here, ids))
    for one, other in connection.execute(rows if at is None else rows.where(tables.edge.c.at <= at)):
        found.setdefault(one, set()).add(other)
    return found


def runs_by_id(connection: Connection, uuids: Iterable[str]) -> dict[str, int]:
    """Return the nodes of runs by their OpenLineage ids."""
    columns = tables.node.c
    rows = select(columns.key, columns.id).where(columns.kind == "run", among(columns.key, uuids))
    return {str(key): int(id_) for key, id_ in connection.execute(rows)}


def jobs_named(connection: Connection, text: str, *, limit: int) -> list[Node]:
    """Return jobs by `NAMESPACE/NAME`, however often the text has a slash, or else by name alone."""
    columns = tables.node.c
    cuts = [i for i, letter in enumerate(text) if letter == "/"]
    keys = [text[:i] + SEPARATOR + text[i + 1 :] for i in cuts]
    exact = select(tables.node).where(columns.kind == "job", among(columns.key, keys))
    found = [as_node(row, 0) for row in connection.execute(exact)]
    if found:
        return found
    alone = columns.key.endswith(SEPARATOR + text, autoescape=True)
    rows = connection.execute(select(tables.node).where(columns.kind == "job", alone).limit(limit))
    return [node for node in (as_node(row, 0) for row in rows) if node.name[-1] == text]
