"""Asks the lineage store for an audit: the graph of what was asked, its picture, and the raw events behind it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gate.errors import InputError
from gate.lineage.store.database import LineageStore
from gate.lineage.store.graph import events_of, node_id
from gate.service.bundle_contents import Scope
from gate.service.core import Service
from gate.service.lineage_questions import MOST_ROOTS, Question, Which, ask
from gate.service.lineage_store import open_lineage


@dataclass(frozen=True, slots=True)
class Traced:
    """What lineage tells.

    Attributes:
        answer: as `gate lineage` answers; `None` when nothing is known.
        picture: the same as SVG; `None` when it would be too large.
        events: raw, in the order in which they came.
        left_out: what is missing, and why.
    """

    answer: dict[str, Any] | None
    picture: str | None
    events: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def decisions(self) -> list[int]:
        """The ledger indices of the decisions in the graph."""
        nodes = [] if self.answer is None else self.answer["nodes"]
        return sorted({int(one["name"]) for one in nodes if one["kind"] == "decision" and one["name"].isdecimal()})


def trace(service: Service, scope: Scope, decisions: Sequence[int]) -> Traced:
    """Answer for a scope, whose own decisions are these.

    Raises:
        LineageUnavailable: the store cannot be read.
    """
    left_out: list[tuple[str, str]] = []
    with open_lineage(service.settings) as store:
        answer = _answer(store, _names(scope), "both" if scope.model is None else "upstream")
        if answer is None:
            known = _known(store, decisions)
            if len(known) > MOST_ROOTS:
                left_out.append((f"the graph around {len(known) - MOST_ROOTS} decisions", "too many for one question"))
            answer = _answer(store, known[:MOST_ROOTS], "both")
        events = () if answer is None else _events(store, answer)
    if answer is None:
        left_out.append(("the graph", "the lineage store knows nothing of it: its events were not delivered here"))
    elif not answer["complete"]:
        left_out.append(("the farthest part of the graph", "it is too large"))
    told = {_run_of(event) for event in events}
    own = [event for event in _decided(service, decisions) if _run_of(event) not in told]
    picture = None if answer is None else _picture(answer)
    if answer is not None and picture is None:
        left_out.append(("the picture of the graph", "it is too large to be drawn"))
    return Traced(answer, picture, (*events, *own), tuple(left_out))


def _names(scope: Scope) -> list[str]:
    if scope.run is not None:
        return ["/".join(scope.run)]
    if scope.digest is not None:
        return [scope.digest]
    return [] if scope.model is None else [f"model:{scope.model}@all"]


def _known(store: LineageStore, decisions: Sequence[int]) -> list[str]:
    with store.read() as connection:
        return [f"decision:{idx}" for idx in decisions if node_id(connection, ("decision", str(idx))) is not None]


def _answer(store: LineageStore, names: Sequence[str], direction: Which) -> dict[str, Any] | None:
    if not names:
        return None
    try:
        return ask(store, Question(tuple(names), direction=direction))
    except InputError:
        return None  # nothing is known by that name, or it means several things


def _events(store: LineageStore, answer: dict[str, Any]) -> tuple[str, ...]:
    runs = [node["name"] for node in answer["nodes"] if node["kind"] == "run" and node["depth"] is not None]
    with store.read() as connection:
        return tuple(_one_line(event) for event in events_of(connection, runs))


def _decided(service: Service, decisions: Sequence[int]) -> list[str]:
    """Return the events of decisions that the ledger's outbox still holds."""
    found = (service.ledger.outbox_event(f"decision/{idx}") for idx in decisions)
    return [_one_line(event) for event in found if event is not None]


def _one_line(event: str) -> str:
    return event if "\n" not in event and "\r" not in event else json.dumps(json.loads(event), ensure_ascii=False)


def _run_of(event: str) -> Any:
    return json.loads(event).get("run", {}).get("runId")


def _picture(answer: dict[str, Any]) -> str | None:
    from gate.lineage.render.svg import to_svg

    try:
        return to_svg(answer)
    except InputError:
        return None
