"""Writes an answer as one HTML page that needs nothing else: picture and tables, no scripts, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from gate.lineage.render.shown import Json, categories, clean, drawn
from gate.lineage.render.svg import MOST_NODES, title_of, to_svg

_STYLE = """
body { font: 15px/1.45 sans-serif; margin: 2rem; color: #1c2529; }
figure { overflow-x: auto; margin: 1rem 0; border: 1px solid #cfd8dc; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; font-size: 13px; }
caption { text-align: left; font-weight: bold; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid #cfd8dc; }
td { overflow-wrap: anywhere; }
.block { color: #c62828; font-weight: bold; }
@media print { figure { border: 0; overflow: visible; } svg { max-width: 100%; height: auto; } }
"""
_NODES = ("what", "kind", "name", "version", "categories", "verdict or state", "DAG", "links away")
_EDGES = ("from", "to", "first told at", "verdict", "reasons", "version")


def to_html(answer: Json) -> str:
    """Return the page."""
    nodes = drawn(answer)
    labels = {node["id"]: node["label"] for node in answer["nodes"]}
    question = answer["question"]
    title = title_of(answer)
    asked = "; ".join(
        f"{name.replace('_', ' ')}: {value}"
        for name, value in question.items()
        if value is not None and name not in ("nodes", "as_of")
    )
    picture = to_svg(answer).rstrip() if len(nodes) <= MOST_NODES else ""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        f"<p>{_text(asked)}.",
        "" if answer["complete"] else " <strong>There was more than is shown.</strong>",
        "</p>",
        f"<figure>{picture}</figure>" if picture else f"<p>{len(nodes)} nodes are too many for a picture.</p>",
        _table("Nodes", _NODES, (_node_row(node) for node in nodes)),
        _table("Links", _EDGES, (_edge_row(edge, labels) for edge in answer["edges"])),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _node_row(node: Json) -> list[str]:
    facts = node["facts"]
    outcome = str(facts.get("verdict") or facts.get("state") or "")
    about = " ".join(filter(None, (node["namespace"], node["name"])))
    shown = (node["label"], node["kind"], about, node["version"] or "", ", ".join(categories(node)))
    return [*map(_cell, shown), _verdict(outcome), _cell(node["dag_id"] or ""), _cell(node["depth"])]


def _edge_row(edge: Json, labels: dict[int, str]) -> list[str]:
    ends = (labels[edge["source"]], labels[edge["target"]], edge["at"])
    known = "assumed" if edge["assumed"] else "named"
    return [*map(_cell, ends), _verdict(edge["verdict"] or ""), _cell(", ".join(edge["reasons"])), _cell(known)]


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _verdict(text: str) -> str:
    return f'<td class="block">{_text(text)}</td>' if text == "block" else _cell(text)


def _cell(value: object) -> str:
    return f"<td>{_text(value)}</td>"


def _text(text: object) -> str:
    return escape(clean(text), quote=True)
