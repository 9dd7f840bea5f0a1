"""Checks contracts by Great Expectations on a frame, a database's table, or a dataset: errored is never passed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

from gate.domain.contract import ContractOutcome
from gate.domain.dataset import Dataset
from gate.errors import CannotDecide, InputError
from gate.scan.contracts.frames import Ready, Wanted, each_pandas, each_spark, ready_pandas, ready_spark
from gate.scan.contracts.rules import Bound, bind
from gate.scan.contracts.suite import Column, great_expectations
from gate.scan.contracts.tables import open_tables
from gate.scan.contracts.tally import NO_RULES, Tally

ROWS = 250_000  # of a dataset that are in memory at a time
NO_TABLES = "its files are no tables of one format"
_SQL = {
    "text": ("TEXT", "VARCHAR", "CHAR", "CHARACTER", "NVARCHAR", "NCHAR", "CLOB", "STRING"),
    "whole": ("INTEGER", "BIGINT", "SMALLINT"),
    "number": ("NUMERIC", "DECIMAL", "REAL", "FLOAT", "DOUBLE", "DOUBLE_PRECISION"),
    "moment": ("TIMESTAMP", "DATETIME", "DATE"),
    "list": ("ARRAY",),
}


def check_contract(
    data: Any, categories: Iterable[str], account: str | None, now: datetime, rules: Path | None = None
) -> ContractOutcome:
    """Check the contracts of the categories on data in its own engine; nothing is recorded.

    Args:
        data: a frame of pandas or Spark, or a batch of Great Expectations of either or of a database's table (see
            `sql_table`). In a frame, text that reads as numbers or ISO 8601 moments counts as such.
        categories: category words.
        account: the account column; `None`: accounts are named elsewhere.
        now: the instant that ages are measured from.
        rules: a folder of categories' files instead of those shipped.

    Raises:
        InputError: Great Expectations is not installed, the data is none of these, or a rule cannot be read.
        CannotDecide: the engine failed.
    """
    gx, words = great_expectations(), tuple(sorted(set(categories)))
    engine, held = _engine_of(data)
    if engine == "sql":
        columns = _sql_columns(held)
        tally = Tally(bind(words, columns, account, rules))
        tally.rows = int(_metric(held, "BatchRowCount"))
        tally.add(held, columns, now, engine)
        return tally.outcome(words, now, gx.__version__)
    tally = Tally(bind(words, map(str, held.columns), account, rules))
    with _context(gx) as context, _failing() if engine == "spark" else nullcontext():
        tally.rows = len(held) if engine == "pandas" else held.count()
        _add_frame(tally, _Batches(context, engine), held, account, now)
    return tally.outcome(words, now, gx.__version__)


def check_dataset_contract(
    dataset: Dataset, categories: Iterable[str], now: datetime, rules: Path | None = None
) -> ContractOutcome:
    """Check the contracts of the categories on every row of a dataset's tables; nothing is recorded.

    Only the columns that rules are about are read, 250,000 rows at a time. CSV is text, which counts as numbers or
    moments where it reads as such.

    Args:
        dataset: what to check; an account column it names is checked, another locator is not a column's matter.
        categories: category words.
        now: the instant that ages are measured from.
        rules: a folder of categories' files instead of those shipped.

    Raises:
        InputError: Great Expectations is not installed, or a rule cannot be read.
        DatasetError: missing, empty, unreadable, no such account column.
    """
    words = tuple(sorted(set(categories)))
    account = dataset.account.value if dataset.account.kind == "column" else None
    with open_tables(dataset) as opened:
        if opened is None:
            return ContractOutcome(words, (), 0, now, note=NO_TABLES)
        tally = Tally(bind(words, opened.names, account, rules))
        if not tally.bounds:
            return ContractOutcome(words, (), 0, now, note=NO_RULES)
        gx = great_expectations()
        with _context(gx) as context:
            batches = _Batches(context, "pandas")
            for frame in opened.frames(sorted({bound.column for bound in tally.bounds}), ROWS):
                tally.rows += len(frame)
                _add_frame(tally, batches, frame, account, now)
    return tally.outcome(words, now, gx.__version__)


def sql_table(url: str, table: str) -> Any:
    """Return a database's table as a batch that `check_contract` takes.

    Args:
        url: SQLAlchemy's, such as `sqlite:////data/app.db` or `postgresql+psycopg://…`.
        table: its name; which schema it is in, if not the default one, is the URL's matter.

    Raises:
        InputError: Great Expectations is not installed, or there is no such table.
    """
    gx = great_expectations()
    from great_expectations.datasource.fluent.interfaces import TestConnectionError

    with _context(gx) as context:
        sources = context.data_sources
        special = {"sqlite": sources.add_sqlite, "postgresql": sources.add_postgres}
        add = special.get(re.split(r"\W", url)[0], sources.add_sql)
        try:
            asset = add("tables", connection_string=url).add_table_asset(table, table_name=table)
        except TestConnectionError:  # its words may hold a password
            raise InputError("is no table that can be reached", where=table[:100], hint="check URL and name") from None
        return asset.add_batch_definition_whole_table("all").get_batch()


@contextmanager
def _context(gx: Any) -> Iterator[Any]:
    """Make a context that lives in memory and draws nothing on the terminal; the process' own one stands afterwards."""
    from great_expectations.data_context.data_context.context_factory import project_manager
    from great_expectations.exceptions.exceptions import DataContextRequiredError

    try:
        before = project_manager.get_current_project()
    except DataContextRequiredError:
        before = None
    try:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        yield context
    finally:
        if before is not None:  # a batch of `sql_table` needs one
            project_manager.set_project(before)


class _Batches:
    """Makes batches of frames."""

    def __init__(self, context: Any, engine: str) -> None:
        sources = context.data_sources
        source = sources.add_spark("frames") if engine == "spark" else sources.add_pandas("frames")
        self._all = source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("all")
        self.engine = engine

    def of(self, frame: Any) -> Any:
        return self._all.get_batch({"dataframe": frame})


def _engine_of(data: Any) -> tuple[str, Any]:
    """Return the data's engine, and its frame or, of a database, its batch."""
    import pandas as pd
    from great_expectations.datasource.fluent.interfaces import Batch

    held = getattr(data.data, "dataframe", data) if isinstance(data, Batch) else data
    if isinstance(held, pd.DataFrame):
        return "pandas", held
    if isinstance(held, Batch):
        return "sql", held
    if type(held).__module__.startswith("pyspark."):
        return "spark", held
    raise InputError(
        f"a {type(data).__name__} cannot be checked",
        where="data",
        hint="a pandas or Spark frame, or sql_table(URL, TABLE)",
    )


def _sql_columns(batch: Any) -> dict[str, Column]:
    return {column.name: _sql_column(column.type) for column in _metric(batch, "BatchColumnTypes")}


def _sql_column(kind: Any) -> Column:
    """Read a column's type: of some databases GX tells its text, of others SQLAlchemy's type."""
    if isinstance(kind, str):
        told = kind.upper()
        words = {"ARRAY"} if "[" in told else {re.split(r"\W", told)[0]}
        zoned = "WITH TIME ZONE" in told
    else:
        words = {one.__name__.upper() for one in type(kind).__mro__}
        zoned = bool(getattr(kind, "timezone", False))
    family = next((family for family, names in _SQL.items() if not words.isdisjoint(names)), "other")
    return Column(family, zoned, str(kind) if isinstance(kind, str) else "")


def _metric(batch: Any, name: str) -> Any:
    """Return one of GX's metrics of a whole batch.

    Raises:
        CannotDecide: the database failed.
    """
    from great_expectations import metrics
    from great_expectations.metrics.metric_results import MetricErrorResult

    found = batch.compute_metrics(getattr(metrics, name)())
    if isinstance(found, MetricErrorResult):
        raise CannotDecide("the database could not tell the table's columns and rows", where="batch")
    return found.value


@contextmanager
def _failing() -> Iterator[None]:
    """Say that Spark failed, without its words, which may quote a value."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError):
        raise CannotDecide("Spark could not read the frame", where="batch", hint="see its log") from None


def _add_frame(tally: Tally, batches: _Batches, frame: Any, account: str | None, now: datetime) -> None:
    """Validate a frame; lists of accounts are a part of their own, with one row for each account."""
    make, each = (ready_spark, each_spark) if batches.engine == "spark" else (ready_pandas, each_pandas)
    ready: Ready = make(frame, _wanted(tally.bounds))
    if account is None or ready.columns.get(account, Column("text")).family != "list":
        tally.add(batches.of(ready.frame), ready.columns, now, batches.engine)
        return
    single: Ready = make(each(ready.frame, account), {account: ()})
    tally.add(batches.of(single.frame), single.columns, now, batches.engine, lambda bound: bound.rule.kind == "account")
    tally.add(batches.of(ready.frame), ready.columns, now, batches.engine, lambda bound: bound.rule.kind != "account")


def _wanted(bounds: Iterable[Bound]) -> Wanted:
    wanted: dict[str, set[str]] = {}
    for bound in bounds:
        families = wanted.setdefault(bound.column, set())
        match bound.rule.kind:
            case "range":
                families.add("number")
            case "time":
                families.add("moment")
            case "type":
                families.add("number" if bound.rule.family == "whole" else bound.rule.family)
    return wanted
