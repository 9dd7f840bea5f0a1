"""Shows what detection found in files: one object per path, or a table of categories with their evidence."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gate.cli.output import progress_bar, say, table

if TYPE_CHECKING:
    from gate.scan.detect.model import Detection

_EVIDENCE = 6  # pieces shown to a person
CANNOT_DECIDE = 4


def detect_paths(paths: Sequence[str], *, as_json: bool) -> int:
    """Detect the categories of each path, print the answers, and return the exit code.

    A path that cannot be read does not stop the others.

    Raises:
        RecogniserError: a recogniser of another package does not work.
    """
    from gate.scan.detect.detecting import detect_path

    unreadable = 0
    with progress_bar("detecting", len(paths)) as done:
        for number, path in enumerate(paths, 1):
            found = detect_path(path)
            unreadable += not found.readable
            if as_json:
                say(json.dumps(found.to_dict(), ensure_ascii=False))
            else:
                _show(found)
            sys.stdout.flush()
            done(number)
    return CANNOT_DECIDE if unreadable else 0


def _show(found: Detection) -> None:
    rows = f", {found.rows:,} rows" if found.rows is not None else ""
    say(f"{found.path}: {', '.join(found.categories)}   ({found.format}{rows}, {found.elapsed_s:.2f} s)")
    if found.evidence:
        shown = found.evidence[:_EVIDENCE]
        table(
            ["  weight", "category", "signal", "where"],
            [[f"  {one.weight:.2f}", one.category, one.signal, one.where] for one in shown],
        )
        if len(found.evidence) > len(shown):
            say(f"  and {len(found.evidence) - len(shown)} more: --json shows them")
    if found.question:
        say(f"  question: {found.question}")
    for note in found.notes:
        say(f"  note: {note}")
