"""Shows how the data contracts of a dataset's categories hold: one line per rule and column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gate.cli.output import say, say_json, table
from gate.domain.contract import Outcome

if TYPE_CHECKING:
    from gate.domain.contract import ContractOutcome, RuleOutcome
    from gate.domain.dataset import Dataset

CODES = {None: 0, Outcome.PASSED: 0, Outcome.FAILED: 1, Outcome.ERRORED: 4}


def check_contract(dataset: Dataset, categories: Sequence[str], *, as_json: bool) -> int:
    """Check the contracts, print the outcomes, and return the exit code.

    Raises:
        InputError: an unknown category, or Great Expectations is not installed.
        DatasetError: the dataset cannot be read.
    """
    from gate.domain.instants import utc_now
    from gate.scan.contracts.checking import check_dataset_contract
    from gate.service.tagging import parse_categories

    words = sorted(category.value for category in parse_categories(categories))
    found = check_dataset_contract(dataset, words, utc_now())
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
    said = [f"{rule.unexpected:,} do not fit"] if rule.unexpected else []
    said += [f"{rule.empty:,} empty"] if rule.empty else []
    warned = ["only a warning"] if rule.outcome is Outcome.FAILED and rule.severity == "warning" else []
    looked = [f"of {rule.values:,}"] if said else [f"{rule.values:,} values"] if rule.values else ["the column's type"]
    return " ".join([", ".join(said), *looked, *warned]).strip()
