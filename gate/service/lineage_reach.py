"""What can be reached in a part of the lineage graph: pure functions over nodes and links."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from gate.lineage.store.graph import Direction, Edge, Node

Around = dict[int, list[int]]


def around(edges: Iterable[Edge], direction: Direction) -> Around:
    """Return for every node what lies one link up- or downstream."""
    found: Around = {}
    for edge in edges:
        here, there = (edge.dst, edge.src) if direction == "upstream" else (edge.src, edge.dst)
        found.setdefault(here, []).append(there)
    return found


def reach(next_to: Mapping[int, Iterable[int]], roots: Iterable[int], depth: int | None = None) -> dict[int, int]:
    """Return what can be reached from roots, with the distance of each.

    Args:
        next_to: see `around`; what leads nowhere may be missing.
        depth: at most so many links away.
    """
    found = dict.fromkeys(roots, 0)
    border, distance = list(found), 0
    while border and (depth is None or distance < depth):
        distance += 1
        beyond = {there for here in border for there in next_to.get(here, ())}
        border = [there for there in beyond if there not in found]
        found.update(dict.fromkeys(border, distance))
    return found


def concerned(
    edges: Collection[Edge], roots: Collection[int], direction: Direction, bears: Callable[[int], bool | None]
) -> set[int]:
    """Return what has to do with a category: what bears it, what came of that, and the way between these and the roots.

    Data that is told to bear only others is on a way where there is no other way.

    Args:
        bears: whether a node is told to bear it; `None` where nothing is told: then it does if what it came of does.
    """
    towards: Direction = "downstream" if direction == "upstream" else "upstream"
    ends = {end for edge in edges for end in (edge.src, edge.dst)}.union(roots)
    inherits = around((edge for edge in edges if bears(edge.dst) is not False), "downstream")
    bearing = set(reach(inherits, [node for node in ends if bears(node)]))
    others = {node for node in ends if bears(node) is False}.difference(roots)
    direct = [edge for edge in edges if edge.src not in others and edge.dst not in others]
    near = bearing.intersection(reach(around(direct, direction), roots))
    ways = reach(around(direct, towards), near) | reach(around(edges, towards), bearing - near)
    return set(ways).union(roots)


def projected(nodes: Mapping[int, Node], edges: Iterable[Edge]) -> dict[tuple[int, int], list[Edge]]:
    """Return the links between datasets, jobs and decisions that stand for those between versions and runs."""
    found: dict[tuple[int, int], list[Edge]] = {}
    for edge in edges:
        pair = outer(nodes, edge.src), outer(nodes, edge.dst)
        if pair[0] != pair[1]:
            found.setdefault(pair, []).append(edge)
    return found


def outer(nodes: Mapping[int, Node], node: int) -> int:
    """Return the dataset of a version, the job of a run; any other node is its own."""
    of = nodes[node].of
    return node if of is None else of
