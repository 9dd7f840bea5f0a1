"""Sends lists as files: streamed, named, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastapi.responses import Response, StreamingResponse

from gate.web.pages import HEADERS

CHUNK = 500  # lines sent at once
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_file(name: str, columns: Sequence[str], lines: Iterable[Sequence[object]]) -> Response:
    """Answer a CSV file."""
    return StreamingResponse(_csv(columns, lines), headers=_headers(name), media_type="text/csv; charset=utf-8")


def json_file(name: str, items: Iterable[Mapping[str, Any]]) -> Response:
    """Answer a JSON file with one array."""
    return StreamingResponse(_json(items), headers=_headers(name), media_type="application/json")


def text_file(name: str, text: str, media_type: str) -> Response:
    """Answer a file that is ready."""
    return Response(text, headers=_headers(name), media_type=media_type)


def cell(value: object) -> object:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(_FORMULA) else text


def _headers(name: str) -> dict[str, str]:
    """Name the file; `name` is our own word, never somebody else's."""
    return {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}


def _csv(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for number, line in enumerate(lines, 1):
        writer.writerow([cell(value) for value in line])
        if number % CHUNK == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _json(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield "["
    waiting: list[str] = []
    first = True
    for item in items:
        waiting.append(("" if first else ",\n") + json.dumps(item, ensure_ascii=False))
        first = False
        if len(waiting) == CHUNK:
            yield "".join(waiting)
            waiting = []
    yield "".join(waiting) + "]\n"
