"""Read consent events and appointments from CSV, JSONL and Parquet files: all lines, in order of time, or none."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gate.domain.consent import parse_appointment
from gate.errors import InputError
from gate.ledger.lines import Shape, order_of
from gate.service.shaping import Appointments, Consents
from gate.service.spool import Spool

__all__ = ["BadLine", "ImportRefused", "parse_appointment", "read_appointment_file", "read_consent_file"]

LISTS = ("categories", "features", "purposes", "ownership")  # CSV cells separated by |
SHOWN_ERRORS = 20  # bad lines spelled out; the rest are counted
KEPT_ERRORS = 1000  # bad lines an error holds


@dataclass(frozen=True, slots=True)
class BadLine:
    """One line that cannot be read: number (1-based, as an editor counts), field and reason."""

    line: int
    field: str | None
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field + ': ' if self.field else ''}{self.reason}"


class ImportRefused(InputError):
    """A file with at least one bad line; nothing of it was recorded. `bad` holds the first ones."""

    def __init__(self, path: Path, bad: list[BadLine], total: int, count: int | None = None) -> None:
        self.bad = bad
        count = len(bad) if count is None else count
        shown = "\n".join(f"  {line}" for line in bad[:SHOWN_ERRORS])
        more = f"\n  … and {count - SHOWN_ERRORS} more" if count > SHOWN_ERRORS else ""
        super().__init__(
            f"{count} of {total} lines cannot be read; nothing was recorded\n{shown}{more}\n", where=str(path)
        )


def read_consent_file(path: Path, progress: Callable[[int], None] = lambda _: None) -> Spool:
    """Read and check all consent events of a file, with flat memory.

    Args:
        path: `.csv` (nested fields as `principal.id`, lists separated by `|`), `.jsonl`/`.ndjson` or `.parquet`.
        progress: called with the number of lines read so far.

    Returns:
        The events, in the order of `effective_at`, then of the file; the caller closes it.

    Raises:
        ImportRefused: at least one line is bad; it lists them.
        InputError: the file cannot be read at all.
        LedgerUnavailable: there is no space to sort it.
    """
    return _read(path, Consents(), progress)


def read_appointment_file(path: Path, progress: Callable[[int], None] = lambda _: None) -> Spool:
    """Read all appointments of a file; fields: account_id, person_id, action (appoint|remove), role, effective_at.

    Returns, Raises:
        As `read_consent_file`.
    """
    return _read(path, Appointments(), progress)


class _Reading(Protocol):
    def __call__(self, raw: Mapping[str, Any]) -> tuple[Shape, tuple[str, ...]]:
        """Return the shape of a row and the texts that fill it."""


def _read(path: Path, read: _Reading, progress: Callable[[int], None]) -> Spool:
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows, ".parquet": _parquet_rows}
    rows = readers.get(path.suffix.lower())
    if rows is None:
        raise InputError("is not a .csv, .jsonl, .ndjson or .parquet file", where=str(path))
    spool, bad = Spool(), _BadLines()
    with _closed_on_failure(spool):
        count = 0
        try:
            for line, raw in rows(path):
                count += 1
                try:
                    if isinstance(raw, InputError):
                        raise raw
                    shape, texts = read(raw)
                    spool.add((order_of(texts[1]), count, shape, texts))
                except InputError as error:
                    bad.add(line, error)
                if count % 1000 == 0:
                    progress(count)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"cannot be read: {error}", where=str(path)) from None
        if bad.count:
            raise ImportRefused(path, bad.first, count, bad.count)
        if not count:
            raise InputError("holds no lines", where=str(path))
        progress(count)
    return spool


@dataclass
class _BadLines:
    """The first bad lines of a file, and how many there are."""

    first: list[BadLine] = field(default_factory=list)
    count: int = 0

    def add(self, line: int, error: InputError) -> None:
        self.count += 1
        if self.count <= KEPT_ERRORS:
            self.first.append(BadLine(line, error.where, error.message + (f" ({error.hint})" if error.hint else "")))


@contextmanager
def _closed_on_failure(spool: Spool) -> Iterator[None]:
    try:
        yield
    except BaseException:
        spool.close()
        raise


Row = tuple[int, Mapping[str, Any] | InputError]


def _json_rows(path: Path) -> Iterator[Row]:
    decode = json.JSONDecoder().raw_decode
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if text.startswith("{"):  # as almost always: json.loads would look for white space first
                try:
                    value, end = decode(text)
                except json.JSONDecodeError:
                    pass
                else:
                    if text[end:] in ("\n", ""):
                        yield number, value
                        continue
            if not text.strip():
                continue
            try:
                yield number, _object(json.loads(text))
            except json.JSONDecodeError as error:
                yield number, InputError(f"not JSON: {error.msg} at column {error.colno}")
            except InputError as error:
                yield number, error


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError("expected an object with fields")
    return value


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for row in reader:
            if None in row or None in row.values():
                yield reader.line_num, InputError("has another number of cells than the header")
                continue
            try:
                yield reader.line_num, _nested({name: _cell(name, text) for name, text in row.items() if text != ""})
            except InputError as error:
                yield reader.line_num, error


def _cell(name: str, text: str) -> Any:
    if name == "bundled_with_service":
        if text.lower() not in ("true", "false"):
            raise InputError("expected true or false", where=name)
        return text.lower() == "true"
    if name in LISTS and text != "*":
        return [part.strip() for part in text.split("|")]
    return text


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        head, dot, tail = name.partition(".")
        if dot:
            nested.setdefault(head, {})[tail] = value
        else:
            nested[name] = value
    return nested


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield number, _nested({name: _plain(value) for name, value in row.items() if value is not None})
    except pa.ArrowException as error:
        raise InputError(f"is not a readable Parquet file: {error}", where=str(path)) from None


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
