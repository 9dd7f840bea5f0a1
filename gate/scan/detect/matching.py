"""Holds what was found in a file against the signals: which speak, where, and with what weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from gate.scan.detect.model import Content, Evidence, Table
from gate.scan.detect.shapes import Profile
from gate.scan.detect.signals import CategorySignals, Feature, KeyRule, LineRule, Signal, TableRule

_UNSEEN = 0.5  # weight of names alone, in a table without a single value
_NAMED = 6  # columns named in a piece of evidence
_NAME = 60  # characters of a column's name shown


class Sheet:
    """A table with everything that was already found out about its columns."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.profiles = [Profile(column) for column in table.columns]
        self.empty = not any(column.values for column in table.columns)
        self._fits: dict[int, list[int]] = {}

    def columns_that_are(self, feature: Feature) -> list[int]:
        """Return the places of the columns that have the feature."""
        known = self._fits.get(id(feature))
        if known is None:
            known = [place for place, profile in enumerate(self.profiles) if self._is(profile, feature)]
            self._fits[id(feature)] = known
        return known

    def _is(self, profile: Profile, feature: Feature) -> bool:
        if feature.listed is not None and profile.column.listed != feature.listed:
            return False
        if feature.words is not None and not feature.words.match(profile.column.name):
            return False
        if not feature.by_values and not feature.unless:
            return True
        if self.empty:
            return feature.words is not None
        return _values_fit(profile, feature)


def _values_fit(profile: Profile, feature: Feature) -> bool:
    if feature.shapes and not any(profile.fits(shape) for shape in feature.shapes):
        return False
    if not all(profile.fits(shape) for shape in feature.also) or any(profile.fits(shape) for shape in feature.unless):
        return False
    if feature.pattern is None:
        return True
    matching = [text for text in profile.texts if feature.pattern.search(text)]
    return len(matching) >= max(1, feature.share * len(profile.texts)) and len(set(matching)) >= feature.distinct


def evidence_in(content: Content, categories: Sequence[CategorySignals]) -> Iterator[Evidence]:
    """Yield every signal that speaks for what was found in a file."""
    sheets = [Sheet(table) for table in content.tables]
    lines = [line for line in content.lines if line.strip()]
    keys = frozenset(key for table in content.tables for key in table.keys)
    for known in categories:
        for signal in known.signals:
            for where, weight, columns in _places(signal, content, lines, sheets, keys):
                yield Evidence(known.category, signal.id, where, weight, columns)


def _places(
    signal: Signal, content: Content, lines: Sequence[str], sheets: Sequence[Sheet], keys: frozenset[str]
) -> Iterator[tuple[str, float, tuple[str, ...]]]:
    for fact, where in content.facts:
        if fact in signal.formats:
            yield where, signal.weight, ()
    if signal.lines is not None and lines:
        found = _lines(signal.lines, lines)
        if found is not None:
            yield found, signal.weight, ()
    if signal.keys is not None:
        for where in _keys(signal.keys, content.tables, keys):
            yield where, signal.weight, ()
    if signal.table is not None:
        for sheet in sheets:
            used = _columns(signal.table, sheet)
            if used is not None:
                columns = tuple(sheet.table.columns[place].name[:_NAME] for place in used)
                yield _say(sheet, columns), signal.weight * (_UNSEEN if sheet.empty else 1.0), columns


def _columns(rule: TableRule, sheet: Sheet) -> list[int] | None:
    """Return the columns that satisfy the rule, each taken once; `None` when some are missing."""
    if len(sheet.profiles) > rule.columns or any(sheet.columns_that_are(feature) for feature in rule.none):
        return None
    used: list[int] = []
    for feature in sorted(rule.all, key=lambda one: len(sheet.columns_that_are(one))):
        free = next((place for place in sheet.columns_that_are(feature) if place not in used), None)
        if free is None:
            return None
        used.append(free)
    if rule.at_least:
        more = {place for feature in rule.any for place in sheet.columns_that_are(feature)} - set(used)
        if len(more) < rule.at_least:
            return None
        used += sorted(more)
    return used


def _say(sheet: Sheet, columns: Sequence[str]) -> str:
    more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
    shown = ", ".join(repr(name) for name in columns[:_NAMED]) + more
    return f"{sheet.table.where}: {shown}" if sheet.table.where else shown


def _keys(rule: KeyRule, tables: Sequence[Table], everything: frozenset[str]) -> Iterator[str]:
    if rule.document:
        if _has(rule, everything):
            yield "keys of the document"
        return
    for table in tables:
        if _has(rule, table.keys):
            yield f"keys of {table.where or 'the top'}"


def _has(rule: KeyRule, keys: frozenset[str]) -> bool:
    if not all(_holds(key, keys) for key in rule.all) or any(_holds(key, keys) for key in rule.none):
        return False
    return sum(1 for key in rule.any if _holds(key, keys)) >= rule.at_least


def _holds(key: str, keys: frozenset[str]) -> bool:
    if "*" in key:
        return any(fnmatchcase(one, key) for one in keys)
    return key in keys


def _lines(rule: LineRule, lines: Sequence[str]) -> str | None:
    filled = lines if rule.first is None else lines[: rule.first]
    found = [match for line in filled if (match := rule.pattern.search(line))]
    if len(found) < rule.count or len(found) < rule.share * len(filled):
        return None
    if rule.distinct:
        kinds = {next((group for group in match.groups() if group), match[0]).lower() for match in found}
        if len(kinds) < rule.distinct:
            return None
    return f"{len(found)} of {len(filled)} lines"
