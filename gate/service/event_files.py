"""Takes files of OpenLineage events into the store: JSON lines, or one JSON array."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from gate.errors import InputError
from gate.lineage.observed import Observed, observe
from gate.lineage.store.ingest import store_events
from gate.service.imports import BadLine, ImportRefused
from gate.service.lineage_store import open_lineage
from gate.service.settings import Settings

EVERY = 500  # events between two reports of progress


class BadElement(BadLine):
    """An element of a JSON array that is no event; `line` is its number."""

    def __str__(self) -> str:
        return super().__str__().replace("line", "event", 1)


Read = Observed | BadLine


def import_events(
    settings: Settings, path: Path | None, *, skip_bad: bool = False, progress: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Take in one file, all of it or nothing.

    Args:
        settings: name the store.
        path: the file; `None`: standard input, which is read into memory.
        skip_bad: leave bad lines out instead.
        progress: called with the number of events taken in so far.

    Returns:
        `file`, and how many events were `new`, `known` and `bad`.

    Raises:
        ImportRefused: a line is no event, and bad ones are not to be skipped; it lists them.
        InputError: the file cannot be read.
        LineageUnavailable: the store cannot be written.
    """
    name, text = ("-", sys.stdin.buffer.read()) if path is None else (str(path), None)
    bad: list[BadLine] = []

    def opened() -> BinaryIO:
        return io.BytesIO(text) if path is None else path.open("rb")  # type: ignore[arg-type]

    def good() -> Iterator[Observed]:
        with closing(opened()) as file:
            for number, one in enumerate(_read(file), 1):
                if isinstance(one, Observed):
                    yield one
                elif skip_bad:
                    bad.append(one)
                if number % EVERY == 0:
                    progress(number)

    try:
        if not skip_bad:
            with closing(opened()) as file:
                _check(file, Path(name))
        with open_lineage(settings) as store:
            new, known = store_events(store, good())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=name) from None
    return {"file": name, "new": new, "known": known, "bad": len(bad)}


def _check(file: BinaryIO, name: Path) -> None:
    bad, total = [], 0
    for one in _read(file):
        total += 1
        if isinstance(one, BadLine):
            bad.append(one)
    if bad:
        raise ImportRefused(name, bad, total)


def _read(file: BinaryIO) -> Iterator[Read]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        if number == 1 and line.lstrip().startswith(b"["):
            yield from _elements(line + file.read())
            return
        yield _event(line, number)


def _elements(text: bytes) -> Iterator[Read]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        yield BadLine(1, None, "begins a JSON array that cannot be read")
        return
    for number, one in enumerate(found, 1):
        try:
            yield observe(one)
        except InputError as error:
            yield BadElement(number, error.where, error.message)


def _event(line: bytes, number: int) -> Read:
    try:
        return observe(json.loads(line))
    except (ValueError, RecursionError):
        return BadLine(number, None, "is not JSON")
    except InputError as error:
        return BadLine(number, error.where, error.message)
