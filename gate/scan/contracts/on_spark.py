"""Checks contracts on Spark: executors read the columns that rules are about, and Great Expectations asks there."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from gate.domain.contract import ContractOutcome
from gate.domain.dataset import Dataset
from gate.scan.contracts.batches import Batches, add_frame, context
from gate.scan.contracts.rules import account_column, bind
from gate.scan.contracts.suite import great_expectations
from gate.scan.contracts.tally import NO_RULES, NO_TABLES, Tally
from gate.scan.formats import detect
from gate.scan.spark.cluster import Spark, computing, session
from gate.scan.spark.rows import column_rows, types_of


def check_on_spark(
    dataset: Dataset, words: tuple[str, ...], now: datetime, rules: Path | None, spark: Spark
) -> ContractOutcome:
    """Check the contracts of categories on files; see `checking.check_dataset_contract`.

    Raises:
        InputError: Great Expectations is not installed, or a rule cannot be read.
        DatasetError: missing, empty, unreadable, no such account column.
        CannotDecide: Spark failed.
    """
    account, layout = account_column(dataset), detect(dataset)
    if layout.format is None:
        return ContractOutcome(words, (), 0, now, note=NO_TABLES)
    with session(spark) as own, computing(dataset):
        types = types_of(layout, own)
        tally = Tally(bind(words, types, account, rules))
        if not tally.bounds:
            return ContractOutcome(words, (), 0, now, note=NO_RULES)
        gx = great_expectations()
        with column_rows(layout, {name: types[name] for name in tally.columns}, own) as frame, context(gx) as mine:
            tally.rows = frame.count()
            add_frame(tally, Batches(mine, "spark"), frame, account, now)
    return tally.outcome(words, now, gx.__version__)
