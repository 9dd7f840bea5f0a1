"""Detects the categories of one path: a file, or a folder of which files are sampled."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gate.domain.dataset import dataset
from gate.errors import DatasetError, GateError
from gate.scan.detect.blob import of_file
from gate.scan.detect.budget import FILE_SECONDS, FOLDER_SECONDS, Budget
from gate.scan.detect.examine import look
from gate.scan.detect.matching import evidence_in
from gate.scan.detect.model import Detection, Evidence
from gate.scan.detect.recognisers import recognised
from gate.scan.detect.sampling import Listing, list_sample
from gate.scan.detect.signals import CategorySignals, load_signals
from gate.scan.detect.verdict import answer, shown, weigh
from gate.scan.location import FileRef

_NOTES = 20
_UNREAD = "What is in it? It could not be looked into."


@dataclass(slots=True)
class _Findings:
    """What was found so far, over all files of a path."""

    sure: set[str] = field(default_factory=set)
    evidence: list[Evidence] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unclear: bool = False
    formats: list[str] = field(default_factory=list)
    rows: int | None = None


def detect_path(path: str, signals: Sequence[CategorySignals] | None = None) -> Detection:
    """Find out which categories a file or folder bears, from its content.

    Args:
        path: a local path, or a URI that fsspec opens.
        signals: of `signals.load_signals`; by default those shipped.

    Returns:
        The answer; a path that cannot be read is `unclassified`, and `readable` is false.

    Raises:
        RecogniserError: a recogniser of another package does not work.
    """
    start = time.monotonic()
    known = load_signals() if signals is None else signals
    try:
        listing = list_sample(dataset(path if "://" in path else str(Path(path).absolute())))
    except GateError as error:
        return _unreadable(path, error, time.monotonic() - start)
    findings = _Findings(notes=list(listing.notes), unclear=listing.incomplete)
    findings.questions += ["What is in the parts that could not be read?"] if listing.incomplete else []
    if listing.folder:
        _detect_folder(listing, known, findings, start)
    else:
        try:
            _detect_file(listing.files[0], known, findings, Budget(start + FILE_SECONDS), "")
        except DatasetError as error:
            return _unreadable(path, error, time.monotonic() - start)
    return _answer(path, listing, findings, time.monotonic() - start)


def _detect_folder(listing: Listing, known: Sequence[CategorySignals], findings: _Findings, start: float) -> None:
    deadline = start + FOLDER_SECONDS
    for looked_at, file in enumerate(listing.files):
        if time.monotonic() > deadline:
            findings.notes.append(f"time was up: {looked_at} of {listing.total} files were looked into")
            break
        budget = Budget(min(deadline, time.monotonic() + FILE_SECONDS))
        try:
            _detect_file(file, known, findings, budget, file.path)
        except DatasetError as error:
            findings.unclear = True
            findings.questions.append(_UNREAD)
            findings.notes.append(f"{file.path}: {error.message}")


def _detect_file(
    file: FileRef, known: Sequence[CategorySignals], findings: _Findings, budget: Budget, where: str
) -> None:
    found = look(of_file(file), budget, where)
    findings.formats.append(found[0].content.format)
    if not where:
        findings.rows = found[0].content.rows
    for one in found:
        evidence = [*evidence_in(one.content, known), *recognised(one.content)]
        evidence = [_placed(piece, one.where) for piece in evidence]
        verdict = weigh(evidence, known)
        findings.evidence += evidence
        findings.sure |= verdict.categories
        for _, question in verdict.doubts:
            findings.unclear = True
            findings.questions.append(question)
        if not one.content.understood and not verdict.categories:
            findings.unclear = True
            findings.questions.append(_UNREAD)
        findings.notes += [f"{one.where}: {note}" if one.where else note for note in one.content.notes]


def _placed(evidence: Evidence, where: str) -> Evidence:
    if not where:
        return evidence
    return Evidence(evidence.category, evidence.signal, f"{where}: {evidence.where}", evidence.weight)


def _answer(path: str, listing: Listing, findings: _Findings, elapsed: float) -> Detection:
    notes = list(dict.fromkeys(findings.notes))
    if len(notes) > _NOTES:
        notes = [*notes[:_NOTES], f"and {len(notes) - _NOTES} more notes"]
    questions = list(dict.fromkeys(findings.questions))[:3]
    return Detection(
        path=path,
        categories=answer(findings.sure, unclear=findings.unclear),
        evidence=shown(findings.evidence),
        format=_format(listing, findings.formats),
        rows=findings.rows,
        elapsed_s=elapsed,
        question=" ".join(questions) if findings.unclear else None,
        notes=tuple(notes),
    )


def _format(listing: Listing, formats: Sequence[str]) -> str:
    if not listing.folder:
        return formats[0] if formats else "unknown"
    kinds = sorted(set(formats))
    return f"folder of {', '.join(kinds[:6])}{' …' if len(kinds) > 6 else ''}" if kinds else "folder"


def _unreadable(path: str, error: GateError, elapsed: float) -> Detection:
    note = f"{error.message}{f' ({error.hint})' if error.hint else ''}"
    return Detection(
        path=path,
        categories=answer((), unclear=True),
        evidence=(),
        format="unreadable",
        rows=None,
        elapsed_s=elapsed,
        question=_UNREAD,
        notes=(note,),
        readable=False,
    )
