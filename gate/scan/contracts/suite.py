"""Writes contracts as a suite of Great Expectations: built-in expectations only, fitted to the columns there are."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from gate.domain.canonical import digest
from gate.domain.instants import checked_instant
from gate.errors import InputError
from gate.scan.contracts.rules import Bound, Rule, bind

_WHOLE = {
    "pandas": ("int64", "int", "Int64Dtype"),
    "spark": ("ByteType", "ShortType", "IntegerType", "LongType"),
    "sql": ("INTEGER", "BIGINT", "SMALLINT", "Integer", "BigInteger", "SmallInteger"),
}
_NUMBER = {
    "pandas": ("float64", "float", "Float64Dtype"),
    "spark": ("FloatType", "DoubleType", "DecimalType"),
    "sql": ("NUMERIC", "DECIMAL", "REAL", "FLOAT", "DOUBLE", "DOUBLE_PRECISION", "Numeric", "Float", "Double"),
}
_TYPES: dict[str, dict[str, tuple[str, ...]]] = {
    "whole": _WHOLE,
    "number": {engine: (*_WHOLE[engine], *_NUMBER[engine]) for engine in _WHOLE},
    "text": {
        "pandas": ("str",),
        "spark": ("StringType", "VarcharType", "CharType"),
        "sql": ("TEXT", "VARCHAR", "CHAR", "NVARCHAR", "NCHAR", "CLOB", "String", "Text"),
    },
    "moment": {
        "pandas": ("datetime64[ns]", "datetime64[us]", "Timestamp", "datetime", "date"),
        "spark": ("TimestampType", "TimestampNTZType", "DateType"),
        "sql": ("TIMESTAMP", "DATETIME", "DATE", "DateTime", "Date"),
    },
}
_TYPED = "ExpectColumnValuesToBeInTypeList"
_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|$)"


@dataclass(frozen=True, slots=True)
class Column:
    """What a batch's schema says of a column.

    Attributes:
        family: `text`, `whole`, `number`, `moment`, `list` or `other`.
        zoned: moments of it know their zone.
        kind: what a database that compares types by their text calls its type; else empty.
    """

    family: str
    zoned: bool = False
    kind: str = ""

    def fits(self, family: str) -> bool:
        """Whether it is of a family; whole numbers are numbers."""
        return self.family == family or (family == "number" and self.family == "whole")


def great_expectations() -> ModuleType:
    """Import Great Expectations (some 6 seconds, once) and keep it from calling home.

    Raises:
        InputError: it is not installed.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    try:
        with warnings.catch_warnings(), _no_doctest():
            warnings.simplefilter("ignore")  # of its own imports: PySpark about pandas 3, Python about sre_constants
            import great_expectations as gx
            import great_expectations.expectations
    except ImportError:
        raise InputError(
            "data contracts need Great Expectations, which is not installed",
            hint='pip install "airflow-provider-consent-gate[gx]"',
        ) from None
    found: ModuleType = gx
    return found


@contextmanager
def _no_doctest() -> Iterator[None]:
    """Keep PySpark, imported with it, from ending the process: a main module without a file means doctests to it."""
    main = sys.modules["__main__"]
    bare = getattr(main, "__spec__", None) is None and not hasattr(main, "__file__")
    if bare:
        main.__spec__ = ModuleSpec("__main__", None)
    try:
        yield
    finally:
        if bare:
            main.__spec__ = None


def contract_suite(
    categories: Iterable[str],
    columns: Mapping[str, Column],
    account: str | None,
    now: datetime,
    engine: str = "pandas",
) -> Any:
    """Return the `ExpectationSuite` of the categories' contracts for a table with these columns.

    Args:
        categories: category words.
        columns: what the table holds, by name.
        account: the account column; `None`: accounts are named elsewhere.
        now: the instant that ages are measured from.
        engine: `pandas`, `spark` or `sql`: how types are called.

    Raises:
        InputError: Great Expectations is not installed, or the instant has no zone.
    """
    return suite_of(bind(categories, columns, account), columns, now, engine)


def suite_of(bounds: Iterable[Bound], columns: Mapping[str, Column], now: datetime, engine: str) -> Any:
    """Return the suite of rules with their columns.

    Each expectation's `meta` names the `Bound.key` it is `rule` of; `unfit`: it only says that the column is of a type
    that the rule cannot be held against, so its success would say nothing.
    """
    gx, now = great_expectations(), checked_instant(now)
    suite = gx.ExpectationSuite(name="contract")
    for bound in bounds:
        column = columns.get(bound.column, Column("text"))
        severity = "critical" if bound.rule.severity == "error" else "warning"
        for name, kwargs in _expected(bound.rule, column, now, engine):
            expectation = getattr(gx.expectations, name)
            unfit = name == _TYPED and bound.rule.kind != "type"
            meta = {"rule": list(bound.key), "says": bound.rule.says, "unfit": unfit}
            suite.expectations.append(expectation(column=bound.column, severity=severity, meta=meta, **kwargs))
    return suite


def suite_digest(bounds: Iterable[Bound]) -> str:
    """Return one digest for the same rules about the same columns, whatever the instant or the engine."""
    return digest([[*bound.key, bound.rule.written] for bound in bounds])


Expected = list[tuple[str, dict[str, Any]]]
"""Names of built-in expectations with their parameters."""


def _expected(rule: Rule, column: Column, now: datetime, engine: str) -> Expected:
    """Return what a rule asks of a column; all of it must hold."""
    match rule.kind:
        case "filled":
            return [("ExpectColumnValuesToNotBeNull", {"mostly": rule.share})]
        case "account":
            alike = [] if column.family == "whole" else [_like(rule.pattern, rule.share)]
            return [("ExpectColumnValuesToNotBeNull", {}), *alike]
        case "format":
            return [_like(rule.pattern, rule.share)] if column.family == "text" else [_typed("text", column, engine)]
        case "type":
            return [_typed(rule.family, column, engine)]
        case "range":
            if not column.fits("number"):
                return [_typed("number", column, engine)]
            limits = {"min_value": rule.least, "max_value": rule.most, "mostly": rule.share}
            return [("ExpectColumnValuesToBeBetween", limits)]
        case _:
            return _timely(rule, column, now, engine)


def _like(pattern: str, share: float) -> tuple[str, dict[str, Any]]:
    return "ExpectColumnValuesToMatchRegex", {"regex": pattern, "mostly": share}


def _typed(family: str, column: Column, engine: str) -> tuple[str, dict[str, Any]]:
    own = (column.kind,) if column.kind and column.fits(family) else ()
    return _TYPED, {"type_list": [*_TYPES[family][engine], *own]}


def _timely(rule: Rule, column: Column, now: datetime, engine: str) -> Expected:
    """Return bounds of moments; a database's text is compared as text, so to the day, and must be written as ISO 8601.

    Numbers may count seconds or milliseconds, from whenever: nothing is asked of them.
    """
    if column.fits("number"):
        return []
    least = None if rule.days is None else now - timedelta(days=rule.days)
    most = None if rule.future else now
    if column.family == "moment":
        zone = now.tzinfo if column.zoned else None
        limits = {"min_value": least, "max_value": most}
        told = {name: moment and moment.replace(tzinfo=zone) for name, moment in limits.items()}
        return [("ExpectColumnValuesToBeBetween", told)]
    if engine != "sql" or column.family != "text":
        return [_typed("moment", column, engine)]
    day = timedelta(days=1)
    return [
        _like(_ISO, 1.0),
        *([("ExpectColumnMinToBeBetween", {"min_value": f"{least - day:%Y-%m-%d}"})] if least else []),
        *([("ExpectColumnMaxToBeBetween", {"max_value": f"{most + 2 * day:%Y-%m-%d}"})] if most else []),
    ]
