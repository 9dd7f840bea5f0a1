"""Adds up what was found: findings by dataset, category, row and verdict, and coverage by category."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from gate.domain.decision import Coverage, Finding
from gate.domain.words import Category, Reason, Verdict
from gate.policy.judge import Judged, Outcome

_ORDER = {category: place for place, category in enumerate(Category)}

# Category, row (none first), allowed after blocked, and the reasons where no row tells findings apart.
_Key = tuple[int, int, bool, tuple[Reason, ...]]


@dataclass(slots=True)
class _Entry:
    category: Category
    outcome: Outcome
    accounts: int = 0
    rows: int = 0
    groups: list[int] = field(default_factory=list)
    reasons: frozenset[Reason] = frozenset()
    terms: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Count:
    rows: int = 0
    rows_blocked: int = 0
    accounts: int = 0
    accounts_blocked: int = 0
    rows_unattributed: int = 0


class Tally:
    """The running counts of one dataset."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self._entries: dict[_Key, _Entry] = {}
        self._counts: dict[Category, _Count] = {}

    def add_accounts(self, category: Category, cell: Judged, group: int, accounts: int) -> None:
        """Count the accounts of one group under everything their cell says."""
        for outcome in cell.outcomes:
            entry = self._entry(category, outcome)
            entry.accounts += accounts
            entry.groups.append(group)
        count = self._count(category)
        count.accounts += accounts
        if cell.blocks:
            count.accounts_blocked += accounts

    def add_rows(self, category: Category, cell: Judged, rows: int, *, attributed: bool = True) -> None:
        """Count rows under everything their cell says."""
        for outcome in cell.outcomes:
            self._entry(category, outcome).rows += rows
        count = self._count(category)
        count.rows += rows
        if cell.blocks:
            count.rows_blocked += rows
        if not attributed:
            count.rows_unattributed += rows

    def block_all(self, category: Category, reason: Reason, rows: int, groups: set[int]) -> None:
        """Record what is wrong with the dataset as such: every row of the category is blocked."""
        entry = self._entry(category, Outcome(None, True, frozenset({reason})))
        entry.rows += rows
        entry.groups.extend(groups)
        count = self._count(category)
        count.rows = max(count.rows, rows)
        count.rows_blocked, count.accounts_blocked = count.rows, count.accounts

    @property
    def blocks(self) -> bool:
        """Whether anything counted so far blocks."""
        return any(entry.outcome.blocks for entry in self._entries.values())

    def categories(self) -> list[Category]:
        """Return the categories counted so far, in the vocabulary's order."""
        return sorted(self._counts, key=_ORDER.__getitem__)

    def findings(self) -> list[Finding]:
        """Return the findings in a fixed order: category, policy row, blocked before allowed."""
        return [self._finding(entry) for _, entry in sorted(self._entries.items(), key=lambda item: item[0])]

    def coverage(self) -> list[Coverage]:
        """Return rows and accounts with and without what the policy asks for, by category."""
        return [self._coverage(category) for category in self.categories()]

    def rows_of(self, category: Category) -> int:
        """Return how many rows were counted for a category."""
        return self._counts[category].rows

    def _entry(self, category: Category, outcome: Outcome) -> _Entry:
        row = outcome.row
        if row is None:
            key: _Key = (_ORDER[category], -1, False, tuple(sorted(outcome.reasons)))
        else:
            key = (_ORDER[category], row.order, not outcome.blocks, ())
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(category, outcome)
        if outcome.reasons:
            entry.reasons |= outcome.reasons
        if outcome.terms is not None:
            entry.terms |= {outcome.terms}
        return entry

    def _count(self, category: Category) -> _Count:
        count = self._counts.get(category)
        if count is None:
            count = self._counts[category] = _Count()
        return count

    def _coverage(self, category: Category) -> Coverage:
        count = self._counts[category]
        return Coverage(
            dataset=self.dataset,
            category=category.value,
            rows=count.rows,
            rows_blocked=count.rows_blocked,
            accounts=count.accounts,
            accounts_blocked=count.accounts_blocked,
            rows_unattributed=count.rows_unattributed,
        )

    def _finding(self, entry: _Entry) -> Finding:
        row = entry.outcome.row
        return Finding(
            dataset=self.dataset,
            category=entry.category.value,
            verdict=Verdict.BLOCK if entry.outcome.blocks else Verdict.ALLOW,
            requirement=None if row is None else row.requirement,
            row=None if row is None else row.id,
            reasons=_sorted(entry.reasons),
            accounts=entry.accounts,
            rows=entry.rows,
            groups=_sorted(frozenset(entry.groups)),
            citations=() if row is None else row.citations,
            terms=_sorted(entry.terms),
        )


_T = TypeVar("_T", Reason, int, str)


def _sorted(items: frozenset[_T]) -> tuple[_T, ...]:
    return tuple(sorted(items)) if len(items) > 1 else tuple(items)
