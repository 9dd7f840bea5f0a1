"""Reads JSON in all its layouts, YAML and XML into plain values, as much of them as the bounds allow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

RECORDS = 2000  # objects of JSON lines looked at
_REPAIRED = 1 << 20  # characters of a cut document that are parsed
_YAML = 1 << 18  # characters of YAML parsed: its parser is slow
_ELEMENTS = 8_000
_DEPTH = 60  # of XML elements
_ASSIGNED = re.compile(r"\s*(?:(?:var|let|const)\s+)?[\w.$]+(?:\[[^\]]*\])?\s*=\s*(?=[\[{])")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|["{}\[\],]', re.DOTALL)
_YAML_LINE = re.compile(r"\s*(?:#.*|---.*|\.\.\.|- .*|-|[\w\"'.$/<>*-][^:{}]*:(?: .*)?|[\]}],?|)$")
_TAG = re.compile(r"<([A-Za-z_][\w:.-]*)[\s>/]")


@dataclass(frozen=True, slots=True)
class Parsed:
    """Documents read from text.

    Attributes:
        format: `json`, `jsonl`, `yaml` or `xml`.
        documents: one, or one per line.
        whole: whether all of the text was read.
    """

    format: str
    documents: list[Any]
    whole: bool


def read_json(text: str, *, whole: bool) -> Parsed | None:
    """Read JSON, JSON lines, documents one after another, or JSON assigned to a name; `None` when it is none.

    Args:
        text: the beginning of the file.
        whole: whether that is all of it.

    Raises:
        RecursionError: nested too deeply.
    """
    start = _ASSIGNED.match(text[:2000])
    text = text[start.end() :].rstrip().rstrip(";") if start else text.lstrip("\ufeff \t\r\n\x1e")
    if text[:1] not in ("{", "["):
        return None
    documents, end = _documents(text)
    if not documents:
        return _cut(text)
    rest = text[end:].strip()
    complete = whole and not rest
    if rest and whole and len(documents) < RECORDS and len(rest) > 0.5 * len(text) and len(documents) < 3:
        return None
    form = "jsonl" if len(documents) > 1 else "json"
    return Parsed(form, documents, complete)


def _documents(text: str) -> tuple[list[Any], int]:
    decoder = json.JSONDecoder()
    documents: list[Any] = []
    at = 0
    while len(documents) < RECORDS:
        while at < len(text) and text[at] in " \t\r\n\x1e,":
            at += 1
        if at >= len(text) or text[at] not in "{[":
            break
        try:
            document, at = decoder.raw_decode(text, at)
        except ValueError:
            break
        documents.append(document)
    return documents, at


def _cut(text: str) -> Parsed | None:
    """Read the beginning of a document that was cut off: everything before its last whole value."""
    closed = _closed(text[:_REPAIRED])
    if closed is None:
        return None
    try:
        return Parsed("json", [json.loads(closed)], False)
    except ValueError:
        return None


def _closed(text: str) -> str | None:
    """Return `text` up to its last comma outside of text, with all brackets closed."""
    stack: list[str] = []
    best: tuple[int, str] | None = None
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign == '"':  # text that does not end
            break
        if sign in "{[":
            stack.append("}" if sign == "{" else "]")
        elif sign in "}]":
            if not stack or stack.pop() != sign:
                return None
            if stack:
                best = (token.end(), "".join(reversed(stack)))
        elif sign == "," and stack:
            best = (token.start(), "".join(reversed(stack)))
    return None if best is None else text[: best[0]] + best[1]


def looks_like_yaml(text: str, extension: str) -> bool:
    """Whether text is YAML: so named, or begun like it and every line could be."""
    lines = [line for line in text[:20_000].splitlines()[:400] if line.strip()]
    if len(lines) < 2:
        return False
    if extension in ("yml", "yaml") or lines[0].startswith(("---", "%YAML")):
        return True
    fit = sum(1 for line in lines if _YAML_LINE.match(line)) >= 0.97 * len(lines)
    nested = sum(1 for line in lines if line.startswith(("  ", "- "))) >= 0.4 * len(lines)
    return fit and nested


def read_yaml(text: str, *, whole: bool) -> Parsed | None:
    """Read YAML; `None` when it is none, or plain text."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    piece = text[:_YAML]
    if len(piece) < len(text) or not whole:
        piece = piece.rpartition("\n")[0]
    try:
        documents = [one for one in yaml.load_all(piece, Loader=loader) if isinstance(one, dict | list)]
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        return None
    return Parsed("yaml", documents, whole and len(piece) == len(text)) if documents else None


@dataclass(slots=True)
class _Element:
    name: str
    fields: dict[str, list[Any]] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)

    def value(self) -> Any:
        """Return the element as plain values: text alone, or its attributes and children under their names."""
        words = "".join(self.text).strip()
        if not self.fields:
            return words or None
        found: dict[str, Any] = {
            name: values[0] if len(values) == 1 else values for name, values in self.fields.items()
        }
        if words:
            found["#text"] = words
        return found


class _Tree:
    """Builds plain values from expat's events and stops at the bounds."""

    def __init__(self) -> None:
        self.stack: list[_Element] = [_Element("")]
        self.elements = 0
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._entity

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if self.elements > _ELEMENTS or len(self.stack) > _DEPTH:
            raise _Full
        element = _Element(name.rpartition(":")[2])
        for key, value in attributes.items():
            element.fields[f"@{key}"] = [value]
        self.stack.append(element)

    def _end(self, _name: str) -> None:
        element = self.stack.pop()
        self.stack[-1].fields.setdefault(element.name, []).append(element.value())

    def _text(self, data: str) -> None:
        self.stack[-1].text.append(data)

    def _entity(self, *_args: object) -> None:
        raise _Full

    def close(self) -> Any:
        """Return what was read; elements still open are closed."""
        while len(self.stack) > 1:
            self._end("")
        return self.stack[0].value()


class _Full(Exception):
    """Enough was read."""


def read_xml(text: str, *, whole: bool) -> Parsed | None:
    """Read XML as far as it is sound and the bounds allow; entities are never expanded. `None` when it is none."""
    start = text.lstrip("\ufeff \t\r\n")
    if not start.startswith("<") or not _TAG.search(start[:4000]):
        return None
    tree = _Tree()
    complete = whole
    try:
        tree.parser.Parse(_undeclared(start), whole)
    except (_Full, expat.ExpatError):
        complete = False
    if tree.elements < 2 and not complete:
        return None
    return Parsed("xml", [tree.close()], complete)


def _undeclared(text: str) -> str:
    """Drop the declaration: the text is decoded already, whatever encoding it names."""
    return re.sub(r"^<\?xml[^>]*\?>", "", text, count=1)


def root_of(document: Any) -> str:
    """Return the name of an XML document's root element."""
    return next(iter(document), "") if isinstance(document, dict) else ""


def texts_of(node: Any, depth: int = 0) -> Iterator[str]:
    """Yield every text of a document."""
    if depth > 40:
        return
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from texts_of(value, depth + 1)
    elif isinstance(node, list):
        for value in node:
            yield from texts_of(value, depth + 1)
