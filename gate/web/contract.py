"""What a page shows of data contracts: the rules, those first that somebody must look at, with their marks."""

from __future__ import annotations

from dataclasses import dataclass

from gate.domain.contract import ContractOutcome, Outcome, RuleOutcome, Severity

MARKS = {Outcome.ERRORED: "open", Outcome.FAILED: "bad", Outcome.PASSED: "good"}
"""How an outcome looks; what needs somebody first."""


@dataclass(frozen=True, slots=True)
class MarkedRule:
    """A rule with its mark: `good`, `warn` (it failed and only warns), `bad` or `open` (it could not be checked)."""

    rule: RuleOutcome
    mark: str


def marked_rules(outcome: ContractOutcome) -> list[MarkedRule]:
    """Return the rules, errored ones first, then those that failed."""
    order = list(MARKS)
    rules = sorted(outcome.rules, key=lambda rule: (order.index(rule.outcome), _warns(rule)))
    return [MarkedRule(rule, "warn" if _warns(rule) else MARKS[rule.outcome]) for rule in rules]


def contract_counts(outcome: ContractOutcome) -> list[tuple[str, str, int]]:
    """Return mark, word and number of every outcome there is."""
    return [(mark, found.value, outcome.count(found)) for found, mark in MARKS.items() if outcome.count(found)]


def _warns(rule: RuleOutcome) -> bool:
    return rule.outcome is Outcome.FAILED and rule.severity is Severity.WARNING
