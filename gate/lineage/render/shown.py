"""What every form of an answer shows of a node or a link: short safe text, colours, which links are blocked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

COLOURS = {  # category → fill; text on each of them is black, with a contrast of at least 7:1
    "phi": "#f6b8d0",
    "education_record": "#e3c5f0",
    "video": "#b9cdf7",
    "audio": "#b4e0ee",
    "chat": "#bfe8cb",
    "telemetry": "#f5e3ae",
    "aggregated_anonymous": "#dfe6c8",
    "unclassified": "#f7c9b0",
    "none": "#eceff1",
}
UNKNOWN = "#ffffff"  # nothing is told of its categories
OTHERS = {"run": "#f4f4f4", "job": "#f4f4f4", "decision": "#e6f4e6", "model": "#ffe08a"}
BLOCKED = "#c62828"
BLOCKED_FILL = "#fbe3e3"
LINK = "#78858c"


def clean(text: object, most: int | None = None) -> str:
    """Return text without control or direction characters: names come from whoever sent an event.

    Args:
        most: characters; what is longer ends in an ellipsis.
    """
    safe = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text))
    return safe if most is None or len(safe) <= most else safe[: most - 1] + "…"


def drawn(answer: Json) -> list[Json]:
    """Return the nodes that the answer is about; those that only say what others are of have no distance."""
    return [node for node in answer["nodes"] if node["depth"] is not None]


def categories(node: Json) -> list[str]:
    """Return a node's categories, the most protected first."""
    told = [str(one) for one in node["facts"].get("categories", ())]
    order = list(COLOURS)
    return sorted(told, key=lambda one: (order.index(one) if one in order else len(order), one))


def blocked(node: Json) -> bool:
    """Say whether a node is a decision that blocked."""
    return bool(node["kind"] == "decision" and node["facts"].get("verdict") == "block")


def fill(node: Json) -> str:
    """Return a node's colour."""
    if blocked(node):
        return BLOCKED_FILL
    if node["kind"] in OTHERS:
        return OTHERS[node["kind"]]
    told = categories(node)
    return COLOURS.get(told[0], UNKNOWN) if told else UNKNOWN


def second_line(node: Json) -> str:
    """Return what stands below a node's name: its categories, its state, or why."""
    facts = node["facts"]
    if node["kind"] in ("run", "job"):
        return " · ".join(filter(None, (node["kind"], str(facts.get("state", "")).lower())))
    if node["kind"] == "decision":
        return ", ".join(map(str, facts.get("reasons", ()))) or str(facts.get("policy", "decision"))
    return f"{node['kind']}: {', '.join(categories(node))}" if categories(node) else str(node["kind"])


def reasons_text(edge: Json, most: int) -> str:
    """Return why a link is blocked, at most so many reasons of it."""
    told = [clean(one) for one in edge["reasons"]]
    more = f" +{len(told) - most}" if len(told) > most else ""
    return ", ".join(told[:most]) + more or "blocked"
