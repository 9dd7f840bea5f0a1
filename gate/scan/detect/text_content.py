"""Reads text of any kind: clinical messages, JSON, XML, YAML, tables, and lines for everything else."""

from __future__ import annotations

import re

from gate.errors import DatasetError
from gate.scan.detect import documents
from gate.scan.detect.blob import Blob
from gate.scan.detect.budget import TEXT_BYTES, Budget
from gate.scan.detect.clinical import hl7_facts, x12_facts
from gate.scan.detect.delimited import Delimited, read_delimited
from gate.scan.detect.model import Content, Table
from gate.scan.detect.textual import LINES, Text, decode
from gate.scan.detect.trees import tables_of_all
from gate.scan.detect.turns import count_cues, find_turns

_WINDOW = 1 << 18  # bytes read in the middle and at the end of a large file
_TABLE_TEXT = 1 << 19  # characters a table is sampled from
_TABULAR = frozenset(("csv", "tsv", "tab", "psv"))
_HTML = re.compile(r"<!doctype html|<html[\s>]", re.IGNORECASE)
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]{0,2000}>", re.DOTALL | re.IGNORECASE)
_RTF = re.compile(r"\\'[0-9a-f]{2}|\\[a-z]+-?\d* ?|[{}]")
_FEW = 150  # lines looked at as lines where text is a table without doubt, and of other places


def read_text(blob: Blob, encoding: str, budget: Budget) -> Content:
    """Return what is in a text file, read with the encoding its head was found to have.

    Raises:
        DatasetError: unreadable.
    """
    raw = blob.read(TEXT_BYTES)
    text = decode(raw) or Text(raw.decode("latin-1"), encoding)
    whole = blob.whole and blob.size <= len(raw)
    content = _clinical(text.content) or _document(text.content, blob, whole=whole) or _plain(text, blob, whole=whole)
    if not whole:
        content.rows = None
        content.notes.append(
            f"the first {len(raw):,} bytes were looked at, and samples of the rest where lines allow it"
        )
    if text.encoding != "utf-8":
        content.format = f"{content.format} ({text.encoding})"
    if budget.spent:
        content.notes.append("time was up")
    return content


def _clinical(text: str) -> Content | None:
    if (facts := hl7_facts(text)) is not None:
        return Content("hl7v2", rows=text.count("MSH|"), facts=facts)
    if (facts := x12_facts(text)) is not None:
        return Content("x12", facts=facts)
    return None


def _document(text: str, blob: Blob, *, whole: bool) -> Content | None:
    """Read the text as JSON, XML or HTML, if it is."""
    start = text.lstrip("\ufeff \t\r\n\x1e")[:1]
    if start == "<":
        return _markup(text, whole=whole)
    try:
        parsed = documents.read_json(text, whole=whole)
    except RecursionError:
        return Content("json", understood=False, notes=["is nested too deeply to be read"])
    if parsed is None:
        cut_json = start in ("{", "[") and not whole and "\n" not in text[:200_000]
        return Content("json", understood=False, notes=["no whole value in the part looked at"]) if cut_json else None
    if parsed.format == "jsonl" and not whole:
        parsed.documents.extend(_more_records(blob))
    tables, looked = tables_of_all(parsed.documents)
    content = Content(parsed.format, rows=_rows(parsed), tables=tables)
    if not parsed.whole:
        content.rows = None
        if whole:
            content.notes.append("only its beginning is whole JSON or was read")
    if not looked:
        content.notes.append("deeply nested or very many values were looked at in part")
    return content


def _rows(parsed: documents.Parsed) -> int:
    first = parsed.documents[0]
    return len(first) if len(parsed.documents) == 1 and isinstance(first, list) else len(parsed.documents)


def _more_records(blob: Blob) -> list[object]:
    found: list[object] = []
    for lines in _further_lines(blob):
        for line in lines[:200]:
            parsed = documents.read_json(line, whole=True)
            found += parsed.documents if parsed else []
    return found


def _further_lines(blob: Blob) -> list[list[str]]:
    """Return whole lines from the middle and the end of a large file."""
    if not blob.whole or blob.size <= TEXT_BYTES:
        return []
    pieces = []
    for at in (blob.size // 2, blob.size - _WINDOW):
        try:
            text = decode(blob.read(_WINDOW, at))
        except DatasetError:
            continue
        pieces.append(text.content.splitlines()[1:-1] if text else [])
    return pieces


def _markup(text: str, *, whole: bool) -> Content | None:
    if _HTML.search(text[:2000]):
        plain = _TAGS.sub("\n", text[: LINES * 400])
        lines = Text(plain, "").lines
        return _with_turns(
            Content(
                "html", lines=[*Text(text.replace("><", ">\n<"), "").lines, *(line for line in lines if line.strip())]
            )
        )
    parsed = documents.read_xml(text, whole=whole)
    if parsed is None:
        return None
    tables, looked = tables_of_all(parsed.documents)
    content = Content("xml", tables=tables, lines=Text(text, "").lines[:60])
    content.facts = [(f"root {documents.root_of(parsed.documents[0])}", "root element")]
    if not looked or (whole and not parsed.whole):
        content.notes.append("a part of the document was looked at")
    return content


def _plain(text: Text, blob: Blob, *, whole: bool) -> Content:
    """Read text that is no document: YAML, a table, or lines."""
    body = text.content
    if body.startswith("{\\rtf"):
        body = _RTF.sub("", body.replace("\\par", "\n"))
    lines = Text(body, "").lines
    extension = blob.extension
    if documents.looks_like_yaml(body, extension) and (parsed := documents.read_yaml(body, whole=whole)):
        tables, _ = tables_of_all(parsed.documents)
        return Content("yaml", tables=tables, lines=lines)
    table = _table(body, blob, named=extension in _TABULAR, whole=whole)
    if table is not None and table.sure:
        lines = lines[:_FEW]
    further = [line[:1000] for piece in _further_lines(blob) for line in piece[:_FEW]]
    content = _with_turns(Content("text", lines=[*lines, *further]))
    if table is not None:
        form = {"\t": "tsv", " ": "table"}.get(table.delimiter, "csv")
        content.format = form
        content.tables = [table.table, *table.inner, *content.tables]
        content.rows = _count_rows(body, table) if whole else None
    return content


def _table(body: str, blob: Blob, *, named: bool, whole: bool) -> Delimited | None:
    start = body[:_TABLE_TEXT]
    if len(start) < len(body) or not whole:
        start = start.rpartition("\n")[0] or start
    more = [line for piece in _further_lines(blob) for line in piece]
    if len(start) < len(body):
        more += body[len(body) // 2 : len(body) // 2 + 60_000].splitlines()[1:-1] + body[-60_000:].splitlines()[1:]
    return read_delimited(start, more, named=named)


def _count_rows(body: str, table: Delimited) -> int:
    if len(body) <= _TABLE_TEXT and table.table.rows < 600:
        return table.table.rows
    return sum(1 for line in body.splitlines() if line.strip()) - table.has_header


def _with_turns(content: Content) -> Content:
    turns: Table | None = find_turns(content.lines)
    content.tables = [turns] if turns is not None else []
    if cues := count_cues(content.lines):
        content.facts = [("transcript", f"{cues} cues")]
    return content
