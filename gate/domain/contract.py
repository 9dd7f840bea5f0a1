"""What a check of data contracts found, as values that are kept with a tag: counts and names of columns, no value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from gate.domain.instants import format_instant, parse_instant
from gate.errors import InputError


class Outcome(StrEnum):
    """How a rule went; what could not be computed is errored, never passed."""

    PASSED = "passed"
    FAILED = "failed"
    ERRORED = "errored"


class Severity(StrEnum):
    """How bad it is when a rule fails."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """How one rule went on one column.

    Attributes:
        rule: its id; unique within its category.
        says: what must hold, as a sentence.
        kind: `account`, `filled`, `type`, `format`, `range` or `time`.
        values: how many were looked at, empty ones included; 0 where the engine only knows the column's type.
        empty: how many of them were null.
        unexpected: how many do not fit.
        error: the class of what went wrong in an errored rule; its message may quote a value, so it is not here.
    """

    category: str
    rule: str
    says: str
    severity: Severity
    kind: str
    column: str
    outcome: Outcome
    values: int = 0
    empty: int = 0
    unexpected: int = 0
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return asdict(self) | {"severity": self.severity.value, "outcome": self.outcome.value}


@dataclass(frozen=True, slots=True)
class ContractOutcome:
    """How the contracts of a dataset version's categories went.

    Attributes:
        categories: whose contracts were asked for, sorted.
        rules: the rules that apply to a column that is there; none: there was nothing to check.
        rows: how many rows were checked: all of them.
        checked_at: the instant that ages were measured from.
        suite: digest of the rules with their columns; empty when there was nothing to check.
        gx: version of Great Expectations; empty when it had nothing to do.
        note: why there was nothing to check.
    """

    categories: tuple[str, ...]
    rules: tuple[RuleOutcome, ...]
    rows: int
    checked_at: datetime
    suite: str = ""
    gx: str = ""
    note: str = ""

    @property
    def outcome(self) -> Outcome | None:
        """The worst of the rules' outcomes: errored, then failed; `None` when there was nothing to check."""
        found = {rule.outcome for rule in self.rules}
        return next((one for one in (Outcome.ERRORED, Outcome.FAILED, Outcome.PASSED) if one in found), None)

    @property
    def broken(self) -> bool:
        """Whether a rule failed that is more than a warning."""
        return any(rule.outcome is Outcome.FAILED and rule.severity is Severity.ERROR for rule in self.rules)

    def told(self) -> list[str]:
        """Say which rules did not pass, one sentence each, ten at most."""
        found = [rule for rule in self.rules if rule.outcome is not Outcome.PASSED]
        said = [f"contract of {one.category}, {one.rule}: {one.outcome} on column {one.column!r}" for one in found]
        return said[:10] + ([f"and {len(said) - 10} more rules of contracts"] if len(said) > 10 else [])

    def count(self, outcome: Outcome) -> int:
        """Return how many rules went so."""
        return sum(rule.outcome is outcome for rule in self.rules)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields; `outcome` is there for readers, `from_dict` works it out again."""
        return {
            "outcome": self.outcome and self.outcome.value,
            "categories": list(self.categories),
            "rules": [rule.to_dict() for rule in self.rules],
            "rows": self.rows,
            "checked_at": format_instant(self.checked_at),
            "suite": self.suite,
            "gx": self.gx,
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ContractOutcome:
        """Read what `to_dict` wrote.

        Raises:
            InputError: it is something else.
        """
        try:
            return cls(
                tuple(map(_text, data["categories"])),
                tuple(map(_rule, data["rules"])),
                _count(data["rows"]),
                parse_instant(data["checked_at"], "contract.checked_at"),
                *(_text(data[name]) for name in ("suite", "gx", "note")),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError("is not an outcome of data contracts", where="contract") from None


_COUNTS = ("values", "empty", "unexpected")


def _rule(data: Mapping[str, Any]) -> RuleOutcome:
    read: dict[str, Any] = {name: _count(value) if name in _COUNTS else _text(value) for name, value in data.items()}
    return RuleOutcome(**read | {"severity": Severity(data["severity"]), "outcome": Outcome(data["outcome"])})


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value
