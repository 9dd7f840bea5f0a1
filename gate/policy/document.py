"""Reads a YAML document so that every value remembers its line and column, and checks it against a JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from gate.errors import PolicyError

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 20  # nested collections; the policy schema needs five
MAX_INTEGER_DIGITS = 15  # RFC 8785: larger numbers have no exact form

# The C loader marks lines and columns just the same, ten times faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value")
)
_INTEGER = re.compile(rf"-?(0|[1-9][0-9]{{0,{MAX_INTEGER_DIGITS - 1}}})")
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}

Path = tuple[str | int, ...]
Mark = tuple[int, int]  # line and column, both counted from 1


@dataclass(frozen=True, slots=True)
class Document:
    """Parsed data (maps, lists, text, integers, booleans, null) and where each part of it stands.

    Attributes:
        source: the file's name, for messages.
        data: the root mapping.
        values, keys: position of each value and of each key, by path from the root.
    """

    source: str
    data: dict[str, Any]
    values: Mapping[Path, Mark]
    keys: Mapping[Path, Mark]

    def error(self, path: Path, message: str, hint: str | None = None, *, key: bool = False) -> PolicyError:
        """Return an error that points at `path`, or at the nearest enclosing part that exists."""
        marks = self.keys if key and path in self.keys else self.values
        while path not in marks:
            path = path[:-1]
        line, column = marks[path]
        return PolicyError(message, where=f"{self.source}:{line}:{column}", hint=hint)


def read_document(text: str | bytes, source: str, *, first: str = "name") -> Document:
    """Read one YAML mapping: no duplicate keys, aliases, tags or floats.

    Words are text unless they are `true`, `false`, `null`, `~` or an integer, so that the country NO, the date
    2023-07-27 and the version 1.0 stay what was written.

    Args:
        text: the document.
        source: its name, for messages.
        first: the field such a document starts with, for hints.

    Raises:
        PolicyError: with file, line and column.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise PolicyError(f"byte {error.start} is not UTF-8 text", where=source, hint="save it as UTF-8") from None
    if len(decoded) > MAX_CHARACTERS:
        raise PolicyError(f"is larger than {MAX_CHARACTERS:,} characters", where=source)
    builder = _Builder(source)
    data = builder.build(_compose(decoded, source, first), (), 0)
    if not isinstance(data, dict):
        raise PolicyError("holds no mapping of fields", where=f"{source}:1:1", hint=f"start with `{first}:`")
    return Document(source, data, builder.values, builder.keys)


def _compose(text: str, source: str, first: str) -> yaml.Node:
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise PolicyError(f"not well-formed YAML: {error.problem or error.context}", where=where) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise PolicyError(f"not well-formed YAML: {error.reason}", where=f"{source}:{line}:{column}") from None
    except RecursionError:
        raise PolicyError("nests too deeply", where=source) from None
    if node is None:
        raise PolicyError("is empty", where=f"{source}:1:1", hint=f"start with `{first}:`")
    return node


class _Builder:
    """Turns nodes into plain data and keeps their marks."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.values: dict[Path, Mark] = {}
        self.keys: dict[Path, Mark] = {}
        self._seen: set[int] = set()

    def build(self, node: yaml.Node, path: Path, depth: int) -> Any:
        """Return the node's value, recording where it and its parts stand."""
        if depth > MAX_DEPTH:
            raise self._error(node, "nests too deeply")
        if id(node) in self._seen:
            raise self._error(node, "aliases are not allowed", "write the value out where it is used")
        self._seen.add(id(node))
        if node.tag not in _CORE_TAGS:
            raise self._error(node, f"the tag {node.tag[:40]!r} is not allowed")
        self.values[path] = _mark(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i), depth + 1) for i, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or not (key.isascii() and key.isprintable()):
                raise self._error(key_node, "a field's name must be plain ASCII text")
            if key in data:
                raise self._error(key_node, f"the field {key!r} is given twice")
            self.keys[(*path, key)] = _mark(key_node)
            data[key] = self.build(value_node, (*path, key), depth + 1)
        return data

    def _error(self, node: yaml.Node, message: str, hint: str | None = None) -> PolicyError:
        line, column = _mark(node)
        return PolicyError(message, where=f"{self.source}:{line}:{column}", hint=hint)


def _scalar(node: yaml.ScalarNode) -> str | int | bool | None:
    text: str = node.value
    if node.style:  # quoted or block text is always text
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return int(text) if _INTEGER.fullmatch(text) else text


def _mark(node: yaml.Node) -> Mark:
    return node.start_mark.line + 1, node.start_mark.column + 1


def check_schema(document: Document, schema: Mapping[str, Any]) -> None:
    """Check the document against a JSON Schema (draft 2020-12).

    Raises:
        PolicyError: the first violation in reading order, with file, line and column.
    """
    from jsonschema import Draft202012Validator

    violations = [_violation(document, error) for error in Draft202012Validator(schema).iter_errors(document.data)]
    if violations:
        raise min(violations, key=lambda found: found[0])[1]


def _violation(document: Document, error: Any) -> tuple[Mark, PolicyError]:
    # `any` or a list: what is wrong inside the list says more than "matches neither".
    while error.context:
        error = min(error.context, key=lambda inner: (inner.validator == "const", -len(inner.absolute_path)))
    path: Path = tuple(error.absolute_path)
    message, key = error.message, False
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        unknown = [name for name in error.instance if name not in error.schema.get("properties", {})]
        path, message, key = (*path, unknown[0]), f"unknown field {unknown[0]!r}", True
    field = ".".join(str(part) for part in path if not isinstance(part, int)) or "(the whole document)"
    marks = document.keys if key else document.values
    hint = f"field {field}" if not key else "known here: " + ", ".join(sorted(error.schema.get("properties", {})))
    return marks[path], document.error(path, message[:300], hint, key=key)
