"""Places an account's consent events on a plot: when each applies, and when we came to know it; templates draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gate.domain.words import Action, Toggle
from gate.service.account_history import Shown

WIDTH = 960
LEFT, RIGHT = 150, 30  # room for the lanes' names, and for the last mark
TOP, LANE, AXIS = 20.0, 34.0, 10.0  # heights: above the lanes, of one without crowding, of the dates below
STEP = 12  # marks that are closer than this are drawn below one another
DEEPEST = 5  # rows of marks below the first in a lane; what finds no room there shares the last
MOST_MARKS = 80  # the newest; the table has them all
LATE = timedelta(days=1)  # recorded so much after it applied: worth a connector


@dataclass(frozen=True, slots=True)
class Mark:
    """An event on the plot: `x` is when it applies, `known_x` when it was recorded."""

    index: int
    x: float
    y: float
    known_x: float
    late: bool
    grant: bool
    words: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A date on the axis."""

    x: float
    words: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything the template draws; lanes are (name, y)."""

    height: float
    marks: tuple[Mark, ...]
    lanes: tuple[tuple[str, float], ...]
    ticks: tuple[Tick, ...]
    now_x: float
    left_out: int


def plot(events: Sequence[Shown], at: datetime) -> Plot | None:
    """Place events on the plot; `None` when there are none.

    Args:
        events: newest first.
        at: the instant the page is about; drawn as a line.
    """
    chosen = events[:MOST_MARKS]
    if not chosen:
        return None
    instants = [at, *(i for one in chosen for i in (one.recorded.event.effective_at, one.recorded.recorded_at))]
    scale = _Scale(min(instants), max(instants))
    lanes = [name for name in (*Toggle, None) if any(one.recorded.event.toggle is name for one in chosen)]
    placed = [(one, lanes.index(one.recorded.event.toggle)) for one in reversed(chosen)]
    rows = _rows([(lane, scale.x(one.recorded.event.effective_at)) for one, lane in placed])
    tops, bottom = list[float](), TOP
    for number in range(len(lanes)):
        tops.append(bottom)
        bottom += LANE + STEP * max(row for row, (_, lane) in zip(rows, placed, strict=True) if lane == number)
    return Plot(
        height=bottom + AXIS,
        marks=tuple(_mark(one, scale, tops[lane] + STEP * row) for row, (one, lane) in zip(rows, placed, strict=True)),
        lanes=tuple((name.value if name else "both toggles", top) for name, top in zip(lanes, tops, strict=True)),
        ticks=scale.ticks(),
        now_x=scale.x(at),
        left_out=len(events) - len(chosen),
    )


def _rows(places: Sequence[tuple[int, float]]) -> list[int]:
    """Return how far down each mark goes, so that those of a lane do not cover one another."""
    taken: dict[tuple[int, int], list[float]] = {}
    rows = []
    for lane, x in places:
        free = (row for row in range(DEEPEST) if all(abs(x - other) >= STEP for other in taken.get((lane, row), ())))
        row = next(free, DEEPEST)
        taken.setdefault((lane, row), []).append(x)
        rows.append(row)
    return rows


def _mark(one: Shown, scale: _Scale, y: float) -> Mark:
    event, recorded_at = one.recorded.event, one.recorded.recorded_at
    return Mark(
        index=one.recorded.index,
        x=scale.x(event.effective_at),
        y=y,
        known_x=scale.x(recorded_at),
        late=recorded_at - event.effective_at >= LATE,
        grant=event.action is Action.GRANT,
        words=_words(one),
    )


class _Scale:
    """Maps instants to the plot's width, with some room on both sides."""

    def __init__(self, first: datetime, last: datetime) -> None:
        room = max((last - first) * 0.03, timedelta(hours=1))
        self.first, self.last = first - room, last + room

    def x(self, instant: datetime) -> float:
        share = (instant - self.first) / (self.last - self.first)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def ticks(self) -> tuple[Tick, ...]:
        """Return years, months or days: whichever gives a handful."""
        years = self.last.year - self.first.year
        if years >= 2:
            step = 1 + years // 8
            chosen = [(datetime(y, 1, 1, tzinfo=UTC), str(y)) for y in range(self.first.year, self.last.year + 1, step)]
        else:
            span = (self.last - self.first) / 6
            instants = [self.first + span * number for number in range(1, 6)]
            pattern = "%Y-%m-%d" if span >= timedelta(days=1) else "%d %b %H:%M"
            chosen = [(instant, instant.strftime(pattern)) for instant in instants]
        return tuple(Tick(self.x(instant), words) for instant, words in chosen if self.first <= instant <= self.last)


def _words(one: Shown) -> str:
    event = one.recorded.event
    said = f"{event.action.value} of {event.toggle.value.replace('_', ' ') if event.toggle else 'both toggles'}"
    applies, known = event.effective_at.date().isoformat(), one.recorded.recorded_at.date().isoformat()
    return f"{said}: applies from {applies}, recorded {known} (entry {one.recorded.index})"
