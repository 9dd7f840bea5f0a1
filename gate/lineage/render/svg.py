"""Draws an answer as SVG without scripts: layers from left to right, blocked links red with their reasons as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from gate.errors import InputError
from gate.lineage.render.layout import Layout, Place, lay_out
from gate.lineage.render.shown import (
    BLOCKED,
    COLOURS,
    LINK,
    Json,
    blocked,
    categories,
    clean,
    drawn,
    fill,
    reasons_text,
    second_line,
)

MOST_NODES = 2000  # in a picture; nobody reads more
WIDTH, HEIGHT = 256, 46  # of a node, in pixels
ACROSS, DOWN = WIDTH + 170, HEIGHT + 24  # from node to node
MARGIN = 24
_LETTERS = 34  # that fit into a node

Point = tuple[float, float]


def to_svg(answer: Json) -> str:
    """Return the picture.

    Raises:
        InputError: there is too much to draw.
    """
    nodes = drawn(answer)
    if len(nodes) > MOST_NODES:
        raise InputError(
            f"{len(nodes)} nodes are too many for a picture",
            where="format",
            hint="narrow it with --depth, --category or --level dataset, or take json",
        )
    links = [(edge["source"], edge["target"]) for edge in answer["edges"]]
    layout = lay_out([node["id"] for node in nodes], links)
    tallest = max(layout.sizes, default=1)
    width = 2 * MARGIN + max(len(layout.sizes) - 1, 0) * ACROSS + WIDTH
    legend = _legend(nodes)
    height = 2 * MARGIN + tallest * DOWN + (26 if legend else 0)
    centre = {node["id"]: _point(layout, layout.places[node["id"]]) for node in nodes}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' role="img" aria-labelledby="lineage-title lineage-desc" font-family="sans-serif" font-size="12">',
        f'<title id="lineage-title">{_text(title_of(answer))}</title>',
        f'<desc id="lineage-desc">{_text(_description(answer, nodes))}</desc>',
        "<defs>",
        *(_arrow(name, colour) for name, colour in (("go", LINK), ("stop", BLOCKED))),
        "</defs>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *(_link(edge, centre, layout) for edge in answer["edges"]),
        *(_box(node, centre[node["id"]], root=node["id"] in answer["roots"]) for node in nodes),
        *(_reasons(edge, centre, layout) for edge in answer["edges"] if edge["verdict"] == "block"),
        *(_legend_item(number, name, height) for number, name in enumerate(legend)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _point(layout: Layout, place: Place) -> Point:
    tallest = max(layout.sizes)
    layer, position = place
    return (
        MARGIN + layer * ACROSS + WIDTH / 2,
        MARGIN + ((tallest - layout.sizes[layer]) / 2 + position + 0.5) * DOWN,
    )


def title_of(answer: Json) -> str:
    """Return what was asked, as one line."""
    question = answer["question"]
    names = ", ".join(clean(name, 80) for name in question["nodes"][:3])
    more = f" and {len(question['nodes']) - 3} more" if len(question["nodes"]) > 3 else ""
    where = {"both": "Up- and downstream"}.get(question["direction"], question["direction"].capitalize())
    when = f", as of {question['as_of']}" if question["as_of"] else ""
    return f"{where} of {names}{more}{when}"


def _description(answer: Json, nodes: Sequence[Json]) -> str:
    kinds = Counter(node["kind"] for node in nodes)
    counted = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in sorted(kinds.items()))
    stopped = sum(edge["verdict"] == "block" for edge in answer["edges"])
    rest = "" if answer["complete"] else " There was more than is shown."
    return f"{counted}; {len(answer['edges'])} links, {stopped} of them blocked.{rest}"


def _arrow(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
    )


def _way(edge: Json, centre: dict[int, Point], layout: Layout) -> list[Point]:
    src, dst = centre[edge["source"]], centre[edge["target"]]
    side = WIDTH / 2 if src[0] <= dst[0] else -WIDTH / 2
    passed = [_point(layout, bend) for bend in layout.bends.get((edge["source"], edge["target"]), ())]
    return [(src[0] + side, src[1]), *passed, (dst[0] - side, dst[1])]


def _link(edge: Json, centre: dict[int, Point], layout: Layout) -> str:
    points = _way(edge, centre, layout)
    way = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
    for (x, y), (to_x, to_y) in pairwise(points):
        middle = (x + to_x) / 2
        way += f"C{middle:.0f} {y:.0f} {middle:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}"
    stopped = edge["verdict"] == "block"
    colour, end, thick = (BLOCKED, "stop", 2) if stopped else (LINK, "go", 1.3)
    dashes = ' stroke-dasharray="5 4"' if edge["assumed"] else ""
    said = f"blocked: {reasons_text(edge, 99)}" if stopped else edge["verdict"] or "data"
    about = f"{said}, first told at {edge['at']}" + (", version assumed" if edge["assumed"] else "")
    return (
        f'<path d="{way}" fill="none" stroke="{colour}" stroke-width="{thick}"{dashes} marker-end="url(#{end})">'
        f"<title>{_text(about)}</title></path>"
    )


def _reasons(edge: Json, centre: dict[int, Point], layout: Layout) -> str:
    points = _way(edge, centre, layout)
    (x, y), (to_x, to_y) = points[-2:]
    told = _text(reasons_text(edge, 1))
    return (
        f'<text x="{(x + to_x) / 2:.0f}" y="{(y + to_y) / 2 - 5:.0f}" text-anchor="middle" font-size="10"'
        f' fill="{BLOCKED}" stroke="#ffffff" stroke-width="3" paint-order="stroke">{told}</text>'
    )


def _box(node: Json, centre: Point, *, root: bool) -> str:
    left, top = centre[0] - WIDTH / 2, centre[1] - HEIGHT / 2
    line = BLOCKED if blocked(node) else "#37474f"
    thick = 3 if root else 1
    round_ = 22 if node["kind"] == "decision" else 4 if node["kind"] in ("run", "job") else 10
    about = _text(" ".join(filter(None, (node["namespace"], node["name"], node["version"]))))
    label = _text(_fitting(node["label"]))
    return (
        f'<g><title>{about}</title><rect x="{left:.0f}" y="{top:.0f}" width="{WIDTH}" height="{HEIGHT}"'
        f' rx="{round_}" fill="{fill(node)}" stroke="{line}" stroke-width="{thick}"/>'
        f'<text x="{centre[0]:.0f}" y="{centre[1] - 4:.0f}" text-anchor="middle">{label}</text>'
        f'<text x="{centre[0]:.0f}" y="{centre[1] + 13:.0f}" text-anchor="middle" font-size="10" fill="#37474f">'
        f"{_text(clean(second_line(node), 38))}</text></g>"
    )


def _fitting(label: str) -> str:
    """Shorten in the middle: both ends of a name tell which it is."""
    text = clean(label)
    half = _LETTERS // 2
    return text if len(text) <= _LETTERS else f"{text[: half - 1]}…{text[-half:]}"


def _legend(nodes: Sequence[Json]) -> list[str]:
    told = {name for node in nodes for name in categories(node)}
    return [name for name in COLOURS if name in told]


def _legend_item(number: int, name: str, height: int) -> str:
    x, y = MARGIN + number * 150, height - MARGIN
    return (
        f'<rect x="{x}" y="{y - 11}" width="14" height="14" rx="3" fill="{COLOURS[name]}" stroke="#37474f"/>'
        f'<text x="{x + 20}" y="{y}">{_text(name.replace("_", " "))}</text>'
    )


def _text(text: object) -> str:
    return escape(clean(text), quote=True)
