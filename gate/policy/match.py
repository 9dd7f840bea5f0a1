"""Which rows speak about a cell: the one reading of the table that deciding, linting and explaining share."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from gate.domain.words import Category, Ownership, Purpose, Reason
from gate.policy.rows import Policy, Row, fold, region_code


class Matched(NamedTuple):
    """The rows of a cell.

    Attributes:
        rows: those that apply, in the table's order.
        possible: those that might, because region or segment is unknown, with the reason codes that say so.
        account_required: some of them is about accounts.
        terms_known: the account's terms version is one of the policy's.
    """

    rows: tuple[Row, ...]
    possible: tuple[tuple[Row, tuple[Reason, ...]], ...]
    account_required: bool
    terms_known: bool


class Cell(NamedTuple):
    """One cell of the table. `None` in region, segment or terms is unknown; in feature, no feature at all."""

    category: Category
    purpose: Purpose
    ownership: Ownership
    feature: str | None = None
    region: str | None = None
    segment: str | None = None
    terms: str | None = None


def match(policy: Policy, cell: Cell, at: datetime) -> Matched:
    """Find the rows that speak about `cell` at `at`.

    With unknown terms every row counts whatever terms it names: the cell blocks in any case, and nothing that
    could stand against it goes unreported.
    """
    return _match(policy, cell, bisect_right(policy.boundaries, at))


# Region, segment and feature are free text, so the memory of cells is bounded.
@lru_cache(maxsize=16_384)
def _match(policy: Policy, cell: Cell, interval: int) -> Matched:
    if interval == 0:
        return Matched((), (), False, policy.knows_terms(cell.terms))
    at = policy.boundaries[interval - 1]
    feature = None if cell.feature is None else fold(cell.feature)
    region = cell.region if cell.region and policy.knows_region(cell.region) else None
    segment = fold(cell.segment or "") or None
    known = policy.knows_terms(cell.terms)
    rows: list[Row] = []
    possible: list[tuple[Row, tuple[Reason, ...]]] = []
    for row in policy.rows:
        if not (row.speaks_of(cell.category, cell.purpose, cell.ownership) and row.in_effect(at)):
            continue
        if row.feature_set is not None and feature not in row.feature_set:
            continue
        if row.terms is not None and known and cell.terms not in row.terms:
            continue
        here, there = _in_region(row, region), _in_segment(row, segment)
        if here is False or there is False:
            continue
        doubts = ((Reason.REGION_RULE,) if here is None else ()) + ((Reason.SEGMENT_RULE,) if there is None else ())
        if doubts:
            possible.append((row, doubts))
        else:
            rows.append(row)
    needs = any(row.account_required for row in rows) or any(row.account_required for row, _ in possible)
    return Matched(tuple(rows), tuple(possible), needs, known)


def _in_region(row: Row, region: str | None) -> bool | None:
    if row.region_set is None:
        return True
    if region is None:
        return None
    code = region_code(region)
    return code in row.region_set or code.partition("-")[0] in row.region_set


def _in_segment(row: Row, segment: str | None) -> bool | None:
    if row.segment_set is None:
        return True
    return None if segment is None else segment in row.segment_set
