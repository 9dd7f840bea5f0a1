"""Judges one cell: one account's facts, one category, one use, at one instant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from gate.domain.decision import AccountFacts, Use
from gate.domain.words import Category, Reason, Requirement
from gate.policy.match import Cell, Matched, match
from gate.policy.rows import RANK, Policy, Row
from gate.policy.standing import standing

NOBODY = AccountFacts()

_NOTHING: frozenset[Reason] = frozenset()
_NO_ROW = frozenset({Reason.NO_MATCHING_ROW})
_NO_TERMS = frozenset({Reason.TERMS_UNKNOWN})
_UNCLASSIFIED = frozenset({Reason.UNCLASSIFIED_DATA})


class Outcome(NamedTuple):
    """What one policy row says of one cell; `row` is None for what no row says."""

    row: Row | None
    blocks: bool
    reasons: frozenset[Reason]
    terms: str | None = None


class Judged(NamedTuple):
    """Everything that is said of a cell, and whether any of it blocks."""

    outcomes: tuple[Outcome, ...]
    blocks: bool


def judged(outcomes: list[Outcome]) -> Judged:
    """Return the outcomes of one cell with their verdict."""
    for outcome in outcomes:
        if outcome.blocks:
            return Judged(tuple(outcomes), True)
    return Judged(tuple(outcomes), False)


def together(cells: list[Judged]) -> Judged:
    """Join the cells of a row that several accounts share: each policy row once, blocking if it blocks any of them."""
    joined: dict[tuple[int, frozenset[Reason]], Outcome] = {}
    for cell in cells:
        for outcome in cell.outcomes:
            key = (-1, outcome.reasons) if outcome.row is None else (outcome.row.order, _NOTHING)
            if key not in joined or outcome.blocks:
                joined[key] = outcome
    return judged(list(joined.values()))


def cell_rows(policy: Policy, category: Category, account: AccountFacts, use: Use, now: datetime) -> Matched:
    """Return the rows that speak about the cell."""
    profile = account.profile
    cell = Cell(
        category, use.purpose, use.ownership, use.feature, profile.region, profile.segment, profile.terms_version
    )
    return match(policy, cell, now)


def judge(policy: Policy, category: Category, account: AccountFacts, use: Use, now: datetime) -> Judged:
    """Say what every row of the cell says. The cell passes only if nothing blocks; there is at least one outcome."""
    matched = cell_rows(policy, category, account, use, now)
    if category is Category.UNCLASSIFIED:
        denied = [Outcome(row, True, _UNCLASSIFIED.union(row.block_reasons)) for row in matched.rows]
        return judged(denied or [Outcome(None, True, _UNCLASSIFIED)])
    outcomes = [_outcome(policy, row, category, account, use, now) for row in matched.rows]
    if matched.possible:
        outcomes += list(_possible(policy, matched, outcomes, category, account, use, now))
    if not matched.rows:
        outcomes.append(Outcome(None, True, _NO_ROW))
    if matched.account_required and not matched.terms_known:
        outcomes.append(Outcome(None, True, _NO_TERMS))
    return judged(outcomes)


def _outcome(policy: Policy, row: Row, category: Category, account: AccountFacts, use: Use, now: datetime) -> Outcome:
    if row.requirement is Requirement.ALLOW:
        return Outcome(row, False, _NOTHING)
    if row.requirement is Requirement.CONSENT:
        stands, reasons, terms = standing(policy, row, category, account.events, use, now)
        return Outcome(row, not stands, reasons, terms)
    return Outcome(row, True, frozenset(row.block_reasons))


def _possible(
    policy: Policy,
    matched: Matched,
    sure: list[Outcome],
    category: Category,
    account: AccountFacts,
    use: Use,
    now: datetime,
) -> Iterator[Outcome]:
    """Yield a block for each row that may apply and would then be more restrictive than what surely applies."""
    rank = max((RANK[row.requirement] for row in matched.rows), default=-1)
    known = _NOTHING.union(*(outcome.reasons for outcome in sure if outcome.blocks))
    for row, doubts in matched.possible:
        if RANK[row.requirement] > rank:
            yield Outcome(row, True, frozenset(doubts))
        elif RANK[row.requirement] == rank and row.requirement is Requirement.CONSENT:
            worse = _outcome(policy, row, category, account, use, now)
            if worse.blocks and not worse.reasons <= known:
                yield Outcome(row, True, frozenset(doubts))
