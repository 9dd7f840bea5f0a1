"""Looks into every file of a dataset, for its tag, and tells what they show without paths: those may name accounts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gate.domain.dataset import Dataset
from gate.domain.words import Category
from gate.errors import DatasetError
from gate.scan.detect.budget import FILE_SECONDS, Budget
from gate.scan.detect.findings import UNREAD, Findings, detect_file
from gate.scan.detect.signals import CategorySignals, load_signals
from gate.scan.detect.verdict import asked
from gate.scan.location import FileRef, list_files

if TYPE_CHECKING:
    from gate.scan.spark.cluster import Spark

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


@dataclass(frozen=True, slots=True)
class FileSeen:
    """What looking into one file found: each file's answer is its own.

    Attributes:
        sure: categories that are surely there.
        questions: what a person must answer.
        signals: (category, signal) pairs of what tells.
        columns: (category, column) pairs that it rests on.
        unread: it was not looked into, or could not be understood.
    """

    sure: tuple[str, ...]
    questions: tuple[str, ...]
    signals: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str], ...]
    unread: bool


def examine(source: Dataset, spark: Spark | None = None) -> Examination:
    """Look into the dataset's files, at most the first 10,000 by path; markers without a byte are passed over.

    Args:
        source: what to look into.
        spark: look into the files on its executors.

    Raises:
        DatasetError: as `location.list_files`.
        CannotDecide: Spark failed.
        RecogniserError: a recogniser of another package does not work.
    """
    files = list_files(source)
    files = tuple(file for file in files if file.size) or files
    if spark is None:
        known = load_signals()
        seen = [examine_file(file, known) for file in files[:LIMIT]]
    else:
        from gate.scan.spark.examining import examined

        seen = examined(source, files[:LIMIT], spark)
    questions = list(dict.fromkeys(question for one in seen for question in one.questions))
    if len(files) > LIMIT:
        questions.insert(0, _MORE.format(limit=LIMIT))
    signals = Counter(pair for one in seen for pair in one.signals)
    return Examination(
        categories=frozenset(Category(word) for one in seen for word in one.sure),
        question=asked(questions) or None,
        evidence=tuple((category, signal, n) for (category, signal), n in sorted(signals.items())),
        columns=tuple(sorted({pair for one in seen for pair in one.columns})[:_COLUMNS]),
        unread=max(0, len(files) - LIMIT) + sum(one.unread for one in seen),
    )


def examine_file(file: FileRef, known: Sequence[CategorySignals]) -> FileSeen:
    """Look into one file.

    Raises:
        RecogniserError: a recogniser of another package does not work.
    """
    findings = Findings()
    try:
        detect_file(file, known, findings, Budget(time.monotonic() + FILE_SECONDS), file.path)
    except DatasetError:
        findings.questions.append(UNREAD)
    return FileSeen(
        sure=tuple(sorted(findings.sure)),
        questions=tuple(findings.questions),
        signals=tuple(sorted({(one.category, one.signal) for one in findings.telling})),
        columns=tuple(sorted({(one.category, column) for one in findings.telling for column in one.columns})),
        unread=UNREAD in findings.questions,
    )
