"""Brings back entries a restored database lacks: from another copy, and only those that were published."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from gate.errors import CheckFailed, InputError
from gate.ledger.copying import Record, exported, replay
from gate.ledger.store import Ledger, open_ledger
from gate.service.anchors import newest_note
from gate.service.core import Service


def replay_missing(service: Service, source: str) -> int:
    """Append what is missing up to the newest published checkpoint; all of it or nothing.

    Args:
        source: a file `copy_entries` wrote, or the URL of a database that still holds the entries.

    Returns:
        How many entries were missing.

    Raises:
        CheckFailed: no checkpoint was published here, or nothing is missing.
        InputError: the source cannot be read, or ends too early.
        TamperingFound: it does not hold the entries that were published.
    """
    note = newest_note(service)
    if note is None:
        raise CheckFailed(
            "no checkpoint was published here", hint="put the one kept elsewhere into GATE_HOME/checkpoints"
        )
    with service.ledger.write() as tx:
        if tx.size >= note.size:
            raise CheckFailed(f"nothing is missing: {note.size} entries were published, the ledger holds {tx.size}")
        with _records(source, tx.size, note.size) as records:
            return replay(tx, records, note)


def copy_entries(service: Service, start: int, out: Path) -> int:
    """Write entries from `start` on, with their openings and attachments, to a file only its owner may read.

    Returns:
        How many entries.

    Raises:
        InputError: the file is there already or cannot be written.
    """
    with service.ledger.read() as reader, _new_file(out) as file:
        for record in exported(reader, start, reader.size):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        return max(reader.size - start, 0)


@contextmanager
def _records(source: str, start: int, stop: int) -> Iterator[Iterator[Record]]:
    if "://" not in source:
        yield _lines(Path(source))
        return
    other: Ledger = open_ledger(source)
    try:
        with other.read() as reader:
            yield exported(reader, start, stop)
    finally:
        other.close()


def _lines(path: Path) -> Iterator[Record]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise InputError("not a copy of a ledger's entries", where=f"{path}:{number}")
                yield record
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the copy cannot be read: {type(error).__name__}", where=str(path)) from None


@contextmanager
def _new_file(path: Path) -> Iterator[TextIO]:
    try:
        file = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(path)) from None
    with file:
        yield file
