"""What the lineage store finds up- and downstream is what a plain search finds in the same links, at any as-of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.lineage.store import graph, tables
from gate.lineage.store.database import LineageStore, open_store
from gate.lineage.store.graph import Direction, Edge
from gate.service.lineage_reach import around, reach

NODES = 12
links = st.dictionaries(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)), st.integers(0, 5), max_size=30)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineageStore]:
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('closure') / 'lineage.db'}") as opened:
        with opened.write() as connection:
            nodes = [{"id": id_, "kind": "run", "key": f"r{id_}", "of": None} for id_ in range(NODES)]
            connection.execute(tables.node.insert(), nodes)
        yield opened


def searched(told: dict[tuple[int, int], int], roots: list[int], direction: Direction, at: int) -> dict[int, int]:
    found, border, distance = dict.fromkeys(roots, 0), set(roots), 0
    while border:
        distance += 1
        pairs = {
            (src, dst) if direction == "downstream" else (dst, src) for (src, dst), when in told.items() if when <= at
        }
        border = {there for here, there in pairs if here in border} - found.keys()
        found.update(dict.fromkeys(border, distance))
    return found


@given(
    links,
    st.lists(st.integers(0, NODES - 1), min_size=1, max_size=3, unique=True),
    st.sampled_from(["upstream", "downstream"]),
    st.sampled_from([-1, 0, 2, 4, graph.FOREVER]),
    st.integers(0, 4),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_closure_is_what_a_plain_search_finds(
    store: LineageStore,
    told: dict[tuple[int, int], int],
    roots: list[int],
    direction: Direction,
    at: int,
    depth: int,
) -> None:
    expected = searched(told, roots, direction, at)
    with store.write() as connection:
        connection.execute(tables.edge.delete())
        edges = [{"src": src, "dst": dst, "at": when, "assumed": False} for (src, dst), when in told.items()]
        if edges:
            connection.execute(tables.edge.insert(), edges)
    with store.read() as connection:
        assert graph.closure(connection, roots, direction, at=at).keys() == expected.keys()
        near = {node: distance for node, distance in expected.items() if distance <= depth}
        assert graph.closure(connection, roots, direction, at=at, depth=depth) == near
        part = graph.part(connection, expected, at=at)
    within = {pair for pair, when in told.items() if when <= at and set(pair) <= expected.keys()}
    assert {(edge.src, edge.dst) for edge in part.edges} == within
    assert reach(around(part.edges, direction), roots) == expected
    assert all(isinstance(edge, Edge) and edge.at <= at for edge in part.edges)
