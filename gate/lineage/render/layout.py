"""Places nodes in layers from left to right: longest paths, then barycentres; the same graph gives the same picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 6  # times the order within the layers is improved, forth and back
MOST_BENDS = 20_000  # places where long links pass a layer; beyond it they go straight

Place = tuple[int, int]  # layer, position within it
Link = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is.

    Attributes:
        places: node → layer and position.
        bends: link → the places it passes between its ends.
        sizes: how many positions each layer has.
    """

    places: Mapping[int, Place]
    bends: Mapping[Link, Sequence[Place]]
    sizes: Sequence[int]


def lay_out(nodes: Sequence[int], links: Iterable[Link]) -> Layout:
    """Place nodes so that links lead to the right, apart from those that close a circle."""
    known = set(nodes)
    given = sorted({(src, dst) for src, dst in links if src in known and dst in known and src != dst})
    forward = _without_circles(nodes, given)
    layer = _layers(nodes, forward)
    rows: list[list[int]] = [[] for _ in range(1 + max(layer.values(), default=-1))]
    for node in nodes:
        rows[layer[node]].append(node)
    bends, short = _bends(forward, layer, rows, next_id=1 + max(nodes, default=0))
    _order(rows, short)
    where = {node: (number, position) for number, row in enumerate(rows) for position, node in enumerate(row)}
    return Layout(
        {node: where[node] for node in nodes},
        {link: [where[bend] for bend in some] for link, some in bends.items()},
        [len(row) for row in rows],
    )


def _without_circles(nodes: Sequence[int], links: Sequence[Link]) -> list[Link]:
    """Return the links without those that lead back, found by going into the depth."""
    onward: dict[int, list[int]] = {}
    entered: dict[int, int] = dict.fromkeys(nodes, 0)
    for src, dst in links:
        onward.setdefault(src, []).append(dst)
        entered[dst] += 1
    state: dict[int, bool] = {}  # True while on the way down, False when done
    back: set[Link] = set()
    for start in sorted(nodes, key=lambda node: (entered[node], node)):
        way = [(start, iter(onward.get(start, ())))] if start not in state else []
        if way:
            state[start] = True
        while way:
            node, rest = way[-1]
            there = next(rest, None)
            if there is None:
                state[node] = False
                way.pop()
            elif there not in state:
                state[there] = True
                way.append((there, iter(onward.get(there, ()))))
            elif state[there]:
                back.add((node, there))
    return [link for link in links if link not in back]


def _layers(nodes: Sequence[int], links: Sequence[Link]) -> dict[int, int]:
    """Return the length of the longest way to every node; what nothing leads to moves close to what it leads to."""
    onward: dict[int, list[int]] = {}
    missing = dict.fromkeys(nodes, 0)
    for src, dst in links:
        onward.setdefault(src, []).append(dst)
        missing[dst] += 1
    beginnings = [node for node in nodes if not missing[node]]
    layer, ready = dict.fromkeys(nodes, 0), list(beginnings)
    for node in ready:  # grows while it is gone through
        for there in onward.get(node, ()):
            layer[there] = max(layer[there], layer[node] + 1)
            missing[there] -= 1
            if not missing[there]:
                ready.append(there)
    for node in beginnings:
        layer[node] = min((layer[there] for there in onward.get(node, ())), default=1) - 1
    return layer


def _bends(
    links: Sequence[Link], layer: Mapping[int, int], rows: list[list[int]], next_id: int
) -> tuple[dict[Link, list[int]], list[Link]]:
    """Put a place-holder into every layer that a link passes, so that links go between nodes and not through them."""
    total = sum(layer[dst] - layer[src] - 1 for src, dst in links)
    bends: dict[Link, list[int]] = {}
    short: list[Link] = []
    for src, dst in links:
        passed = range(layer[src] + 1, layer[dst]) if total <= MOST_BENDS else range(0)
        some = list(range(next_id, next_id + len(passed)))
        next_id += len(passed)
        for bend, number in zip(some, passed, strict=True):
            rows[number].append(bend)
        way = [src, *some, dst]
        short += pairwise(way)
        if some:
            bends[src, dst] = some
    return bends, short


def _order(rows: list[list[int]], links: Sequence[Link]) -> None:
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for src, dst in links:
        after.setdefault(src, []).append(dst)
        before.setdefault(dst, []).append(src)
    place = {node: position / len(row) for row in rows for position, node in enumerate(row)}
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        for row in rows if forth else reversed(rows):
            near = before if forth else after
            middle = {
                node: sum(place[one] for one in near[node]) / len(near[node]) if node in near else place[node]
                for node in row
            }
            row.sort(key=lambda node: (middle[node], node))
            place.update({node: position / len(row) for position, node in enumerate(row)})
