"""Checks contracts on files in this process, some rows at a time: memory does not grow with the data."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from gate.domain.contract import ContractOutcome
from gate.domain.dataset import Dataset
from gate.scan.contracts.batches import Batches, add_frame, context
from gate.scan.contracts.rules import account_column, bind
from gate.scan.contracts.suite import great_expectations
from gate.scan.contracts.tables import open_tables
from gate.scan.contracts.tally import NO_RULES, NO_TABLES, Tally

ROWS = 250_000  # in memory at a time


def check_files(dataset: Dataset, words: tuple[str, ...], now: datetime, rules: Path | None) -> ContractOutcome:
    """Check the contracts of categories on files; see `checking.check_dataset_contract`.

    Raises:
        InputError: Great Expectations is not installed, or a rule cannot be read.
        DatasetError: missing, empty, unreadable, no such account column.
    """
    account = account_column(dataset)
    with open_tables(dataset) as opened:
        if opened is None:
            return ContractOutcome(words, (), 0, now, note=NO_TABLES)
        tally = Tally(bind(words, opened.names, account, rules))
        if not tally.bounds:
            return ContractOutcome(words, (), 0, now, note=NO_RULES)
        gx = great_expectations()
        with context(gx) as own:
            batches = Batches(own, "pandas")
            for frame in opened.frames(tally.columns, ROWS):
                tally.rows += len(frame)
                add_frame(tally, batches, frame, account, now)
    return tally.outcome(words, now, gx.__version__)
