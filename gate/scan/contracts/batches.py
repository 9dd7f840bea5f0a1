"""Batches of Great Expectations and the context they live in; what a database's batch says of its table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from gate.errors import CannotDecide
from gate.scan.contracts.frames import Ready, Wanted, each_pandas, each_spark, ready_pandas, ready_spark
from gate.scan.contracts.rules import Bound
from gate.scan.contracts.suite import Column
from gate.scan.contracts.tally import Tally

_SQL = {
    "text": ("TEXT", "VARCHAR", "CHAR", "CHARACTER", "NVARCHAR", "NCHAR", "CLOB", "STRING"),
    "whole": ("INTEGER", "BIGINT", "SMALLINT"),
    "number": ("NUMERIC", "DECIMAL", "REAL", "FLOAT", "DOUBLE", "DOUBLE_PRECISION"),
    "moment": ("TIMESTAMP", "DATETIME", "DATE"),
    "list": ("ARRAY",),
}


@contextmanager
def context(gx: Any) -> Iterator[Any]:
    """Make a context that lives in memory and draws nothing on the terminal; the process' own one stands afterwards."""
    from great_expectations.data_context.data_context.context_factory import project_manager
    from great_expectations.exceptions.exceptions import DataContextRequiredError

    try:
        before = project_manager.get_current_project()
    except DataContextRequiredError:
        before = None
    try:
        own = gx.get_context(mode="ephemeral")
        own.variables.progress_bars = {"globally": False}
        yield own
    finally:
        if before is not None:  # a batch of `sql_table` needs one
            project_manager.set_project(before)


class Batches:
    """Makes batches of pandas or Spark frames."""

    def __init__(self, own: Any, engine: str) -> None:
        sources = own.data_sources
        source = sources.add_spark("frames") if engine == "spark" else sources.add_pandas("frames")
        self._all = source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("all")
        self.engine = engine

    def of(self, frame: Any) -> Any:
        """Return a frame as a batch."""
        return self._all.get_batch({"dataframe": frame})


def add_frame(tally: Tally, batches: Batches, frame: Any, account: str | None, now: datetime) -> None:
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


def sql_columns(batch: Any) -> dict[str, Column]:
    """Return what the table of a database's batch holds, by name.

    Raises:
        CannotDecide: the database failed.
    """
    return {column.name: _sql_column(column.type) for column in metric(batch, "BatchColumnTypes")}


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


def metric(batch: Any, name: str) -> Any:
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
