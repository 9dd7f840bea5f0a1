"""Answers from the graph: what lies upstream or downstream of nodes, as of an instant; names, facts, neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Select, and_, func, literal, select

from gate.lineage.observed import Named
from gate.lineage.store import tables
from gate.lineage.store.among import among
from gate.lineage.store.ingest import dataset_key, job_key, version_key
from gate.lineage.store.nodes import SEPARATOR, Key
from gate.lineage.store.rows import rows_with

FOREVER = 2**62  # an instant after all others, in microseconds
AT_ONCE = 500  # events in memory

Direction = Literal["upstream", "downstream"]
Reading = Connection  # an open state of the store, for those who ask it through functions like these


class Node(NamedTuple):
    """A node of the graph.

    Attributes:
        kind: `run`, `job`, `dataset`, `version` or `decision`.
        name: its key in parts: a run's id; namespace and name; of a version also the version; a ledger index.
        of: id of the run's job or the version's dataset.
        depth: how many links away it is from where the question began.
        facts: name → value, as of the instant that was asked for.
    """

    id: int
    kind: str
    name: tuple[str, ...]
    of: int | None
    depth: int
    facts: dict[str, str]


class Edge(NamedTuple):
    """A link along which data went, from `src` to `dst`; `assumed` when no event named the version."""

    src: int
    dst: int
    at: int
    assumed: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the graph: nodes by id, the links among them, and whether there was more than may be shown."""

    nodes: dict[int, Node]
    edges: tuple[Edge, ...]
    complete: bool = True


def node_id(connection: Connection, key: Key) -> int | None:
    """Return the id of a node."""
    columns = tables.node.c
    found: int | None = connection.execute(
        select(columns.id).where(columns.kind == key[0], columns.key == key[1])
    ).scalar()
    return found


def closure(
    connection: Connection,
    roots: Sequence[int],
    direction: Direction,
    *,
    at: int = FOREVER,
    depth: int | None = None,
    most: int | None = None,
) -> dict[int, int]:
    """Return the ids of everything up- or downstream of nodes, the nodes included, with the distance of each.

    Args:
        roots: where to begin.
        at: only what was told until then, in microseconds since 1970.
        depth: at most so many links away; without it distances are not counted, and all are 0.
        most: with `depth`: stop as soon as so many were found; what is nearest is among them.
    """
    if depth is not None:
        return _by_steps(connection, roots, direction, at, depth, most)
    edges = tables.edge.c
    here, there = (edges.dst, edges.src) if direction == "upstream" else (edges.src, edges.dst)
    begin: Select[Any] = select(tables.node.c.id.label("id")).where(among(tables.node.c.id, roots))
    reached = begin.cte("reached", recursive=True)
    step = select(there).select_from(reached.join(tables.edge, here == reached.c.id))
    reached = reached.union(step.where(edges.at <= at) if at < FOREVER else step)
    return dict.fromkeys(connection.execute(select(reached.c.id)).scalars().all(), 0)


def _by_steps(
    connection: Connection, roots: Sequence[int], direction: Direction, at: int, depth: int, most: int | None
) -> dict[int, int]:
    edges = tables.edge.c
    here, there = (edges.dst, edges.src) if direction == "upstream" else (edges.src, edges.dst)
    found = dict.fromkeys(roots, 0)
    border: list[int] = list(found)
    for distance in range(1, depth + 1):
        beyond = set(connection.execute(select(there).where(among(here, border), edges.at <= at)).scalars())
        border = sorted(beyond.difference(found))[: None if most is None else max(most - len(found), 0)]
        found.update(dict.fromkeys(border, distance))
        if not border:
            break
    return found


def part(connection: Connection, ids: dict[int, int], *, at: int = FOREVER, complete: bool = True) -> Part:
    """Return nodes with their facts, what they are of, and the links among them.

    Args:
        ids: node → distance.
        at: as of when.
        complete: what to say of the part.
    """
    nodes = {row[0]: as_node(row, ids[row[0]]) for row in rows_with(connection, tables.node, "id", ids)}
    outer = {node.of for node in nodes.values() if node.of is not None}.difference(nodes)
    everything = nodes | {row[0]: as_node(row, -1) for row in rows_with(connection, tables.node, "id", outer)}
    latest: dict[tuple[int, str], int] = {}
    for node, name, when, value in rows_with(connection, tables.fact, "node", everything):
        if when <= at and when >= latest.get((node, name), when):
            latest[node, name] = when
            everything[node].facts[name] = value
    links = rows_with(connection, tables.edge, "dst", nodes)
    edges = tuple(Edge(src, dst, when, assumed) for dst, src, when, assumed in links if src in nodes and when <= at)
    return Part(everything, edges, complete)


def versions_of(connection: Connection, dataset: Named, *, at: int = FOREVER) -> list[int]:
    """Return the versions of a dataset that were heard of until then, oldest first."""
    columns, places = tables.node.c, tables.seen.c
    whose = select(columns.id).where(columns.kind == "dataset", columns.key == dataset_key(dataset)[1])
    found = select(places.version).where(places.dataset.in_(whose), places.at <= at)
    return list(connection.execute(found.order_by(places.at, places.version)).scalars())


def find_version(connection: Connection, dataset: Named, version: str) -> int | None:
    """Return the node of a version."""
    return node_id(connection, version_key(dataset, version))


def runs_of(connection: Connection, job: Named) -> list[int]:
    """Return the runs of a job."""
    columns = tables.node.c
    whose = select(columns.id).where(columns.kind == "job", columns.key == job_key(job)[1])
    return list(connection.execute(select(columns.id).where(columns.of.in_(whose)).order_by(columns.id)).scalars())


def named(connection: Connection, kind: str, ending: str, *, limit: int = 50) -> list[Node]:
    """Return nodes of a kind whose key ends with a text: how people find a dataset, a job or a model."""
    columns = tables.node.c
    tail = func.substr(columns.key, func.length(columns.key) - len(ending) + 1)
    rows = select(tables.node).where(and_(columns.kind == kind, tail == literal(ending))).order_by(columns.id)
    return [as_node(row, 0) for row in connection.execute(rows.limit(limit))]


def events_of(connection: Connection, runs: Iterable[str], *, at: int = FOREVER) -> Iterator[str]:
    """Yield the raw events of runs until an instant, in the order in which they came."""
    columns = tables.event.c
    events = select(columns.event).where(among(columns.run, runs), columns.at <= at).order_by(columns.id)
    yield from connection.execute(events.execution_options(yield_per=AT_ONCE)).scalars()


def as_node(row: Any, depth: int) -> Node:
    """Read a row of the table of nodes."""
    id_, kind, key, of = row
    return Node(id_, kind, tuple(key.split(SEPARATOR)), of, depth, {})
