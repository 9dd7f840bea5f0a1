"""Shows how the data contracts of a dataset's categories hold: one line per rule and column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gate.cli.output import say, say_json, table
from gate.domain.contract import Outcome, Severity

if TYPE_CHECKING:
    from gate.domain.contract import ContractOutcome, RuleOutcome
    from gate.domain.dataset import Dataset
    from gate.scan.spark.cluster import Spark

CODES = {None: 0, Outcome.PASSED: 0, Outcome.FAILED: 1, Outcome.ERRORED: 4}


def check_contract(
    dataset: Dataset, categories: Sequence[str], rules: Path | None, spark: Spark | None, *, as_json: bool
) -> int:
    """Check the contracts, print the outcomes, and return the exit code.

    Raises:
        InputError: an unknown category, a rule that cannot be read, or Great Expectations is not installed.
        DatasetError: the dataset cannot be read.
        CannotDecide: the engine failed.
    """
    from gate.domain.instants import utc_now
    from gate.scan.contracts.checking import check_dataset_contract
    from gate.service.tagging import parse_categories

    words = sorted(category.value for category in parse_categories(categories))
    found = check_dataset_contract(dataset, words, utc_now(), rules, spark=spark)
    if as_json:
        say_json(found.to_dict())
    else:
        _show(found)
    return CODES[found.outcome]


def _show(found: ContractOutcome) -> None:
    if not found.rules:
        say(f"nothing to check: {found.note}")
        return
    table(
        ["outcome", "category", "rule", "column", "found", "what must hold"],
        [[rule.outcome.value, rule.category, rule.rule, rule.column, _found(rule), rule.says] for rule in found.rules],
    )
    counts = ", ".join(f"{found.count(outcome)} {outcome.value}" for outcome in Outcome)
    say(f"{counts}   ({found.rows:,} rows, Great Expectations {found.gx}, contract {found.suite})")


def _found(rule: RuleOutcome) -> str:
    """Say in counts what was found."""
    if rule.error:
        return rule.error
    odd = [f"{rule.unexpected:,} do not fit"] if rule.unexpected else []
    odd += [f"{rule.empty:,} empty"] if rule.empty else []
    looked = f"{rule.values:,} values" if rule.values else "the column's type"
    said = f"{', '.join(odd)} of {rule.values:,}" if odd else looked
    warns = rule.outcome is Outcome.FAILED and rule.severity is Severity.WARNING
    return f"{said}, only a warning" if warns else said
