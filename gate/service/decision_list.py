"""What people ask of the list of decisions: filters and search, the choices there are, counts per day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from gate.domain.instants import format_instant
from gate.domain.words import Verdict
from gate.errors import InputError
from gate.service.decision_index import REFUSED, Row

PLOTTED = 30  # days
RECENT = 7  # days
FIELDS = (  # of `row_fields`, in this order
    "index", "recorded_at", "dag_id", "run_id", "task_id", "map_index", "try_number", "verdict", "let_through",
    "subset", "purpose", "feature", "model", "ownership", "categories", "datasets", "accounts_blocked",
    "rows_blocked", "reasons", "cause",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions somebody asks for; what is empty does not matter.

    Attributes:
        account: the reference of an account that must be in the data.
        since, until: days in UTC, both included.
        text: what DAG, run, task, model, feature or a dataset's address must hold, in any case.
    """

    verdict: str = ""
    dag: str = ""
    category: str = ""
    reason: str = ""
    model: str = ""
    cause: str = ""
    account: str = ""
    since: date | None = None
    until: date | None = None
    text: str = ""

    @property
    def any(self) -> bool:
        """Whether anything is asked for at all."""
        return self != Wanted()


@dataclass(frozen=True, slots=True)
class Choices:
    """The values that occur, sorted: what filters offer."""

    verdicts: Sequence[str]
    dags: Sequence[str]
    categories: Sequence[str]
    reasons: Sequence[str]
    models: Sequence[str]


@dataclass(frozen=True, slots=True)
class Day:
    """How many decisions and refusals one day (UTC) brought."""

    day: date
    allowed: int
    blocked: int
    refused: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts for the head of the list; see `RECENT` and `PLOTTED`.

    Attributes:
        blocked: runs that blocks stopped in the last days.
        let_through: blocks in these days that a break-glass or the mode `observe` let pass.
        refused: training tasks turned away in these days.
        waiting: questions of DAGs whose newest answer is a block.
    """

    blocked: int
    let_through: int
    refused: int
    waiting: int


def read_day(text: str, name: str) -> date | None:
    """Read a day as forms send it.

    Raises:
        InputError: not a day.
    """
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InputError("write a day like 2026-11-21", where=name) from None
    if not 2000 <= day.year < 2100:
        raise InputError("expected a day from 2000 to 2099", where=name)
    return day


def seen_rows(rows: Iterable[Row], sees: Callable[[str], bool]) -> list[Row]:
    """Return the rows of DAGs that somebody may see; each DAG is asked about once."""
    known: dict[str, bool] = {}
    found = []
    for row in rows:
        dag_id = row.dag_id
        if dag_id not in known:
            known[dag_id] = sees(dag_id)
        if known[dag_id]:
            found.append(row)
    return found


def matching(rows: Iterable[Row], wanted: Wanted, affecting: Set[int] | None = None) -> list[Row]:
    """Return the rows that meet every condition, in the same order.

    Args:
        rows: among these.
        wanted: the conditions.
        affecting: the decisions that `wanted.account` is in, when an account is asked for.
    """
    tests = list(_tests(wanted, affecting))
    return [row for row in rows if all(test(row) for test in tests)] if tests else list(rows)


def _tests(wanted: Wanted, affecting: Set[int] | None) -> Iterable[Callable[[Row], bool]]:
    """Yield a test per condition, the cheapest first."""
    since = wanted.since and _midnight(wanted.since)
    until = wanted.until and _midnight(wanted.until) + timedelta(days=1)
    text = wanted.text.casefold()
    tests: tuple[tuple[object, Callable[[Row], bool]], ...] = (
        (wanted.verdict, lambda row: row.verdict == wanted.verdict),
        (wanted.dag, lambda row: row.dag_id == wanted.dag),
        (wanted.model, lambda row: row.model == wanted.model),
        (wanted.cause, lambda row: row.cause == wanted.cause),
        (wanted.category, lambda row: wanted.category in row.categories),
        (wanted.reason, lambda row: wanted.reason in row.reasons),
        (wanted.account, lambda row: row.index in (affecting or ())),
        (since, lambda row: since is None or row.recorded_at >= since),
        (until, lambda row: until is None or row.recorded_at < until),
        (text, lambda row: any(text in part.casefold() for part in _searched(row))),
    )
    return [test for asked, test in tests if asked]


def _searched(row: Row) -> Iterable[str]:
    yield from (row.dag_id, row.run_id, row.task_id, row.model or "", row.feature or "")
    yield from row.datasets


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def choices(rows: Iterable[Row]) -> Choices:
    """Return the values that occur in rows."""
    kinds = {(row.verdict, row.dag_id, row.model, row.categories, row.reasons) for row in rows}
    return Choices(
        verdicts=sorted({kind[0] for kind in kinds}),
        dags=sorted({kind[1] for kind in kinds}),
        categories=sorted({word for kind in kinds for word in kind[3]}),
        reasons=sorted({word for kind in kinds for word in kind[4]}),
        models=sorted({kind[2] for kind in kinds if kind[2]}),
    )


def per_day(rows: Iterable[Row], now: datetime) -> list[Day]:
    """Count the decisions of the last `PLOTTED` days, today included, the oldest first."""
    first = now.date() - timedelta(days=PLOTTED - 1)
    since = _midnight(first)
    counts: Counter[tuple[date, str]] = Counter(
        (row.recorded_at.date(), row.verdict) for row in rows if row.recorded_at >= since
    )
    days = [first + timedelta(days=number) for number in range(PLOTTED)]
    return [Day(day, *(counts[day, verdict] for verdict in (Verdict.ALLOW, Verdict.BLOCK, REFUSED))) for day in days]


def totals(rows: Iterable[Row], waiting: int, now: datetime) -> Totals:
    """Count what the last `RECENT` days brought."""
    since = now - timedelta(days=RECENT)
    recent = [row for row in rows if row.recorded_at >= since]
    return Totals(
        blocked=sum(row.stopped for row in recent),
        let_through=sum(row.verdict == Verdict.BLOCK and not row.stopped for row in recent),
        refused=sum(row.verdict == REFUSED for row in recent),
        waiting=waiting,
    )


def row_fields(row: Row) -> Mapping[str, Any]:
    """Return a row as JSON-ready fields, for downloads."""
    special = {
        "recorded_at": format_instant(row.recorded_at),
        "let_through": "observe" if row.observed else "break-glass" if row.override is not None else None,
        "categories": list(row.categories),
        "datasets": list(row.datasets),
        "reasons": list(row.reasons),
        "cause": row.cause or None,
    }
    return {name: special[name] if name in special else getattr(row, name) for name in FIELDS}
