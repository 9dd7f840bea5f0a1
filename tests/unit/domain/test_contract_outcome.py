"""Outcomes of data contracts: the worst counts, and a ledger holds them exactly."""

import json
from datetime import UTC, datetime

import pytest

from gate.domain.canonical import canonical
from gate.domain.contract import ContractOutcome, Outcome, RuleOutcome, Severity
from gate.errors import InputError

NOW = datetime(2026, 11, 30, tzinfo=UTC)
PASSED = RuleOutcome("chat", "sent", "Sent.", Severity.ERROR, "time", "sent_at", Outcome.PASSED, 9, 1, 0)
FAILED = RuleOutcome("chat", "sender", "Named.", Severity.WARNING, "filled", "sender", Outcome.FAILED, 9, 5, 0)
ERRORED = RuleOutcome("chat", "text", "Text.", Severity.ERROR, "type", "text", Outcome.ERRORED, error="KeyError")


def outcome(*rules: RuleOutcome) -> ContractOutcome:
    return ContractOutcome(("chat",), rules, 9, NOW, "sha256:" + "a" * 64, "1.24.1")


def test_the_worst_rule_counts() -> None:
    assert outcome(PASSED).outcome is Outcome.PASSED
    assert outcome(PASSED, FAILED).outcome is Outcome.FAILED
    assert outcome(ERRORED, PASSED, FAILED).outcome is Outcome.ERRORED
    assert outcome().outcome is None
    assert [outcome(PASSED, FAILED, PASSED).count(one) for one in Outcome] == [2, 1, 0]


def test_the_ledger_holds_them_exactly() -> None:
    found = outcome(PASSED, FAILED, ERRORED)
    written = canonical(found.to_dict())  # it refuses fractions
    assert ContractOutcome.from_dict(json.loads(written)) == found


@pytest.mark.parametrize(
    "change",
    [
        {"rows": "9"},
        {"rows": -1},
        {"rows": True},
        {"rules": [{}]},
        {"rules": [PASSED.to_dict() | {"outcome": "fine"}]},
        {"rules": [PASSED.to_dict() | {"more": "x"}]},
        {"rules": [PASSED.to_dict() | {"values": 1.5}]},
        {"rules": [PASSED.to_dict() | {"says": None}]},
        {"rules": None},
        {"categories": [1]},
        {"checked_at": "yesterday"},
        {"suite": None},
    ],
)
def test_anything_else_is_refused(change: dict) -> None:
    with pytest.raises(InputError):
        ContractOutcome.from_dict(outcome(PASSED).to_dict() | change)


def test_something_missing_is_refused() -> None:
    whole = outcome(PASSED).to_dict()
    for name in set(whole) - {"outcome"}:
        with pytest.raises(InputError):
            ContractOutcome.from_dict({key: value for key, value in whole.items() if key != name})
