"""Reads text that is a table: commas, semicolons, tabs, pipes, blanks; with or without a header; comments before it."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gate.scan.detect.model import Column, Table
from gate.scan.detect.trees import COLUMNS, Forest

ROWS = 600  # rows sampled
_SNIFFED = 60  # lines the delimiter is told from
_DELIMITERS = (",", "\t", ";", "|", "\x01", ":", "~", "^")
_COMMENT = ("#", "@", "%", "//")
_SIGNS = re.compile(r" ?[^\w\s\"'.,;()<>{}\[\]/=-]{2,9} ?")
_OWN = "\x01"  # stands for a delimiter of several signs
_NUMBER = re.compile(r"[-+]?\d*[.,]?\d+(?:[eE][-+]?\d+)?%?")
_ATTRIBUTE = re.compile(r"\s*@attribute\s+(?:'([^']*)'|\"([^\"]*)\"|(\S+))", re.IGNORECASE)
_FIELDS = re.compile(r"#\s*(?:fields|columns)\s*:?\s+(.+)", re.IGNORECASE)
_FIELD = 1 << 17  # characters of one field: csv's own limit


@dataclass(frozen=True, slots=True)
class Delimited:
    """A table found in text: its columns, the rows sampled, and how it was written."""

    table: Table
    delimiter: str
    inner: Sequence[Table]
    has_header: bool

    @property
    def sure(self) -> bool:
        """Whether it can hardly be anything else: a header, and a usual delimiter."""
        return self.has_header and self.delimiter in ",\t;|" and len(self.table.columns) > 2


def read_delimited(head: str, more: Sequence[str] = (), *, named: bool = False) -> Delimited | None:
    """Read text as a table, `None` when it is none.

    Args:
        head: the beginning, cut at the end of a line.
        more: further lines from the middle and the end, sampled.
        named: whether the file's name says that it is a table; then one column will do.
    """
    lines, names = _without_comments(head)
    if strange := _strange(lines[:_SNIFFED]):
        lines, more = [line.replace(strange, _OWN) for line in lines], [line.replace(strange, _OWN) for line in more]
    delimiter = _delimiter(lines, named=named)
    if delimiter is None:
        return None
    rows = _rows(lines, delimiter)
    rows += [row for row in _rows(more, delimiter) if rows and abs(len(row) - len(rows[0])) <= 1]
    if len(rows) < (1 if named or names else 2):
        return None
    header, body = _header(rows, names)
    table, inner = _table(header or _numbered(rows), body)
    return Delimited(table, delimiter, inner, header is not None)


def read_rows(rows: Sequence[Sequence[str]]) -> Table | None:
    """Return rows of cells, the first perhaps a header, as a table; `None` when there are none."""
    filled = [list(row) for row in rows if any(cell.strip() for cell in row)]
    if not filled:
        return None
    header, body = _header(filled, [])
    return _table(header or _numbered(filled), body)[0]


def _without_comments(head: str) -> tuple[list[str], list[str]]:
    """Drop comment lines that stand before the table; take names from those that declare columns."""
    names: list[str] = []
    lines: list[str] = []
    for line in head.splitlines():
        if line.startswith(_COMMENT):
            if found := _ATTRIBUTE.match(line):
                names.append(next(group for group in found.groups() if group is not None))
            elif not names and (fields := _FIELDS.match(line)):
                names = fields[1].replace("\t", " ").split(" ")
        elif line.strip():
            lines.append(line)
        if len(lines) > 4 * ROWS:
            break
    return lines, names


def _strange(lines: Sequence[str]) -> str | None:
    """Return a delimiter of several signs that stands equally often in every line, like `::` or ` ||| `."""
    if len(lines) < 3:
        return None
    for sign in dict.fromkeys(_SIGNS.findall(lines[0])):
        times = lines[0].count(sign)
        if times >= 2 and all(line.count(sign) == times for line in lines):
            return str(sign)
    return None


def _delimiter(lines: Sequence[str], *, named: bool) -> str | None:
    sample = lines[:_SNIFFED]
    if not sample:
        return None
    best = max(((_regular(sample, one), one) for one in _DELIMITERS), key=lambda found: found[0])
    (share, fields), delimiter = best
    if share >= (0.7 if named or fields > 4 else 0.85) and fields > 1:
        return delimiter
    if _blanks(sample):
        return " "
    return "," if named else None


def _regular(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    """Return the share of lines with the commonest number of fields, rounded, and that number."""
    counts = Counter(len(row) for row in _parsed(lines, delimiter))
    if not counts:
        return 0.0, 0
    fields, times = max(counts.items(), key=lambda item: (item[1], item[0]))
    if fields < 2 or (delimiter in ":~^" and fields < 4):
        return 0.0, 0
    return min(round(times / sum(counts.values()), 1), 0.9), fields


def _blanks(lines: Sequence[str]) -> bool:
    """Whether blanks part a table of mostly numbers; running text never is one."""
    rows = [line.split() for line in lines]
    widths = Counter(map(len, rows))
    width, times = widths.most_common(1)[0]
    if width < 2 or times < 0.95 * len(rows) or len(rows) < 3:
        return False
    cells = [cell for row in rows[1:] for cell in row]
    return sum(1 for cell in cells if _NUMBER.fullmatch(cell)) >= 0.5 * len(cells)


def _parsed(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:  # a field too long, a null byte
        return [line.split(delimiter) for line in lines if line]


def _rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    if delimiter == " ":
        return [[cell.strip("'\"") for cell in line.split()] for line in lines[: 2 * ROWS]]
    text = io.StringIO("\n".join(lines[: 4 * ROWS]))
    rows: list[list[str]] = []
    try:
        for row in csv.reader(text, delimiter=delimiter, skipinitialspace=True):
            rows.append(row)
            if len(rows) >= ROWS:
                break
    except csv.Error:
        rows = [line.split(delimiter) for line in lines[:ROWS]]
    return [row for row in rows if row]


def _header(rows: list[list[str]], names: list[str]) -> tuple[list[str] | None, list[list[str]]]:
    if names and abs(len(names) - len(rows[0])) <= 1:
        return names, rows
    first, body = rows[0], rows[1:]
    if not _names_columns(first):
        return None, rows
    if body and not _differs(first, body):
        return None, rows
    return [name.strip().strip("'\"") or f"column {number}" for number, name in enumerate(first, 1)], body


def _names_columns(row: Sequence[str]) -> bool:
    """Whether a row can be a header: short words, hardly a number, no cell twice but blank ones."""
    cells = [cell.strip() for cell in row]
    filled = [cell for cell in cells if cell]
    if not filled or any(len(cell) > 120 for cell in filled):
        return False
    numbers = sum(1 for cell in filled if _NUMBER.fullmatch(cell))
    return numbers <= 0.3 * len(filled) and len(set(filled)) >= 0.9 * len(filled)


def _differs(first: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether the first row is unlike the others: numbers under words, or words that do not come again."""
    votes = 0
    for place, name in enumerate(first):
        cells = [row[place].strip() for row in body[:100] if place < len(row) and row[place].strip()]
        if not cells:
            continue
        numbers = sum(1 for cell in cells if _NUMBER.fullmatch(cell))
        if numbers >= 0.7 * len(cells):
            votes += 0 if _NUMBER.fullmatch(name.strip()) else 3
        elif name.strip() in cells:
            votes -= 2
        else:
            votes += 1 if _is_word(name) and abs(len(name) - sum(map(len, cells)) / len(cells)) > 1.5 else 0
    return votes > 0


def _is_word(name: str) -> bool:
    return len(name) <= 50 and not re.search(r"\d{3}|[.?!,]\s", name)


def _numbered(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"column {number}" for number in range(1, max(map(len, rows)) + 1)]


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> tuple[Table, list[Table]]:
    columns = []
    forest = Forest()
    for place, name in enumerate(header[:COLUMNS]):
        values = [row[place] for row in body if place < len(row) and row[place] != ""]
        for value in values[:100]:
            if value[:1] in "[{":
                forest.add(value, name)
        columns.append(Column(name[:300], tuple(value[:_FIELD] for value in values)))
    keys = frozenset(name.lower() for name in header[: 4 * COLUMNS])
    return Table("", tuple(columns), keys, len(body)), forest.tables()
