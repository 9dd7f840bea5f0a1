"""Draws the counts per day as bars: numbers in, coordinates out; the template writes the SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gate.service.decision_list import Day

WIDTH, HEIGHT = 720, 128  # of the drawing, in its own units
LEFT, TOP, BOTTOM = 46, 10, 20  # room for the scale, above the bars, and for the dates
LABELLED = 7  # days between two dates


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of a day's bar."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A line of the scale or a date below, with its words."""

    at: float
    words: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing: bars, the lines of the scale, dates, and what it says in words."""

    bars: Sequence[Bar]
    lines: Sequence[Mark]
    dates: Sequence[Mark]
    days: Sequence[Day]
    words: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT


def plot(days: Sequence[Day]) -> Plot:
    """Draw days as stacked bars; the last one is today."""
    most = _round_up(max((day.blocked + day.refused + day.allowed for day in days), default=0))
    step = (WIDTH - LEFT) / max(len(days), 1)
    bars = [bar for number, day in enumerate(days) for bar in _bars(day, LEFT + number * step, step, most)]
    lines = [Mark(_y(value, most), f"{value:,}") for value in sorted({0, most // 2, most})]
    dates = [
        Mark(LEFT + (number + 0.5) * step, f"{day.day:%b} {day.day.day}")
        for number, day in enumerate(days)
        if (len(days) - 1 - number) % LABELLED == 0
    ]
    return Plot(bars, lines, dates, days, _words(days))


def _bars(day: Day, x: float, step: float, most: int) -> list[Bar]:
    """Stack one day's counts, blocked lowest: what needs somebody is compared on one base line."""
    bars, below = [], 0
    for kind, count in (("blocked", day.blocked), ("refused", day.refused), ("allowed", day.allowed)):
        if count:
            top = _y(below + count, most)
            width, height = round(step * 0.7, 1), round(_y(below, most) - top, 1)
            bars.append(Bar(kind, round(x + step * 0.15, 1), top, width, height))
        below += count
    return bars


def _y(value: int, most: int) -> float:
    room = HEIGHT - TOP - BOTTOM
    return round(TOP + room * (1 - value / most), 1)


def _round_up(value: int) -> int:
    """Return the next number a scale may end with: even, and with one digit that is not 0."""
    if value <= 2:
        return 2
    scale: int = 10 ** (len(str(value)) - 1)
    steps = [scale * factor for factor in (1, 2, 4, 6, 8, 10)]
    found = next(step for step in steps if step >= value)
    return found + found % 2


def _words(days: Sequence[Day]) -> str:
    blocked, refused = sum(day.blocked for day in days), sum(day.refused for day in days)
    allowed = sum(day.allowed for day in days)
    return (
        f"In the last {len(days)} days: {blocked:,} decisions blocked, {allowed:,} allowed, "
        f"{refused:,} training tasks refused."
    )
