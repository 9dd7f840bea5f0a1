"""Detects the categories of one path: a file, or a folder of which files are sampled."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from gate.domain.dataset import dataset
from gate.errors import DatasetError, GateError
from gate.scan.detect.budget import FILE_SECONDS, FOLDER_SECONDS, Budget
from gate.scan.detect.findings import UNREAD, Findings, detect_file
from gate.scan.detect.model import Detection
from gate.scan.detect.sampling import Listing, list_sample
from gate.scan.detect.signals import CategorySignals, load_signals
from gate.scan.detect.verdict import answer, asked, shown

_NOTES = 20


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
    findings = Findings(notes=list(listing.notes), unclear=listing.incomplete)
    findings.questions += ["What is in the parts that could not be read?"] if listing.incomplete else []
    if listing.folder:
        _detect_folder(listing, known, findings, start)
    else:
        try:
            detect_file(listing.files[0], known, findings, Budget(start + FILE_SECONDS), "")
        except DatasetError as error:
            return _unreadable(path, error, time.monotonic() - start)
    return _answer(path, listing, findings, time.monotonic() - start)


def _detect_folder(listing: Listing, known: Sequence[CategorySignals], findings: Findings, start: float) -> None:
    deadline = start + FOLDER_SECONDS
    for looked_at, file in enumerate(listing.files):
        if time.monotonic() > deadline:
            findings.notes.append(f"time was up: {looked_at} of {listing.total} files were looked into")
            break
        budget = Budget(min(deadline, time.monotonic() + FILE_SECONDS))
        try:
            detect_file(file, known, findings, budget, file.path)
        except DatasetError as error:
            findings.unclear = True
            findings.questions.append(UNREAD)
            findings.notes.append(f"{file.path}: {error.message}")


def _answer(path: str, listing: Listing, findings: Findings, elapsed: float) -> Detection:
    notes = list(dict.fromkeys(findings.notes))
    if len(notes) > _NOTES:
        notes = [*notes[:_NOTES], f"and {len(notes) - _NOTES} more notes"]
    return Detection(
        path=path,
        categories=answer(findings.sure, unclear=findings.unclear),
        evidence=shown(findings.evidence),
        format=_format(listing, findings.formats),
        rows=findings.rows,
        elapsed_s=elapsed,
        question=asked(findings.questions) if findings.unclear else None,
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
        question=UNREAD,
        notes=(note,),
        readable=False,
    )
