"""Writes docs/benchmarks.md from the rows of a run: a table, and a picture of each measurement beside its bar."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from benchmarks._common import Row
from benchmarks._limits import WHY

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = DOCS / "benchmarks.md", DOCS / "images" / "benchmarks.svg"
LABEL, WIDTH, LINE, TOP = 430, 960, 20, 46  # pixels
LEAST, MOST = 0.03, 10.0  # of the bar: what the picture shows


def write_page(rows: Sequence[Row]) -> None:
    """Write page and picture."""
    PAGE.write_text(page(rows), "utf-8")
    PICTURE.write_text(picture(rows), "utf-8")


def page(rows: Sequence[Row]) -> str:
    """Return the page."""
    met = sum(bool(row["ok"]) for row in rows)
    where = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    head = [
        "# Benchmarks\n",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {where}. {met} of {len(rows)} bars met.",
        "A measurement is a ratio to a peer of the same run wherever there is one (×): seconds of a busy machine are",
        "worth little.\n",
        "![Each measurement as a part of its bar](images/benchmarks.svg)\n",
        "| | of | measured | bar | | |",
        "|---|---|---|---|---|---|",
    ]
    lines = [
        f"| {row['what']} | `{row['of']}` | {float(str(row['measured'])):.3g} {unit(row)} | {row['bar']} {unit(row)} "
        f"| {'met' if row['ok'] else '**missed**'} | {row['note']} |"
        for row in rows
    ]
    because = ["", "## What limits those that missed their bar", "", *limits(rows)] if limits(rows) else []
    return "\n".join([*head, *lines, *because, ""])


def limits(rows: Sequence[Row]) -> list[str]:
    """Return what is known to limit the measurements that missed their bar, a line for each reason."""
    missed = [str(row["what"]) for row in rows if not row["ok"]]
    known = [f"- {why}" for start, why in WHY.items() if any(what.startswith(start) for what in missed)]
    other = [what for what in missed if not any(what.startswith(start) for start in WHY)]
    return [*known, *(f"- **{what}**: not yet known." for what in other)]


def unit(row: Row) -> str:
    """Return the unit as people write it."""
    return {"x": "×", "us": "µs", "exp": "(exponent)"}.get(str(row["unit"]), str(row["unit"]))


def picture(rows: Sequence[Row]) -> str:
    """Return an SVG with a line for each row: how much of its bar was used, on a logarithmic scale."""
    height = TOP + LINE * len(rows) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" '
        'font-size="12"><title>Measured as a part of the bar</title>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for part, said in ((0.1, "a tenth of the bar"), (1.0, "the bar")):
        parts.append(
            f'<line x1="{place(part):.0f}" x2="{place(part):.0f}" y1="{TOP - 12}" y2="{height - 6}" stroke="#8a8f98" '
            f'stroke-dasharray="3 3"/><text x="{place(part):.0f}" y="{TOP - 18}" text-anchor="middle" fill="#4b5563">'
            f"{said}</text>"
        )
    for number, row in enumerate(rows):
        measured, bar = float(str(row["measured"])), float(str(row["bar"]))
        y, part = TOP + LINE * number, measured / bar if bar else MOST * measured
        colour = "#1b7f5c" if row["ok"] else "#c2410c"
        what, told = escape(str(row["what"])[:68]), f"{measured:.3g} {unit(row)}"
        end = place(part)
        parts += [
            f'<text x="{LABEL - 10}" y="{y + 12}" text-anchor="end" fill="#111827">{what}</text>',
            f'<rect x="{LABEL}" y="{y + 2}" width="{max(end - LABEL, 2):.0f}" height="{LINE - 8}" fill="{colour}"/>',
            f'<text x="{end + 6:.0f}" y="{y + 12}" fill="{colour}">{told}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def place(part: float) -> float:
    """Return where a part of a bar lies, in pixels from the left."""
    within = math.log(min(max(part, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LABEL + within * (WIDTH - LABEL - 80)
