"""Detects the categories of rows that are no file: a sample of a table in somebody else's engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gate.scan.detect.budget import Budget
from gate.scan.detect.examine import look_within
from gate.scan.detect.findings import Findings, take_in
from gate.scan.detect.model import Content, Evidence
from gate.scan.detect.signals import load_signals
from gate.scan.detect.trees import tables_of_all
from gate.scan.detect.verdict import answer, asked, shown


@dataclass(frozen=True, slots=True)
class RowsFound:
    """What rows bear.

    Attributes:
        categories: as `Detection.categories`.
        evidence: heaviest first.
        question: what a person must answer when `unclassified`.
    """

    categories: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    question: str | None


def detect_rows(rows: Sequence[Mapping[str, Any]]) -> RowsFound:
    """Find out which categories rows bear, from their names and values; no rows are `unclassified`.

    Args:
        rows: name of the column → value; nested values, bytes and times may be among them.

    Raises:
        RecogniserError: a recogniser of another package does not work.
    """
    tables, _ = tables_of_all([{name: _plain(value) for name, value in row.items()} for row in rows])
    content = Content("rows", rows=len(rows), tables=tables, understood=bool(rows))
    findings = Findings()
    take_in(look_within(content, Budget()), load_signals(), findings)
    return RowsFound(
        categories=answer(findings.sure, unclear=findings.unclear),
        evidence=shown(findings.evidence),
        question=asked(findings.questions) if findings.unclear else None,
    )


def _plain(value: Any) -> Any:
    """Return a value as documents hold it; whatever it is, its text says what a person would read."""
    if value is None or isinstance(value, str | bytes | bool | int) or (isinstance(value, float) and value == value):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Iterable):
        return [_plain(inner) for inner in value]
    return None if value != value else str(value)
