"""Loads each category's contract from `schemas/categories`: rules a person writes without Python, as frozen values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gate.domain.contract import Severity
from gate.domain.dataset import Dataset
from gate.errors import InputError
from gate.scan.detect.names import Words, words_of
from gate.scan.detect.signals import compiled, documents

KINDS = ("account", "filled", "type", "format", "range", "time")


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold of every column that goes by one of its names; what it holds of depends on `kind`.

    `account`: the account column: never null, and like `pattern` where it is text. `filled`: not null. `type`: all
    values are of `family`. `format`: text like `pattern`. `range`: numbers from `least` to `most`. `time`: moments
    not in the `future`, not more than so many `days` old.

    Attributes:
        id: unique within its category.
        says: what must hold, as a sentence for people.
        columns: names of the columns it is about; `None`: the account column.
        share: least part of the values (for `filled`: of the rows) that must be so.
        family: `text`, `whole`, `number` (whole ones too) or `moment`.
        written: the rule as it stands in the file, for digests.
    """

    category: str
    id: str
    says: str
    severity: Severity
    kind: str
    columns: Words | None = None
    share: float = 1.0
    family: str = ""
    pattern: str = ""
    least: float | None = None
    most: float | None = None
    future: bool = True
    days: int | None = None
    written: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """A rule and a column it is about."""

    rule: Rule
    column: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it apart: category, rule, column."""
        return self.rule.category, self.rule.id, self.column


def account_column(dataset: Dataset) -> str | None:
    """Return the column that names accounts; another locator is no column's matter."""
    return dataset.account.value if dataset.account.kind == "column" else None


def bind(
    categories: Iterable[str], columns: Iterable[str], account: str | None, folder: Path | None = None
) -> tuple[Bound, ...]:
    """Return the rules of the categories' contracts that have something to say about these columns.

    Args:
        categories: words; one without a contract has no rules.
        columns: the names of a table's columns.
        account: the account column, whether it is there or not; `None`: accounts are named elsewhere.
        folder: as for `load_contracts`.

    Raises:
        InputError: as `load_contracts`.
    """
    contracts, names = load_contracts(folder), list(columns)
    found = []
    for category in sorted(set(categories)):
        for rule in contracts.get(category, ()):
            if rule.columns is None:
                found += [Bound(rule, account)] if account is not None else []
            else:
                found += [Bound(rule, name) for name in names if rule.columns.match(name)]
    return tuple(found)


@lru_cache(maxsize=4)
def load_contracts(folder: Path | None = None) -> Mapping[str, tuple[Rule, ...]]:
    """Return the rules of every category, by default those shipped.

    Raises:
        InputError: a file that does not follow `schemas/category.schema.json`, two rules of one name, a range that
            ends before it begins, or a pattern that is none.
    """
    found: dict[str, tuple[Rule, ...]] = {}
    for document, path in documents(folder):
        category = document["category"]
        rules = (*found.get(category, ()), *(_rule(category, body, path) for body in document.get("contract", ())))
        names = [rule.id for rule in rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"names two rules {twice[0]!r}", where=str(path), hint="give each rule its own id")
        found[category] = rules
    return found


def _rule(category: str, body: Mapping[str, Any], path: Path) -> Rule:
    kind = next(name for name in KINDS if name in body)
    asked = body[kind]
    more: dict[str, Any] = {}
    match kind:
        case "account" | "format":
            more = {"pattern": compiled(asked, path).pattern}
        case "type":
            more = {"family": asked}
        case "range":
            more = {"least": asked.get("min"), "most": asked.get("max")}
            if None not in (more["least"], more["most"]) and more["least"] > more["most"]:
                raise InputError(f"the range of rule {body['id']!r} ends before it begins", where=str(path))
        case "time":
            more = {"future": asked.get("future", True), "days": asked.get("days")}
    return Rule(
        category=category,
        id=body["id"],
        says=body["says"],
        severity=Severity(body.get("severity", Severity.ERROR)),
        kind=kind,
        columns=words_of(body["columns"]) if "columns" in body else None,
        share=asked if kind == "filled" else body.get("share", 1.0),
        written=repr(sorted(body.items())),
        **more,
    )
