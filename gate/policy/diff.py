"""What changed between two tables: rows, settings, and the cells whose answer is another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gate.policy.cells import cell_classes, describe_cell
from gate.policy.explain import describe
from gate.policy.match import Cell, match
from gate.policy.rows import RANK, Policy, Row

_SETTINGS = (
    "content_owner",
    "non_admin_withdrawal",
    "participant_locator",
    "feeds",
    "on_withdrawal",
    "consent_scope",
    "terms_versions",
    "regions",
    "segments",
    "kinds",
)


@dataclass(frozen=True, slots=True)
class CellChange:
    """Cells that no row tells apart, and what the most restrictive rows say of them before and after."""

    cell: Cell
    before: str
    after: str
    cells: int
    tighter: bool | None  # None when the requirement is of the same kind

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "cell": describe_cell(self.cell),
            "before": self.before,
            "after": self.after,
            "cells": self.cells,
            "tighter": self.tighter,
        }


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """The difference of two policies."""

    before: str
    after: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[tuple[str, tuple[str, ...]], ...]  # row id and the fields that differ
    settings: tuple[str, ...]
    cells: tuple[CellChange, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "before": self.before,
            "after": self.after,
            "rows": {
                "added": list(self.added),
                "removed": list(self.removed),
                "changed": [{"row": row, "fields": list(fields)} for row, fields in self.changed],
            },
            "settings": list(self.settings),
            "cells": [change.to_dict() for change in self.cells],
        }

    def lines(self) -> Iterator[str]:
        """Yield the difference in words; cells that change alike are told together. Nothing when there is none."""
        names = (("setting changed", self.settings), ("row added", self.added), ("row removed", self.removed))
        yield from (f"{title}: {name}" for title, found in names for name in found)
        yield from (f"row changed: {row} ({', '.join(fields)})" for row, fields in self.changed)
        alike: dict[tuple[str, str], list[CellChange]] = {}
        for change in self.cells:
            alike.setdefault((change.before, change.after), []).append(change)
        for (before, after), changes in alike.items():
            yield f"{sum(change.cells for change in changes):,} cells change, like {describe_cell(changes[0].cell)}"
            for dimension in ("category", "purpose", "ownership"):
                yield f"  {dimension}: " + ", ".join(dict.fromkeys(getattr(c.cell, dimension) for c in changes))
            yield f"  before: {before}"
            yield f"  after:  {after}"


def diff(before: Policy, after: Policy) -> PolicyDiff:
    """Compare two policies row by row (by id) and cell by cell."""
    old, new = ({row["id"]: row for row in policy.table["rows"]} for policy in (before, after))
    changed = [
        (name, tuple(sorted(f for f in {*old[name], *new[name]} if old[name].get(f) != new[name].get(f))))
        for name in old
        if name in new and old[name] != new[name]
    ]
    return PolicyDiff(
        before=before.name,
        after=after.name,
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(changed),
        settings=tuple(name for name in _SETTINGS if before.table.get(name) != after.table.get(name)),
        cells=tuple(_changes(before, after)),
    )


def _changes(before: Policy, after: Policy) -> list[CellChange]:
    changes: list[CellChange] = []
    for found in cell_classes(before, after):
        sides = [match(policy, found.cell, found.at).rows for policy in (before, after)]
        (old_rank, old_text), (new_rank, new_text) = [_answer(rows) for rows in sides]
        if (old_rank, old_text) != (new_rank, new_text):
            tighter = None if old_rank == new_rank else new_rank > old_rank
            changes.append(CellChange(found.cell, old_text, new_text, found.cells, tighter))
    return changes


def _answer(rows: Sequence[Row]) -> tuple[int, str]:
    if not rows:
        return len(RANK), "no row: blocks"
    rank = max(RANK[row.requirement] for row in rows)
    texts = {describe(row) for row in rows if RANK[row.requirement] == rank}
    return rank, " and ".join(sorted(texts))
