"""Looks into every file of a dataset, for its tag, and tells what they show without paths: those may name accounts."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from gate.domain.dataset import Dataset
from gate.domain.words import Category
from gate.errors import DatasetError
from gate.scan.detect.budget import FILE_SECONDS, Budget
from gate.scan.detect.findings import UNREAD, Findings, detect_file
from gate.scan.detect.model import Evidence
from gate.scan.detect.signals import load_signals
from gate.scan.detect.verdict import asked
from gate.scan.location import list_files

LIMIT = 10_000  # files looked into
_COLUMNS = 100  # named in an answer
_MORE = "What is in the files beyond the first {limit:,}? They were not looked into."


@dataclass(frozen=True, slots=True)
class Examination:
    """What looking into a dataset's files found.

    Attributes:
        categories: what is surely there; never `none`, for finding nothing vouches for nothing.
        question: what a person must answer before anybody can say what it bears; `None` when all is clear.
        evidence: (category, signal, files), sorted.
        columns: (category, column) pairs that the evidence rests on, sorted.
        unread: files that were not looked into, or could not be understood.
    """

    categories: frozenset[Category]
    question: str | None
    evidence: tuple[tuple[str, str, int], ...]
    columns: tuple[tuple[str, str], ...]
    unread: int


def examine(source: Dataset) -> Examination:
    """Look into the dataset's files, at most the first 10,000 by path; markers without a byte are passed over.

    Raises:
        DatasetError: as `location.list_files`.
        RecogniserError: a recogniser of another package does not work.
    """
    files = list_files(source)
    files = tuple(file for file in files if file.size) or files
    known = load_signals()
    findings = Findings()
    signals: Counter[tuple[str, str]] = Counter()
    columns: set[tuple[str, str]] = set()
    unread = max(0, len(files) - LIMIT)
    for file in files[:LIMIT]:
        findings.questions, asked_before = [], findings.questions
        try:
            detect_file(file, known, findings, Budget(time.monotonic() + FILE_SECONDS), file.path)
        except DatasetError:
            findings.questions.append(UNREAD)
        unread += UNREAD in findings.questions
        findings.questions = list(dict.fromkeys([*asked_before, *findings.questions]))
        signals.update({(one.category, one.signal) for one in findings.telling})
        columns.update(_columns(findings.telling))
        findings.telling.clear()
        findings.evidence.clear()
        findings.notes.clear()
    if len(files) > LIMIT:
        findings.questions.insert(0, _MORE.format(limit=LIMIT))
    return Examination(
        categories=frozenset(Category(word) for word in findings.sure),
        question=asked(findings.questions) or None,
        evidence=tuple((category, signal, n) for (category, signal), n in sorted(signals.items())),
        columns=tuple(sorted(columns)[:_COLUMNS]),
        unread=unread,
    )


def _columns(evidence: list[Evidence]) -> set[tuple[str, str]]:
    return {(one.category, column) for one in evidence for column in one.columns}
