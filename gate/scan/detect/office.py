"""Reads the text and tables of office documents: spreadsheets and texts in zip files, and the plain text of PDF."""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import Any

from gate.scan.detect.blob import Blob, opened
from gate.scan.detect.budget import TEXT_BYTES, Budget
from gate.scan.detect.delimited import ROWS, read_rows
from gate.scan.detect.documents import read_xml, texts_of
from gate.scan.detect.model import Content
from gate.scan.detect.turns import find_turns

_SHEETS = 8
_COLUMN = re.compile(r"[A-Z]+")
_STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
_SHOWN = re.compile(rb"\(((?:[^()\\]|\\.)*)\)")
_PDF_BYTES = 8 << 20
_PDF_TEXT = 200  # letters from which on a PDF's text is believed to be there


def read_office(blob: Blob, budget: Budget) -> Content | None:
    """Return what is in a spreadsheet or text document; `None` when the zip file is none."""
    try:
        with opened(blob) as handle, zipfile.ZipFile(handle) as packed:
            names = set(packed.namelist())
            if "xl/workbook.xml" in names:
                return _workbook(packed, sorted(names), budget)
            for form, member in (("docx", "word/document.xml"), ("opendocument", "content.xml")):
                if member in names:
                    return _document(form, _xml(packed, member))
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zlib.error):
        return None
    return None


def _xml(packed: zipfile.ZipFile, member: str) -> Any:
    with packed.open(member) as handle:
        raw = handle.read(TEXT_BYTES)
    parsed = read_xml(raw.decode("utf-8", "replace"), whole=len(raw) < TEXT_BYTES)
    return parsed.documents[0] if parsed else {}


def _document(form: str, document: Any) -> Content:
    lines = [text for text in texts_of(document) if text.strip()]
    turns = find_turns(lines)
    return Content(form, lines=lines[:4000], tables=[turns] if turns else [])


def _workbook(packed: zipfile.ZipFile, names: list[str], budget: Budget) -> Content:
    shared = _shared(packed) if "xl/sharedStrings.xml" in names else []
    content, tables = Content("xlsx"), []
    sheets = [name for name in names if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name)]
    for name in sheets[:_SHEETS]:
        if budget.spent:
            content.notes.append("time was up before all sheets were read")
            break
        rows = _sheet(_xml(packed, name), shared)
        table = read_rows(rows)
        if table is not None:
            tables.append(table)
    content.tables = tables
    content.rows = sum(table.rows for table in tables)
    return content


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _shared(packed: zipfile.ZipFile) -> list[str]:
    root = _xml(packed, "xl/sharedStrings.xml").get("sst") or {}
    return ["".join(texts_of(item)) for item in _many(root.get("si"))]


def _sheet(document: Any, shared: list[str]) -> list[list[str]]:
    data = ((document.get("worksheet") or {}).get("sheetData") or {}) if isinstance(document, dict) else {}
    rows = []
    for row in _many(data.get("row") if isinstance(data, dict) else None)[: ROWS + 1]:
        cells: dict[int, str] = {}
        for place, cell in enumerate(_many(row.get("c") if isinstance(row, dict) else None)):
            if isinstance(cell, dict):
                cells[_place(cell.get("@r"), place)] = _cell(cell, shared)
        rows.append([cells.get(number, "") for number in range(max(cells, default=-1) + 1)])
    return rows


def _place(reference: Any, default: int) -> int:
    letters = _COLUMN.match(str(reference or ""))
    if not letters:
        return default
    number = 0
    for letter in letters[0][:3]:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _cell(cell: dict[str, Any], shared: list[str]) -> str:
    value = cell.get("v")
    if cell.get("@t") == "s" and str(value).isdigit():
        return shared[int(str(value))] if int(str(value)) < len(shared) else ""
    return "".join(texts_of(cell.get("is"))) if cell.get("@t") == "inlineStr" else str(value or "")


def read_pdf(blob: Blob, budget: Budget) -> Content:
    """Return the lines of a PDF whose text is plain; others need a person."""
    raw = blob.read(_PDF_BYTES)
    lines: list[str] = []
    for found in _STREAM.finditer(raw):
        if budget.spent or len(lines) > 4000:
            break
        data = _inflated(found[1])
        if b"BT" in data:
            for block in re.split(rb"T\*|Td|TD|Tm|'|ET", data):
                words = b"".join(match[1] for match in _SHOWN.finditer(block)).decode("latin-1")
                lines += [words] if words.strip() else []
    if sum(char.isalpha() for line in lines for char in line) < _PDF_TEXT:
        return Content("pdf", understood=False, notes=["its text could not be read"])
    turns = find_turns(lines)
    return Content("pdf", lines=lines, tables=[turns] if turns else [])


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, TEXT_BYTES)
    except zlib.error:
        return data
