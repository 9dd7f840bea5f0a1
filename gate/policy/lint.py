"""Finds what is wrong with a table as a whole: gaps, rows that never matter, rows that contradict each other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from gate.domain.words import Requirement
from gate.policy.cells import CellClass, cell_classes, describe_cell
from gate.policy.match import match
from gate.policy.rows import RANK, Conditions, Policy, Row

_DIMENSIONS = ("categories", "purposes", "ownership", "feature_set", "region_set", "segment_set", "terms")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend.

    kind `gap`: cells without a row, which block; `shadowed`: a row that is nowhere the most restrictive;
    `contradiction`: rows of one cell that cannot both be meant; `empty`: nothing to look at.
    """

    kind: Literal["gap", "shadowed", "contradiction", "empty"]
    message: str
    rows: tuple[str, ...] = ()
    cells: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"kind": self.kind, "message": self.message, "rows": list(self.rows), "cells": self.cells}


@dataclass(frozen=True, slots=True)
class LintReport:
    """What lint looked at and what it found."""

    policy: str
    cells: int
    problems: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"policy": self.policy, "cells": self.cells, "problems": [p.to_dict() for p in self.problems]}


def lint(policy: Policy) -> LintReport:
    """Look at every cell of the table.

    A *gap* is a cell, from the first effective date on, that no row speaks about. A row is *shadowed* when in every
    cell it speaks about another row asks for more: a higher requirement, the same consent with stricter conditions,
    or the very same from an earlier row. A *contradiction* is a cell in which two consent rows cannot be met by one
    grant (different toggles, or no instrument in common), or in which an allow and a deny row of equal authority
    meet and neither is an exception to the other (narrower in some dimension and wider in none).
    """
    gaps: dict[tuple[str, ...], list[CellClass]] = defaultdict(list)
    clashes: dict[tuple[Row, Row], int] = defaultdict(int)
    decisive: set[str] = set()
    overruled: dict[str, Row] = {}
    total = 0
    for found in cell_classes(policy):
        total += found.cells
        rows = match(policy, found.cell, found.at).rows
        if not rows:
            gaps[found.cell[:3]].append(found)
        for row in rows:
            stronger = next((other for other in rows if _overrules(other, row)), None)
            if stronger is None:
                decisive.add(row.id)
            else:
                overruled[row.id] = stronger
        for first, second in combinations(rows, 2):
            if _clash(first, second):
                clashes[first, second] += found.cells
    problems = [] if policy.rows else [Problem("empty", "the table has no rows: it blocks everything")]
    problems += [_gap(found) for found in gaps.values()]
    problems += [_shadow(row, overruled) for row in policy.rows if row.id not in decisive and _spoken(row)]
    if policy.feeds and not any(row.requirement is Requirement.CONSENT for row in policy.rows):
        problems.append(Problem("shadowed", "feeds have a bound, but no row asks for consent: it never matters"))
    problems += [_contradiction(first, second, cells) for (first, second), cells in clashes.items()]
    return LintReport(policy.name, total, tuple(problems))


def _spoken(row: Row) -> bool:
    # Unclassified data blocks by itself; its rows only cite why.
    return row.categories is None or bool(row.categories - {"unclassified"})


def _overrules(other: Row, row: Row) -> bool:
    if other is row:
        return False
    if RANK[other.requirement] != RANK[row.requirement]:
        return RANK[other.requirement] > RANK[row.requirement]
    same = (other.toggle, other.reason, other.account_required) == (row.toggle, row.reason, row.account_required)
    if not same or other.offline > row.offline or not _implies(other.conditions, row.conditions):
        return False
    return other.order < row.order or other.offline < row.offline or not _implies(row.conditions, other.conditions)


def _implies(strict: Conditions, lax: Conditions) -> bool:
    """Say whether a grant that meets `strict` always meets `lax`."""
    flags = ("notice", "evidence", "withdrawal_channel", "unbundled", "expiry")
    if any(getattr(lax, flag) and not getattr(strict, flag) for flag in flags):
        return False
    return not lax.instruments or (bool(strict.instruments) and set(strict.instruments) <= set(lax.instruments))


def _clash(first: Row, second: Row) -> bool:
    if first.requirement is Requirement.CONSENT and second.requirement is Requirement.CONSENT:
        forms = (set(first.conditions.instruments), set(second.conditions.instruments))
        return first.toggle is not second.toggle or (all(forms) and forms[0].isdisjoint(forms[1]))
    if {first.requirement, second.requirement} != {Requirement.ALLOW, Requirement.DENY}:
        return False
    return first.authority == second.authority and not (_exception(first, second) or _exception(second, first))


def _exception(special: Row, general: Row) -> bool:
    """Say whether `special` is narrower than `general` in some dimension and wider in none."""
    pairs = [(getattr(special, name), getattr(general, name)) for name in _DIMENSIONS]
    within = all(wide is None or (narrow is not None and set(narrow) <= set(wide)) for narrow, wide in pairs)
    return within and any(narrow != wide for narrow, wide in pairs)


def _gap(found: list[CellClass]) -> Problem:
    cells = sum(one.cells for one in found)
    return Problem("gap", f"no row speaks about {describe_cell(found[0].cell)}: it blocks", cells=cells)


def _shadow(row: Row, overruled: dict[str, Row]) -> Problem:
    stronger = overruled.get(row.id)
    if stronger is None:
        return Problem("shadowed", f"row {row.id} applies to no cell at any time", (row.id,))
    return Problem(
        "shadowed", f"row {row.id} is nowhere the most restrictive: {stronger.id} asks for more", (row.id, stronger.id)
    )


def _contradiction(first: Row, second: Row, cells: int) -> Problem:
    if first.requirement is Requirement.CONSENT:
        what = "ask for consents that no one grant can be"
    else:
        what = f"are {first.requirement} and {second.requirement} by the same authority ({first.authority})"
    return Problem("contradiction", f"rows {first.id} and {second.id} {what}", (first.id, second.id), cells)
