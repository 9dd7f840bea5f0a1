"""Looks into files one after another and gathers what was found: sure categories, evidence, open questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gate.scan.detect.blob import of_file
from gate.scan.detect.budget import Budget
from gate.scan.detect.examine import Found, look
from gate.scan.detect.matching import evidence_in
from gate.scan.detect.model import Evidence
from gate.scan.detect.recognisers import recognised
from gate.scan.detect.signals import CategorySignals
from gate.scan.detect.verdict import weigh
from gate.scan.location import FileRef

UNREAD = "What is in it? It could not be looked into."


@dataclass(slots=True)
class Findings:
    """What was found so far, over all files of a path.

    Attributes:
        sure: categories that are there.
        evidence: everything that speaks for any category, sure or not.
        telling: what speaks for the categories that are sure, or asked about.
        questions: what a person must answer.
        unclear: whether any of it could not be told.
    """

    sure: set[str] = field(default_factory=set)
    evidence: list[Evidence] = field(default_factory=list)
    telling: list[Evidence] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unclear: bool = False
    formats: list[str] = field(default_factory=list)
    rows: int | None = None


def detect_file(
    file: FileRef, known: Sequence[CategorySignals], findings: Findings, budget: Budget, where: str
) -> None:
    """Look into one file and add what is found.

    Args:
        where: what to call the file in evidence; empty for the only one of a path.

    Raises:
        DatasetError: it cannot be read.
        RecogniserError: a recogniser of another package does not work.
    """
    found = look(of_file(file), budget, where)
    findings.formats.append(found[0].content.format)
    if not where:
        findings.rows = found[0].content.rows
    take_in(found, known, findings)


def take_in(found: Sequence[Found], known: Sequence[CategorySignals], findings: Findings) -> None:
    """Add what was found at some places.

    Raises:
        RecogniserError: a recogniser of another package does not work.
    """
    for one in found:
        evidence = [*evidence_in(one.content, known), *recognised(one.content)]
        evidence = [_placed(piece, one) for piece in evidence]
        verdict = weigh(evidence, known)
        spoken = verdict.categories.union(category for category, _ in verdict.doubts)
        findings.evidence += evidence
        findings.telling += [piece for piece in evidence if piece.category in spoken]
        findings.sure |= verdict.categories
        for _, question in verdict.doubts:
            findings.unclear = True
            findings.questions.append(question)
        if not one.content.understood and not verdict.categories:
            findings.unclear = True
            findings.questions.append(UNREAD)
        findings.notes += [f"{one.where}: {note}" if one.where else note for note in one.content.notes]


def _placed(evidence: Evidence, found: Found) -> Evidence:
    columns = evidence.columns if found.column is None else (found.column,)
    where = f"{found.where}: {evidence.where}" if found.where else evidence.where
    return replace(evidence, where=where, columns=columns)
