"""Read consent events and appointments from CSV, JSONL and Parquet files: every bad line is named, or nothing is."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gate.domain.consent import Appointment, ConsentEvent, parse_consent_event
from gate.domain.instants import parse_instant
from gate.domain.words import ADMIN_ROLES, Role
from gate.errors import ConsentEventError, InputError

LISTS = ("categories", "features", "purposes", "ownership")  # CSV cells separated by |
APPOINTMENT_FIELDS = frozenset({"account_id", "person_id", "action", "role", "effective_at"})
SHOWN_ERRORS = 20  # bad lines spelled out; the rest are counted

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class BadLine:
    """One line that cannot be read: number (1-based, as an editor counts), field and reason."""

    line: int
    field: str | None
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field + ': ' if self.field else ''}{self.reason}"


class ImportRefused(InputError):
    """A file with at least one bad line; nothing of it was recorded."""

    def __init__(self, path: Path, bad: list[BadLine], total: int) -> None:
        self.bad = bad
        shown = "\n".join(f"  {line}" for line in bad[:SHOWN_ERRORS])
        more = f"\n  … and {len(bad) - SHOWN_ERRORS} more" if len(bad) > SHOWN_ERRORS else ""
        super().__init__(
            f"{len(bad)} of {total} lines cannot be read; nothing was recorded\n{shown}{more}\n", where=str(path)
        )


def read_consent_file(path: Path, progress: Callable[[int], None] = lambda _: None) -> list[ConsentEvent]:
    """Read all consent events of a file.

    Args:
        path: `.csv` (nested fields as `principal.id`, lists separated by `|`), `.jsonl`/`.ndjson` or `.parquet`.
        progress: called with the number of lines read so far.

    Raises:
        ImportRefused: at least one line is bad; it lists them.
        InputError: the file cannot be read at all.
    """
    return _read(path, parse_consent_event, progress)


def read_appointment_file(path: Path, progress: Callable[[int], None] = lambda _: None) -> list[Appointment]:
    """Read all appointments of a file; fields: account_id, person_id, action (appoint|remove), role, effective_at.

    Raises:
        ImportRefused: at least one line is bad; it lists them.
        InputError: the file cannot be read at all.
    """
    return _read(path, parse_appointment, progress)


def parse_appointment(raw: Mapping[str, Any]) -> Appointment:
    """Read one appointment or removal.

    Raises:
        ConsentEventError: naming the wrong field.
    """
    if unknown := sorted(set(raw) - APPOINTMENT_FIELDS):
        raise ConsentEventError(
            f"unknown field {unknown[0]!r}", hint="known fields: " + ", ".join(sorted(APPOINTMENT_FIELDS))
        )
    fields = {name: raw.get(name) for name in APPOINTMENT_FIELDS}
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip():
            raise ConsentEventError("is missing or not text", where=name)
    if fields["action"] not in ("appoint", "remove"):
        raise ConsentEventError(f"{fields['action']!r} is not known", where="action", hint="appoint or remove")
    if fields["role"] not in ADMIN_ROLES:
        raise ConsentEventError(f"{fields['role']!r} cannot be appointed", where="role", hint="owner or admin")
    return Appointment(
        account_id=str(fields["account_id"]),
        person_id=str(fields["person_id"]),
        action="appoint" if fields["action"] == "appoint" else "remove",
        role=Role(str(fields["role"])),
        effective_at=parse_instant(fields["effective_at"], "effective_at"),
    )


def _read(path: Path, parse: Callable[[Mapping[str, Any]], _T], progress: Callable[[int], None]) -> list[_T]:
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows, ".parquet": _parquet_rows}
    rows = readers.get(path.suffix.lower())
    if rows is None:
        raise InputError("is not a .csv, .jsonl, .ndjson or .parquet file", where=str(path))
    good: list[_T] = []
    bad: list[BadLine] = []
    count = 0
    try:
        for line, raw in rows(path):
            count += 1
            try:
                if isinstance(raw, InputError):
                    raise raw
                good.append(parse(raw))
            except InputError as error:
                hint = f" ({error.hint})" if error.hint else ""
                bad.append(BadLine(line, error.where, error.message + hint))
            if count % 1000 == 0:
                progress(count)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None
    if bad:
        raise ImportRefused(path, bad, count)
    if not count:
        raise InputError("holds no lines", where=str(path))
    progress(count)
    return good


Row = tuple[int, Mapping[str, Any] | InputError]


def _json_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
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
