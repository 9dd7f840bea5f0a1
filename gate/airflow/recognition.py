"""Which tasks train although nobody marked them: the rules of the platform team, read from its YAML file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from gate.domain.instants import format_instant, parse_instant
from gate.errors import InputError


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a task fits when it fits all conditions that are given, and any value of each.

    Attributes:
        number: its place in the file, from 1.
    """

    number: int
    operators: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()

    def fits(self, dag: Any, task: Any) -> bool:
        """Say whether a task of a DAG trains by this rule."""
        return (
            (not self.operators or _is_one_of(operator_class(task), self.operators))
            and (not self.tasks or any(_named(task, pattern) for pattern in self.tasks))
            and (not self.tags or not dag.tags.isdisjoint(self.tags))
            and (not self.pools or task.pool in self.pools)
        )

    def __str__(self) -> str:
        given = ((name, getattr(self, name)) for name in ("operators", "tasks", "tags", "pools"))
        return f"rule {self.number}: " + ", ".join(f"{name} {' '.join(values)}" for name, values in given if values)


@dataclass(frozen=True, slots=True)
class Exemption:
    """A task that a rule finds and that may run without a gate for a while."""

    dag: str
    task: str
    by: str
    why: str
    until: datetime

    def to_dict(self) -> dict[str, str]:
        """Return JSON-ready fields."""
        return {"by": self.by, "why": self.why, "until": format_instant(self.until)}


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules file.

    Attributes:
        source: the file's path; empty when none is configured.
    """

    source: str = ""
    training: tuple[Rule, ...] = ()
    exempt: tuple[Exemption, ...] = ()

    def recognise(self, dag: Any, task: Any) -> Rule | None:
        """Return the first rule that a task fits."""
        return next((rule for rule in self.training if rule.fits(dag, task)), None)

    def exemption(self, dag_id: str, task_id: str, now: datetime) -> Exemption | None:
        """Return the exemption that stands for a task now."""
        standing = (e for e in self.exempt if (e.dag, e.task) == (dag_id, task_id) and now < e.until)
        return max(standing, key=lambda exemption: exemption.until, default=None)


def read_rules(path: str) -> Rules:
    """Read the rules file; no path means that only marks count.

    Raises:
        InputError: missing, unreadable or malformed, with file, line and column. Nothing may be accepted then.
    """
    if not path:
        return Rules()
    where = f"[consent_gate] training_rules = {path}"
    if not Path(path).is_absolute():
        raise InputError("the path of the training rules is not absolute", where=where)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"the training rules cannot be read: {error.strerror}", where=where) from None
    return _parse(content, path)


@lru_cache(maxsize=4)
def _parse(content: bytes, source: str) -> Rules:
    from gate.policy.document import check_schema, read_document

    document = read_document(content, source, first="training")
    check_schema(document, _schema())
    rules = tuple(
        Rule(i, **{name: tuple(values) for name, values in raw.items()})
        for i, raw in enumerate(document.data["training"], start=1)
    )
    exempt = []
    for i, raw in enumerate(document.data.get("exempt", ())):
        try:
            exempt.append(Exemption(**{**raw, "until": parse_instant(raw["until"], "until")}))
        except InputError as error:
            raise document.error(("exempt", i, "until"), error.message, error.hint) from None
    return Rules(source, rules, tuple(exempt))


@cache
def _schema() -> Mapping[str, Any]:
    from gate.resources import shipped

    schema: dict[str, Any] = json.loads((shipped("schemas") / "training-rules.schema.json").read_bytes())
    return schema


def operator_class(task: Any) -> type:
    """Return the operator class of a task; of a mapped task, the class it will be made of."""
    from airflow.sdk import BaseOperator

    found: type = type(task) if isinstance(task, BaseOperator) else task.operator_class
    return found


def _is_one_of(operator: type, names: tuple[str, ...]) -> bool:
    return any(name in _names(operator) or _imported(name) in operator.__mro__ for name in names)


def _names(operator: type) -> frozenset[str]:
    def every() -> Iterator[str]:
        for base in operator.__mro__:
            yield base.__name__
            yield f"{base.__module__}.{base.__qualname__}"

    return frozenset(every())


def _imported(name: str) -> object:
    """Return the class a dotted name leads to, where a module offers a class that another one defines."""
    module, _, attribute = name.rpartition(".")
    return vars(sys.modules[module]).get(attribute) if module in sys.modules else None


def _named(task: Any, pattern: str) -> bool:
    return fnmatchcase(task.task_id, pattern) or fnmatchcase(task.label, pattern)
