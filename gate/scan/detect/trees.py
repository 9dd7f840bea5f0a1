"""Turns a document (JSON, YAML, XML, nested rows) into tables: one per place where objects of one kind stand."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from gate.scan.detect.model import Column, Table

COLUMNS = 400  # of one table; the first ones
NODES = 60_000  # values visited
DEPTH = 40  # of nesting looked into
_VALUES = 600  # of one column kept
_TABLES = 200
_MANY = 6  # keys from which on an object of like objects is a list under names
_PAIR = 12  # items up to which lists of one length are rows
_CELL = 20_000  # characters of a cell that is parsed as a document


@dataclass(slots=True)
class _Place:
    """Objects that stand at one place, as they are found."""

    columns: dict[str, list[str | bytes]] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    rows: int = 0


@dataclass(slots=True)
class Forest:
    """Collects tables; `full` when something was left out.

    Attributes:
        nodes: values visited so far.
        full: whether something was left out.
    """

    places: dict[str, _Place] = field(default_factory=dict)
    nodes: int = 0
    full: bool = False

    def add(self, node: Any, where: str = "", depth: int = 0) -> None:
        """Take a value that stands at `where`."""
        if depth > DEPTH or self.nodes > NODES:
            self.full = True
            return
        self.nodes += 1
        if isinstance(node, Mapping):
            self._object(node, where, depth)
        elif _is_list(node):
            self._list(node, where, depth)
        elif isinstance(node, str) and (inner := _document(node)) is not None:
            self.add(inner, where, depth + 1)

    def tables(self) -> list[Table]:
        """Return what was found, the outermost first."""
        return [
            Table(
                where,
                tuple(Column(name, tuple(values), name in place.listed) for name, values in place.columns.items()),
                frozenset(key.lower() for key in place.keys),
                place.rows,
            )
            for where, place in self.places.items()
        ]

    def _place(self, where: str) -> _Place | None:
        if where not in self.places and len(self.places) >= _TABLES:
            self.full = True
            return None
        return self.places.setdefault(where, _Place())

    def _object(self, node: Mapping[Any, Any], where: str, depth: int) -> None:
        if _under_names(node):
            if (place := self._place(f"{where}{{}}")) is not None:
                place.keys.update(str(key)[:300] for key in list(node)[:_VALUES])
            for value in node.values():
                self.add(value, f"{where}{{}}", depth + 1)
            return
        place = self._place(where)
        if place is None:
            return
        place.rows += 1
        self._fields(node, place, "", where, depth)

    def _fields(self, node: Mapping[Any, Any], place: _Place, prefix: str, where: str, depth: int) -> None:
        for key, value in node.items():
            name = f"{prefix}{key}"[:300]
            if len(place.keys) < 4 * COLUMNS:
                place.keys.add(name)
            if isinstance(value, Mapping):
                if depth > DEPTH or self.nodes > NODES:
                    self.full = True
                elif _under_names(value):
                    self._under(value, place, name, where, depth)
                else:
                    self.nodes += 1
                    self._fields(value, place, f"{name}.", where, depth + 1)
            elif _is_list(value):
                self._items(value, place, name, where, depth)
            else:
                self._value(place, name, value, where, depth)

    def _under(self, node: Mapping[Any, Any], place: _Place, name: str, where: str, depth: int) -> None:
        """Take an object whose keys are names or numbers: its values are one column, or a list of objects."""
        values = list(node.values())
        if all(not isinstance(value, Mapping) and not _is_list(value) for value in values):
            for value in values:
                self._value(place, name, value, where, depth)
        else:
            self._list(values, f"{where}.{name}" if where else name, depth + 1)

    def _items(self, items: Sequence[Any], place: _Place, name: str, where: str, depth: int) -> None:
        if any(isinstance(item, Mapping) or _is_list(item) for item in items[:50]):
            self._list(items, f"{where}.{name}" if where else name, depth + 1)
            return
        place.listed.add(name)
        for item in items[:_VALUES]:
            self._value(place, name, item, where, depth)

    def _list(self, items: Sequence[Any], where: str, depth: int) -> None:
        place_name = f"{where}[]"
        own = f"{where.rpartition('.')[2]}[]"
        if _are_rows(items):
            self._cells(items, own, place_name, depth)
            items = [{f"[{number}]": value for number, value in enumerate(row)} for row in items]
        for item in items:
            if self.nodes > NODES:
                self.full = True
                return
            if isinstance(item, Mapping) or _is_list(item):
                self.add(item, place_name, depth + 1)
            elif (place := self._place(place_name)) is not None:
                self.nodes += 1
                place.rows += 1
                place.listed.add(own)
                place.keys.add(own)
                self._value(place, own, item, place_name, depth)

    def _cells(self, rows: Sequence[Sequence[Any]], own: str, where: str, depth: int) -> None:
        """Take rows without names as one list too: the turns of a dialogue are as often pairs as not."""
        place = self._place(f"{where}[]")
        if place is None or not all(isinstance(cell, str) for row in rows[:50] for cell in row):
            return
        place.listed.add(own)
        place.rows += len(rows)
        for cell in [cell for row in rows[:_VALUES] for cell in row]:
            self._value(place, own, cell, f"{where}[]", depth)

    def _value(self, place: _Place, name: str, value: Any, where: str, depth: int) -> None:
        self.nodes += 1
        if name not in place.columns and len(place.columns) >= COLUMNS:
            self.full = True
            return
        values = place.columns.setdefault(name, [])
        if len(values) >= _VALUES or value is None:
            return
        text = _as_text(value)
        if isinstance(text, str) and (inner := _document(text)) is not None:
            self.add(inner, f"{where}.{name}" if where else name, depth + 1)
        values.append(text)


def tables_of(node: Any) -> tuple[list[Table], bool]:
    """Return the tables of a document, and whether all of it was looked at."""
    forest = Forest()
    forest.add(node)
    return forest.tables(), not forest.full


def tables_of_all(nodes: Iterable[Any]) -> tuple[list[Table], bool]:
    """Return the tables of many documents of one kind: lines of JSON, rows of a table."""
    forest = Forest()
    for node in nodes:
        forest.add(node)
    return forest.tables(), not forest.full


def _is_list(node: Any) -> bool:
    return isinstance(node, list | tuple)


def _are_rows(items: Sequence[Any]) -> bool:
    """Whether these are lists of one short length that hold no further lists: rows without names."""
    first = items[:50]
    if not first or not all(_is_list(item) and 1 < len(item) <= _PAIR for item in first):
        return False
    if any(isinstance(cell, Mapping) or _is_list(cell) for item in first for cell in item):
        return False
    if len({len(item) for item in first}) > 1:
        return False
    return len(first) == 1 or len(first[0]) <= 4 or not all(isinstance(cell, str) for item in first for cell in item)


def _under_names(node: Mapping[Any, Any]) -> bool:
    """Whether an object is really a list, its keys being names, numbers or dates of like things."""
    if len(node) < 2:
        return False
    keys, values = list(node)[:30], list(node.values())[:30]
    if all(str(key).isdigit() for key in keys):
        return True
    if len(node) < _MANY or not all(isinstance(value, Mapping) for value in values):
        return False
    fields = [frozenset(map(str, value)) for value in values]
    shared = frozenset.intersection(*fields)
    return bool(shared) and len(shared) >= 0.5 * max(map(len, fields))


def _as_text(value: Any) -> str | bytes:
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return str(value)
    except ValueError:  # an integer of more digits than Python prints
        return ""


def _document(text: str) -> Any:
    """Return the objects or lists that a cell holds as text; `None` when it holds none."""
    text = text.strip()
    if len(text) < 4 or len(text) > _CELL or text[0] + text[-1] not in ("{}", "[]"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = _literal(text)
    return found if isinstance(found, dict | list) and found else None


def _literal(text: str) -> Any:
    if "'" not in text or text.count("[") + text.count("{") > 400:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
