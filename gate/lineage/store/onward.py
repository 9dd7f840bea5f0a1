"""Follows the data onward: what was read from versions, and what came of it, past nothing that is known to be free."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection, select

from gate.lineage.store import tables
from gate.lineage.store.among import among
from gate.lineage.store.graph import FOREVER, Edge, Node, Part
from gate.lineage.store.lookup import nodes_by_id
from gate.lineage.store.rows import rows_with


def onward(
    connection: Connection,
    roots: Iterable[int],
    passes: Callable[[Node], bool],
    *,
    at: int = FOREVER,
) -> Part:
    """Follow data from versions and runs to everything that came of it; decisions carry no data.

    Args:
        roots: versions and runs to begin with.
        passes: whether a version or run, with its facts, is followed and part of the answer.
        at: only what was told until then, in microseconds since 1970.

    Returns:
        What was reached, the roots among it, with facts, and the links along which it was; those to decisions too.
    """
    edges = tables.edge.c
    found = {id_: node for id_, node in _with_facts(connection, set(roots), at).items() if passes(node)}
    links: list[Edge] = []
    refused: set[int] = set()
    border = sorted(found)
    while border:
        rows = connection.execute(select(tables.edge).where(among(edges.src, border), edges.at <= at))
        here = [Edge(src, dst, when, assumed) for dst, src, when, assumed in rows]
        fresh = _with_facts(connection, {one.dst for one in here}.difference(found, refused), at)
        taken = {id_: node for id_, node in fresh.items() if node.kind in ("version", "run") and passes(node)}
        refused.update(fresh.keys() - taken.keys())
        found |= taken
        links += [one for one in here if one.dst in found or (one.dst in fresh and fresh[one.dst].kind == "decision")]
        border = sorted(taken)
    return Part(found, tuple(links))


def permitted_runs(connection: Connection, decisions: Iterable[int]) -> list[int]:
    """Return the runs that decisions, by their ledger index, let train."""
    node, edge = tables.node.c, tables.edge.c
    whose = select(node.id).where(node.kind == "decision", among(node.key, map(str, decisions)))
    return sorted(set(connection.execute(select(edge.dst).where(edge.src.in_(whose))).scalars()))


def version_ids(connection: Connection, keys: Iterable[str]) -> list[int]:
    """Return the nodes of versions by their keys."""
    node = tables.node.c
    return list(connection.execute(select(node.id).where(node.kind == "version", among(node.key, keys))).scalars())


def _with_facts(connection: Connection, ids: set[int], at: int) -> dict[int, Node]:
    nodes = nodes_by_id(connection, ids)
    told: dict[tuple[int, str], int] = {}
    for node, name, when, value in rows_with(connection, tables.fact, "node", nodes):
        if when <= at and when >= told.get((node, name), when):
            told[node, name] = when
            nodes[node].facts[name] = value
    return nodes
