"""Loads the signals of every category from `schemas/categories`: declared data that a person adds to without Python."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gate.errors import InputError
from gate.resources import shipped
from gate.scan.detect.names import Words, words_of
from gate.scan.detect.shapes import SHAPES

SCHEMA = "category.schema.json"


@dataclass(frozen=True, slots=True)
class Feature:
    """What a column can be, by its name and by its values; both must fit.

    Attributes:
        words: names it goes by; `None`: any name.
        shapes: built-in shapes of which one must fit; empty: any values.
        also: built-in shapes that must all fit.
        unless: built-in shapes of which none may fit.
        pattern: what values look like, with the least share of values that must.
        distinct: least number of different values that match the pattern.
        listed: whether each row must hold a list.
    """

    name: str
    words: Words | None = None
    shapes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    share: float = 0.5
    distinct: int = 1
    listed: bool | None = None

    @property
    def by_values(self) -> bool:
        """Whether values are looked at."""
        return bool(self.shapes or self.also or self.pattern)


@dataclass(frozen=True, slots=True)
class TableRule:
    """Columns that must stand in one table: `all` of these, `at_least` so many of `any`, `none` of those.

    `columns` is the most columns the table may have: values alone say little about one of very many.
    """

    all: tuple[Feature, ...]
    any: tuple[Feature, ...]
    at_least: int
    none: tuple[Feature, ...]
    columns: int = 1 << 30


@dataclass(frozen=True, slots=True)
class KeyRule:
    """Field names that must stand in one object, or anywhere in the document; `*` stands for anything."""

    all: tuple[str, ...]
    any: tuple[str, ...]
    at_least: int
    none: tuple[str, ...]
    document: bool


@dataclass(frozen=True, slots=True)
class LineRule:
    """A pattern in lines of text: in so large a share of lines, so often, with so many different first groups."""

    pattern: re.Pattern[str]
    share: float
    count: int
    distinct: int
    first: int | None


@dataclass(frozen=True, slots=True)
class Signal:
    """One reason to believe in a category; exactly one of the rules is set, or `formats`."""

    id: str
    weight: float
    formats: tuple[str, ...] = ()
    table: TableRule | None = None
    keys: KeyRule | None = None
    lines: LineRule | None = None


@dataclass(frozen=True, slots=True)
class CategorySignals:
    """A category's signals and how sure is sure enough.

    Attributes:
        question: what a person must answer when we are in doubt.
        high: from this confidence on the category is there.
        low: below this it is not; between them a person must look.
    """

    category: str
    question: str
    high: float
    low: float
    signals: tuple[Signal, ...]


@lru_cache(maxsize=4)
def load_signals(folder: Path | None = None) -> tuple[CategorySignals, ...]:
    """Return the signals of every category, by default those shipped.

    Raises:
        InputError: a file that does not follow `schemas/category.schema.json`, or names a feature or shape that is
            not there.
    """
    return tuple(_category(document, path) for document, path in documents(folder))


def documents(folder: Path | None) -> Iterator[tuple[Any, Path]]:
    """Yield the file of every category, by default those shipped, with its path.

    Raises:
        InputError: a file that is not YAML, or does not follow `schemas/category.schema.json`.
    """
    import yaml

    where = folder or shipped("schemas") / "categories"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in sorted(where.glob("*.yaml")):
        try:
            document = yaml.load(path.read_text("utf-8"), Loader=loader)  # noqa: S506 safe
        except yaml.YAMLError:
            raise InputError("is not YAML", where=str(path)) from None
        if folder is not None:  # ours are checked by tests, and the check takes longer than the reading
            check(document, path)
        yield document, path


def check(document: Any, path: Path) -> None:
    """Check a category's file against the schema.

    Raises:
        InputError: it does not follow it.
    """
    import jsonschema

    schema = json.loads((shipped("schemas") / SCHEMA).read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    for error in sorted(validator.iter_errors(document), key=str):
        place = "/".join(map(str, error.absolute_path))
        raise InputError(f"does not follow {SCHEMA} at {place or 'the top'}: {_said(error)}", where=str(path))


def _said(error: Any) -> str:
    """Return what is wrong; of alternatives, what they ask for instead of all of what they got."""
    if error.validator == "oneOf":
        wanted = ", ".join(" with ".join(one["required"]) for one in error.validator_value)
        return f"needs exactly one of {wanted}"
    return str(error.message)[:200]


def _category(document: Mapping[str, Any], path: Path) -> CategorySignals:
    features = {name: _feature(name, body, path) for name, body in document.get("features", {}).items()}
    limits = document.get("confidence", {})
    return CategorySignals(
        category=document["category"],
        question=document["question"],
        high=limits.get("high", 0.7),
        low=limits.get("low", 0.4),
        signals=tuple(_signal(body, features, path) for body in document["signals"]),
    )


def _feature(name: str, body: Mapping[str, Any], path: Path) -> Feature:
    for shape in (*body.get("shapes", ()), *body.get("also", ()), *body.get("unless", ())):
        if shape not in SHAPES:
            raise InputError(f"feature {name!r} names the shape {shape!r}, which is not there", where=str(path))
    return Feature(
        name=name,
        words=words_of(body["names"]) if "names" in body else None,
        shapes=tuple(body.get("shapes", ())),
        also=tuple(body.get("also", ())),
        unless=tuple(body.get("unless", ())),
        pattern=compiled(body["pattern"], path) if "pattern" in body else None,
        share=body.get("share", 0.5),
        distinct=body.get("distinct", 1),
        listed=body.get("listed"),
    )


def _signal(body: Mapping[str, Any], features: Mapping[str, Feature], path: Path) -> Signal:
    table, keys, lines = body.get("table"), body.get("keys"), body.get("lines")
    return Signal(
        id=body["id"],
        weight=body["weight"],
        formats=tuple(body.get("formats", ())),
        table=None if table is None else _table_rule(table, features, path),
        keys=None if keys is None else _key_rule(keys),
        lines=None if lines is None else _line_rule(lines, path),
    )


def _table_rule(body: Mapping[str, Any], features: Mapping[str, Feature], path: Path) -> TableRule:
    def named(part: str) -> tuple[Feature, ...]:
        return tuple(_known(name, features, path) for name in body.get(part, ()))

    at_least = body.get("at_least", 1 if body.get("any") else 0)
    return TableRule(named("all"), named("any"), at_least, named("none"), body.get("columns", 1 << 30))


def _known(name: str, features: Mapping[str, Feature], path: Path) -> Feature:
    if name in features:
        return features[name]
    if name in SHAPES:
        return Feature(name, shapes=(name,))
    raise InputError(f"a signal names the feature {name!r}, which is not there", where=str(path))


def _key_rule(body: Mapping[str, Any]) -> KeyRule:
    def lower(part: str) -> tuple[str, ...]:
        return tuple(str(key).lower() for key in body.get(part, ()))

    at_least = body.get("at_least", 1 if body.get("any") else 0)
    return KeyRule(lower("all"), lower("any"), at_least, lower("none"), body.get("document", False))


def _line_rule(body: Mapping[str, Any], path: Path) -> LineRule:
    pattern = compiled(body["pattern"], path)
    first = body.get("first")
    return LineRule(pattern, body.get("share", 0.0), body.get("count", 1), body.get("distinct", 0), first)


def compiled(pattern: str, path: Path) -> re.Pattern[str]:
    """Compile a pattern of a category's file.

    Raises:
        InputError: it is none.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InputError(f"holds a pattern that is none: {error}", where=str(path)) from None
