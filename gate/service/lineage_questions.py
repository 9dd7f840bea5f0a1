"""Answers what lies upstream or downstream of nodes, as of an instant: one answer for command line, API and page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from gate.domain.instants import checked_instant, format_instant, parse_instant
from gate.domain.words import Category
from gate.errors import InputError
from gate.lineage.store import graph
from gate.lineage.store.database import LineageStore
from gate.lineage.store.graph import FOREVER, Direction, Node, Part, Reading
from gate.service.collecting import nothing_collected
from gate.service.lineage_answer import answer_of
from gate.service.lineage_names import Asking, find_nodes
from gate.service.lineage_reach import around, concerned, reach
from gate.service.lineage_sight import Sight, everybody

if TYPE_CHECKING:
    from gate.service.core import Service

MOST_NODES = 50_000  # in one answer; beyond it the farthest are left out and the answer says so
MOST_DEPTH = 10_000  # links
MOST_ROOTS = 100  # names in one question

Which = Literal["upstream", "downstream", "both"]
Level = Literal["run", "dataset"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asks.

    Attributes:
        nodes: names as `gate.service.lineage_names.find_nodes` reads them.
        as_of: only what was told until this instant (event time).
        ledger_index: the ledger's entry that `as_of` was taken from; later decisions did not exist then.
        level: `run` shows runs and versions; `dataset` shows jobs and datasets, each link once.
        depth: at most so many links away.
        category: only what bears it, what came of that, and the way from there.

    Raises:
        InputError: something in it means nothing.
    """

    nodes: tuple[str, ...]
    direction: Which = "upstream"
    as_of: datetime | None = None
    ledger_index: int | None = None
    level: Level = "run"
    depth: int | None = None
    category: str | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.nodes) <= MOST_ROOTS:
            raise InputError(f"expected 1 to {MOST_ROOTS} nodes", where="node")
        _one_of("direction", self.direction, get_args(Which))
        _one_of("level", self.level, get_args(Level))
        if self.category is not None:
            _one_of("category", self.category, [category.value for category in Category])
        if self.depth is not None and not 0 <= self.depth <= MOST_DEPTH:
            raise InputError(f"expected 0 to {MOST_DEPTH} links", where="depth")
        if self.as_of is not None:
            checked_instant(self.as_of, "as_of")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "nodes": list(self.nodes),
            "direction": self.direction,
            "as_of": None if self.as_of is None else format_instant(self.as_of),
            "ledger_index": self.ledger_index,
            "level": self.level,
            "depth": self.depth,
            "category": self.category,
        }


def question_at(
    question: Question, as_of: str | None, ledger_index: int | None, opened: Callable[[], Service]
) -> Question:
    """Return a question as of an instant, or as of an entry of the ledger.

    Args:
        opened: opens the ledger; called only when an entry was named.

    Raises:
        InputError: both were named, or one that does not exist.
    """
    if as_of is not None and ledger_index is not None:
        raise InputError("as of an instant or as of an entry of the ledger, not both", where="as_of")
    if ledger_index is not None:
        return replace(question, as_of=as_of_index(opened(), ledger_index), ledger_index=ledger_index)
    return question if as_of is None else replace(question, as_of=parse_instant(as_of, "as_of"))


def as_of_index(service: Service, index: int) -> datetime:
    """Return the instant at which an entry of the ledger was recorded.

    Raises:
        InputError: the ledger holds no such entry.
    """
    with service.ledger.read() as reader:
        if not 0 <= index < reader.size:
            raise InputError("there is no such entry", where="ledger_index", hint=f"0 to {reader.size - 1}")
        return reader.entry(index).recorded_at


def microseconds(instant: datetime | None) -> int:
    """Return an instant as the store counts, since 1970; without one, an instant after all others."""
    return FOREVER if instant is None else (instant - _EPOCH) // timedelta(microseconds=1)


def ask(store: LineageStore, question: Question, *, sees: Callable[[str], bool] = everybody) -> dict[str, Any]:
    """Answer a question from one state of the store.

    Args:
        sees: whether the asker may look at a DAG's runs, by DAG id; what they may not see is left out, with what can
            only be reached through it.

    Raises:
        InputError: a name means nothing, or several things.
        LineageUnavailable: the store cannot be read.
    """
    at = microseconds(question.as_of)
    with store.read() as connection, nothing_collected():
        sight = Sight(connection, sees, None if question.ledger_index is None else question.ledger_index + 1)
        asking = Asking(connection, sight, at, every=question.level == "dataset")
        roots = list(dict.fromkeys(root for name in question.nodes for root in find_nodes(asking, name)))
        part = _gather(connection, roots, question, at, sight)
        return {"question": question.to_dict(), **answer_of(connection, part, roots, sight, at, level=question.level)}


def _gather(connection: Reading, roots: list[int], question: Question, at: int, sight: Sight) -> Part:
    """Return the part of the graph that answers, with distances, without what must not be seen."""
    ways: tuple[Direction, ...] = ("upstream", "downstream") if question.direction == "both" else (question.direction,)
    ids, complete = dict[int, int](), True
    for way in ways:
        some, whole = _closure(connection, roots, way, at, question.depth)
        ids |= some
        complete = complete and whole
    found = graph.part(connection, ids, at=at, complete=complete)
    hidden = sight.hidden(found.nodes)
    edges = [edge for edge in found.edges if edge.src not in hidden and edge.dst not in hidden]
    kept: dict[int, int] = {}
    for way in ways:
        reached = reach(around(edges, way), roots, question.depth)
        if question.category is not None:
            mine = [edge for edge in edges if edge.src in reached and edge.dst in reached]
            bears = _bearing(found.nodes, question.category)
            wanted = concerned(mine, roots, way, bears)
            reached = {id_: depth for id_, depth in reached.items() if id_ in wanted}
        for id_, depth in reached.items():
            kept[id_] = min(depth, kept.get(id_, depth))
    around_them = {node.of for id_ in kept if (node := found.nodes[id_]).of is not None}
    nodes = {
        id_: node._replace(depth=kept.get(id_, -1))
        for id_, node in found.nodes.items()
        if id_ in kept or id_ in around_them
    }
    links = tuple(edge for edge in edges if edge.src in kept and edge.dst in kept)
    return Part(nodes, links, found.complete)


def _closure(
    connection: Reading, roots: list[int], way: Direction, at: int, depth: int | None
) -> tuple[dict[int, int], bool]:
    found = graph.closure(connection, roots, way, at=at, depth=depth)
    if len(found) <= MOST_NODES:
        return found, True
    return graph.closure(connection, roots, way, at=at, depth=depth or MOST_DEPTH, most=MOST_NODES), False


def _bearing(nodes: Mapping[int, Node], category: str) -> Callable[[int], bool | None]:
    def bears(id_: int) -> bool | None:
        told = nodes[id_].facts.get("categories")
        return None if told is None else category in told.split()

    return bears


def _one_of(where: str, value: object, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise InputError(f"{str(value)[:40]!r} means nothing here", where=where, hint=" or ".join(allowed))
