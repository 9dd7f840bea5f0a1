"""Blocked runs that the same act would lift, told once: what it takes, and whom it would help."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gate.domain.remedies import REMEDIES
from gate.domain.words import CONSENT_REASONS, Reason, Verdict
from gate.service.decision_index import DECIDED, Row
from gate.service.decision_list import PLOTTED

NO_REMEDY = frozenset({Reason.POLICY_DENIED, Reason.THIRD_PARTY_MODEL})


@dataclass(frozen=True, slots=True)
class Cause:
    """Blocks with one cause.

    Attributes:
        newest: the newest of them; use, reasons and datasets are those of all.
        oldest: when it blocked first.
        blocks: how many decisions.
        dags: the DAGs they belong to, sorted.
        waiting: the newest blocks that still stand, one per gate; empty when nothing waits any more.
        per_day: how many of them a day brought, over the last `PLOTTED` days or since the first.
    """

    newest: Row
    oldest: datetime
    blocks: int
    runs: int
    dags: tuple[str, ...]
    waiting: tuple[Row, ...]
    per_day: float

    @property
    def open(self) -> bool:
        """Whether some gate's newest answer is still this block."""
        return bool(self.waiting)

    @property
    def asks_customers(self) -> bool:
        """Whether consent is all that is missing."""
        return all(reason in CONSENT_REASONS for reason in self.newest.reasons)

    @property
    def remedies(self) -> Sequence[tuple[str, str]]:
        """What would lift it: per reason code a sentence."""
        return [(reason, REMEDIES[Reason(reason)]) for reason in self.newest.reasons]


def waiting_rows(rows: Iterable[Row]) -> list[Row]:
    """Return the blocks that still stand: the newest answer a gate got to its question, where that is a block.

    Args:
        rows: newest first.
    """
    answered: dict[tuple[object, ...], Row] = {}
    for row in rows:
        if row.verdict in DECIDED:
            answered.setdefault(row.question, row)
    return [row for row in answered.values() if row.verdict == Verdict.BLOCK]


def causes(rows: Sequence[Row], now: datetime) -> list[Cause]:
    """Group the blocks by cause: those that still stand first, then the newest.

    Args:
        rows: newest first.
        now: the present instant.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.cause:
            groups.setdefault(row.cause, []).append(row)
    standing: dict[str, list[Row]] = {}
    for row in waiting_rows(rows):
        standing.setdefault(row.cause, []).append(row)
    found = [_cause(group, standing.get(key, ()), now) for key, group in groups.items()]
    return sorted(found, key=lambda cause: (not cause.open, -cause.newest.index))


def _cause(group: Sequence[Row], waiting: Sequence[Row], now: datetime) -> Cause:
    since = max(group[-1].recorded_at, now - timedelta(days=PLOTTED))
    days = max((now - since) / timedelta(days=1), 1.0)
    return Cause(
        newest=group[0],
        oldest=group[-1].recorded_at,
        blocks=len(group),
        runs=len({(row.dag_id, row.run_id) for row in group}),
        dags=tuple(sorted({row.dag_id for row in group})),
        waiting=tuple(waiting),
        per_day=sum(row.recorded_at >= since for row in group) / days,
    )
