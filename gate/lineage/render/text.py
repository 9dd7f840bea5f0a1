"""Writes an answer as Graphviz DOT or as a Mermaid flowchart; hostile names stay text."""

from __future__ import annotations

from gate.lineage.render.shown import BLOCKED, LINK, Json, categories, clean, drawn, fill, reasons_text

MOST = 80  # characters of a name
_DOT_SHAPES = {"run": "box", "job": "box", "decision": "hexagon", "model": "box3d"}
_PLAIN = frozenset(" ._-/()")


def to_dot(answer: Json) -> str:
    """Return a digraph; `dot -Tsvg` draws it."""
    lines = ["digraph lineage {", "  rankdir=LR;", '  node [style="filled,rounded", fontname="sans-serif"];']
    for node in drawn(answer):
        shape = _DOT_SHAPES.get(node["kind"], "box")
        label = "\\n".join(_dot(part) for part in (node["label"], ", ".join(categories(node))) if part)
        about = _dot(f"{node['namespace'] or ''} {node['name']} {node['version'] or ''}".strip())
        lines.append(
            f'  n{node["id"]} [label="{label}", tooltip="{about}", shape={shape}, fillcolor="{fill(node)}"'
            + (", penwidth=2];" if node["id"] in answer["roots"] else "];")
        )
    for edge in answer["edges"]:
        style = "dashed" if edge["assumed"] else "solid"
        marks = f'color="{LINK}", style={style}'
        if edge["verdict"] == "block":
            label = _dot(reasons_text(edge, 3))
            marks = f'color="{BLOCKED}", fontcolor="{BLOCKED}", style={style}, label="{label}"'
        lines.append(f"  n{edge['source']} -> n{edge['target']} [{marks}];")
    return "\n".join([*lines, "}"]) + "\n"


def to_mermaid(answer: Json) -> str:
    """Return a flowchart; Markdown pages of most forges draw it."""
    lines = ["flowchart LR"]
    for node in drawn(answer):
        label = "<br/>".join(_mermaid(part) for part in (node["label"], ", ".join(categories(node))) if part)
        left, right = ("{{", "}}") if node["kind"] == "decision" else ("[[", "]]") if node["kind"] == "run" else "[]"
        lines.append(f'  n{node["id"]}{left}"{label}"{right}')
        lines.append(f"  style n{node['id']} fill:{fill(node)},color:#000")
    for number, edge in enumerate(answer["edges"]):
        arrow = "-.->" if edge["assumed"] else "-->"
        if edge["verdict"] == "block":
            lines.append(f'  n{edge["source"]} {arrow}|"{_mermaid(reasons_text(edge, 3))}"| n{edge["target"]}')
            lines.append(f"  linkStyle {number} stroke:{BLOCKED},color:{BLOCKED}")
        else:
            lines.append(f"  n{edge['source']} {arrow} n{edge['target']}")
    return "\n".join(lines) + "\n"


def _dot(text: object) -> str:
    return clean(text, MOST).replace("\\", "\\\\").replace('"', '\\"')


def _mermaid(text: object) -> str:
    """Write every letter that could mean something as its number."""
    return "".join(one if one.isalnum() or one in _PLAIN else f"#{ord(one)};" for one in clean(text, MOST))
