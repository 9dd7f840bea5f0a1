"""Adds up what Great Expectations says of one batch after the other; what gave no result is errored."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gate.domain.contract import ContractOutcome, Outcome, RuleOutcome
from gate.scan.contracts.rules import Bound
from gate.scan.contracts.suite import Column, suite_digest, suite_of

NO_ROWS = "there are no rows"
NO_TABLES = "its files are no tables of one format"
NO_RULES = "no rule of these categories is about its columns"
_RAISED = re.compile(r"^(?:\w+\.)*(\w+(?:Error|Exception))\b", re.MULTILINE)
_NOT_NULL = "expect_column_values_to_not_be_null"
_OF_ALL = ("expect_column_min_to_be_between", "expect_column_max_to_be_between")


@dataclass(slots=True)
class _Count:
    """What is known of one rule on one column, over all batches.

    Attributes:
        failed: something failed that must hold of every value.
        short: in some batch the share of values that fit was too small; in all batches together it need not be.
    """

    values: int = 0
    empty: int = 0
    unexpected: int = 0
    failed: bool = False
    short: bool = False
    error: str = ""

    def outcome(self, bound: Bound) -> Outcome:
        """Return how it went in all."""
        if self.error:
            return Outcome.ERRORED
        if self.failed or (self.short and not self._enough(bound)):
            return Outcome.FAILED
        return Outcome.PASSED

    def _enough(self, bound: Bound) -> bool:
        asked = self.values if bound.rule.kind == "filled" else self.values - self.empty
        return self.values - self.empty - self.unexpected >= bound.rule.share * asked


@dataclass(slots=True)
class Tally:
    """Rules with their columns, and how they went so far.

    Attributes:
        rows: how many rows were checked; whoever adds batches counts them.
    """

    bounds: Sequence[Bound]
    rows: int = 0
    _counts: dict[tuple[str, ...], _Count] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The columns that rules are about."""
        return sorted({bound.column for bound in self.bounds})

    def add(
        self,
        batch: Any,
        columns: Mapping[str, Column],
        now: datetime,
        engine: str,
        about: Callable[[Bound], bool] = lambda _: True,
    ) -> None:
        """Validate a batch by the rules it is about."""
        suite = suite_of([bound for bound in self.bounds if about(bound)], columns, now, engine)
        if not suite.expectations:
            return
        asked = [tuple(expectation.meta["rule"]) for expectation in suite.expectations]
        shown = {"result_format": "BASIC", "partial_unexpected_count": 0}  # counts, no values
        told: dict[tuple[str, ...], list[Any]] = {key: [] for key in asked}
        with warnings.catch_warnings():  # pandas' about groups in patterns, say; an error made of one would be a result
            warnings.simplefilter("ignore")
            results = batch.validate(suite, result_format=shown).results
        for result in results:
            told[tuple(result.expectation_config.meta["rule"])].append(result)
        for key, mine in told.items():
            count = self._counts.setdefault(key, _Count())
            if len(mine) < asked.count(key):
                count.error = "NoResult"
            for result in mine:
                _add(count, result)
            _add_values(count, mine)

    def outcome(self, categories: tuple[str, ...], now: datetime, version: str) -> ContractOutcome:
        """Return what came of it; a rule that asked nothing of its column is left out.

        Args:
            categories: whose contracts they are.
            now: the instant of the check.
            version: of Great Expectations.
        """
        found = [(bound, self._counts[bound.key]) for bound in self.bounds if bound.key in self._counts]
        if not self.rows or not found:  # for GX, everything holds of no rows
            return ContractOutcome(categories, (), self.rows, now, note=NO_RULES if self.rows else NO_ROWS)
        rules = tuple(_said(bound, count) for bound, count in found)
        return ContractOutcome(categories, rules, self.rows, now, suite_digest([bound for bound, _ in found]), version)


def _add_values(count: _Count, results: Sequence[Any]) -> None:
    """Count the values that were looked at: once, for all expectations of a rule are about the same."""
    counted = next((result for result in results if "element_count" in result.result), None)
    if counted is not None:
        count.values += int(counted.result["element_count"] or 0)
        count.empty += int(counted.result[_nulls(counted)] or 0)


def _nulls(result: Any) -> str:
    return "unexpected_count" if result.expectation_config.type == _NOT_NULL else "missing_count"


def _add(count: _Count, result: Any) -> None:
    """Add what one result says."""
    if error := _raised(result.exception_info):
        count.error = error
        return
    config, found = result.expectation_config, result.result
    if result.success and config.meta["unfit"]:  # the rule itself was not asked
        count.error = "NotAsked"
    if "element_count" in found and config.type != _NOT_NULL:
        count.unexpected += int(found["unexpected_count"] or 0)
    if result.success or (config.type in _OF_ALL and found.get("observed_value") is None):  # GX fails those of nothing
        return
    if config.kwargs.get("mostly", 1) < 1:
        count.short = True
    else:
        count.failed = True


def _raised(info: Any) -> str:
    """Return the class of an exception GX caught, empty when there is none; its words may quote a value."""
    told = dict(info or {})
    for one in (told, *(value for value in told.values() if isinstance(value, dict))):
        if one.get("raised_exception"):
            classes = _RAISED.findall(str(one.get("exception_traceback") or ""))
            return classes[-1] if classes else "Exception"
    return ""


def _said(bound: Bound, count: _Count) -> RuleOutcome:
    rule = bound.rule
    return RuleOutcome(
        category=rule.category,
        rule=rule.id,
        says=rule.says,
        severity=rule.severity,
        kind=rule.kind,
        column=bound.column,
        outcome=count.outcome(bound),
        values=count.values,
        empty=count.empty,
        unexpected=count.unexpected,
        error=count.error,
    )
