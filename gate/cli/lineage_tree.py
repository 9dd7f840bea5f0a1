"""Prints an answer about lineage as a tree in the terminal: what comes from where, what was blocked and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

MOST_LINES = 400  # of a tree; what is larger is for export
_SIGNS = {"run": "▸", "job": "▸", "dataset": "●", "version": "●", "model": "◆", "decision": "⚖"}
_STYLES = {
    "audio": "cyan",
    "video": "blue",
    "chat": "green",
    "telemetry": "yellow",
    "education_record": "magenta",
    "phi": "bright_magenta",
    "unclassified": "bright_red",
}

Json = dict[str, Any]


def print_tree(answer: Json) -> None:
    """Print the answer to stdout; colours only where that is a terminal."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for number, line in enumerate(_lines(answer)):
        if number == MOST_LINES:
            console.print(
                "… there is more: narrow it with --depth, --category or --level dataset, or gate lineage export"
            )
            return
        console.print(line)


def _lines(answer: Json) -> Iterator[Text]:
    from rich.text import Text

    nodes = {node["id"]: node for node in answer["nodes"]}
    here, there = ("target", "source") if answer["question"]["direction"] == "upstream" else ("source", "target")
    onward: dict[int, list[Json]] = {}
    for edge in answer["edges"]:
        onward.setdefault(edge[here], []).append(edge)
    yield _headline(answer)
    shown: set[int] = set()
    waiting: list[tuple[str, str, Json | None, int]] = [("", "", None, root) for root in reversed(answer["roots"])]
    while waiting:
        above, branch, edge, node = waiting.pop()
        line = Text(branch, style="dim") + _line(nodes[node], edge)
        again = node in shown and node in onward
        yield line.append("  (as above)", style="dim") if again else line
        if again:
            continue
        shown.add(node)
        below = above + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch[len(above) :]]
        links = sorted(onward.get(node, ()), key=lambda one: (one["at"], one[there]))
        for position, link in enumerate(reversed(links)):
            waiting.append((below, below + ("├─ " if position else "└─ "), link, link[there]))


def _headline(answer: Json) -> Text:
    from rich.text import Text

    question = answer["question"]
    count = sum(node["depth"] is not None for node in answer["nodes"])
    stopped = sum(edge["verdict"] == "block" for edge in answer["edges"])
    line = Text(f"{question['direction']} of {', '.join(map(plain, question['nodes']))}", style="bold")
    when = f", as of {question['as_of']}" if question["as_of"] else ""
    line.append(f"{when}: {count} nodes, {len(answer['edges'])} links", style="not bold")
    if stopped:
        line.append(f", {stopped} blocked", style="not bold red")
    if not answer["complete"]:
        line.append(" (there was more than is shown)", style="not bold yellow")
    return line


def _line(node: Json, edge: Json | None) -> Text:
    from rich.text import Text

    facts = node["facts"]
    stopped = node["kind"] == "decision" and facts.get("verdict") == "block"
    line = Text(f"{_SIGNS.get(node['kind'], '·')} ", style="dim")
    line.append(plain(node["label"]), style="bold red" if stopped else "bold" if node["kind"] == "model" else "")
    for category in facts.get("categories", ()):
        line.append(f" {plain(category)}", style=_STYLES.get(category, "dim"))
    if node["kind"] in ("run", "job") and "state" in facts:
        line.append(f" {plain(facts['state']).lower()}", style="red" if facts["state"] == "FAIL" else "dim")
    if facts.get("unpermitted"):
        line.append(" unpermitted", style="bold red")
    if stopped and facts.get("reasons"):
        line.append(f" {', '.join(map(plain, facts['reasons']))}", style="red")
    elif edge is not None and edge["verdict"] == "block":
        line.append(f"  ✗ {', '.join(map(plain, edge['reasons'])) or 'blocked'}", style="red")
    if edge is not None and edge["assumed"]:
        line.append("  (version assumed)", style="dim")
    return line


def plain(text: object) -> str:
    """Return text that cannot steer a terminal: names come from whoever sent an event."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text))
