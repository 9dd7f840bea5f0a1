"""Enumerates every cell of one or several tables, one representative for values that no row tells apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import product
from typing import Any, NamedTuple, TypeVar

from gate.domain.words import Category, Ownership, Purpose
from gate.policy.match import Cell
from gate.policy.rows import EVERY_CATEGORY, Policy, Row

OTHER = "any_other"
OTHER_REGION = "ZZ"  # ISO 3166-1 leaves it to users: a country code that no row names

_T = TypeVar("_T")


class CellClass(NamedTuple):
    """Cells that no row tells apart: one of them, since when, and how many there are."""

    cell: Cell
    at: datetime
    cells: int


def cell_classes(*policies: Policy) -> Iterator[CellClass]:
    """Yield every cell the policies could tell apart, in a fixed order.

    A dimension's values are those that any row names, one more that none names (`any_other`, region `ZZ`), every
    terms version, and every instant at which a row starts or ends. What lies before the first such instant is left
    out: the policies say nothing yet. So is unclassified data, which always blocks.
    """
    boundaries = sorted({instant for policy in policies for instant in policy.boundaries})
    terms = sorted({version.version for policy in policies for version in policy.terms_versions})
    for category, purpose, ownership in product(sorted(EVERY_CATEGORY), Purpose, Ownership):
        rows = [row for policy in policies for row in policy.rows if row.speaks_of(category, purpose, ownership)]
        yield from _classes(category, purpose, ownership, rows, terms, boundaries)


def describe_cell(cell: Cell) -> str:
    """Return a cell in words, dimensions at their defaults left out."""
    parts = [f"{cell.category} × {cell.purpose} × {cell.ownership}"]
    for name in ("feature", "region", "segment", "terms"):
        value = getattr(cell, name)
        if value is not None:
            parts.append(f"{name} {value}")
    return ", ".join(parts)


def _classes(
    category: Category,
    purpose: Purpose,
    ownership: Ownership,
    rows: Sequence[Row],
    terms: Sequence[str],
    boundaries: Sequence[datetime],
) -> Iterator[CellClass]:
    features = _alike([*_named(rows, "feature_set"), OTHER], rows, lambda row, v: _in(row.feature_set, v))
    regions = _alike([*_named(rows, "region_set"), OTHER_REGION], rows, _in_region)
    segments = _alike([*_named(rows, "segment_set"), OTHER], rows, lambda row, v: _in(row.segment_set, v))
    versions = _alike(terms or [None], rows, lambda row, v: row.terms is None or v in row.terms)
    instants = _alike(boundaries, rows, lambda row, at: row.in_effect(at))
    for feature, region, segment, version, at in product(features, regions, segments, versions, instants):
        cell = Cell(category, purpose, ownership, feature[0], region[0], segment[0], version[0])
        yield CellClass(cell, at[0], feature[1] * region[1] * segment[1] * version[1] * at[1])


def _named(rows: Iterable[Row], dimension: str) -> list[str]:
    return sorted({value for row in rows for value in getattr(row, dimension) or ()})


def _in(values: frozenset[str] | None, value: str) -> bool:
    return values is None or value in values


def _in_region(row: Row, region: str) -> bool:
    return _in(row.region_set, region) or _in(row.region_set, region.partition("-")[0])


def _alike(values: Sequence[_T], rows: Sequence[Row], applies: Callable[[Row, Any], bool]) -> list[tuple[_T, int]]:
    """Return one value of each kind that the rows tell apart, with how many there are of the kind."""
    kinds: dict[tuple[bool, ...], list[_T]] = {}
    for value in values:
        kinds.setdefault(tuple(applies(row, value) for row in rows), []).append(value)
    return [(kind[-1], len(kind)) for kind in kinds.values()]
