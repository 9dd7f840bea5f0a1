"""Checks contracts by Great Expectations on a frame, a database's table, or a dataset: errored is never passed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from gate.domain.contract import ContractOutcome
from gate.domain.dataset import Dataset
from gate.errors import CannotDecide, InputError
from gate.scan.contracts.batches import Batches, add_frame, context, metric, sql_columns
from gate.scan.contracts.on_files import check_files
from gate.scan.contracts.on_spark import check_on_spark
from gate.scan.contracts.on_table import check_table
from gate.scan.contracts.rules import bind
from gate.scan.contracts.suite import great_expectations
from gate.scan.contracts.tally import Tally
from gate.scan.spark.cluster import Spark
from gate.scan.sql.address import is_table

if TYPE_CHECKING:
    from gate.scan.sql.snapshot import SqlSnapshot

Held: TypeAlias = "Dataset | SqlSnapshot"


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
        columns = sql_columns(held)
        tally = Tally(bind(words, columns, account, rules))
        tally.rows = int(metric(held, "BatchRowCount"))
        tally.add(held, columns, now, engine)
        return tally.outcome(words, now, gx.__version__)
    tally = Tally(bind(words, map(str, held.columns), account, rules))
    with context(gx) as own, _failing() if engine == "spark" else nullcontext():
        tally.rows = len(held) if engine == "pandas" else held.count()
        add_frame(tally, Batches(own, engine), held, account, now)
    return tally.outcome(words, now, gx.__version__)


def check_dataset_contract(
    dataset: Dataset,
    categories: Iterable[str],
    now: datetime,
    rules: Path | None = None,
    *,
    spark: Spark | None = None,
) -> ContractOutcome:
    """Check the contracts of the categories on every row of a dataset's tables; nothing is recorded.

    Only the columns that rules are about are read: of files 250,000 rows at a time, into pandas, or by Spark's
    executors; a table of PostgreSQL is checked where it is. CSV is text, which counts as numbers or moments where it
    reads as such.

    Args:
        dataset: what to check; an account column it names is checked, another locator is not a column's matter.
        categories: category words.
        now: the instant that ages are measured from.
        rules: a folder of categories' files instead of those shipped.
        spark: read files on its executors, and have it check them.

    Raises:
        InputError: Great Expectations is not installed, or a rule cannot be read.
        DatasetError: missing, empty, unreadable, no such account column.
        CannotDecide: the engine failed.
    """
    from gate.scan.sql.snapshot import snapshot

    with snapshot(dataset) if is_table(dataset) else nullcontext(dataset) as held:
        return check_held_contract(held, categories, now, rules, spark=spark)


def check_held_contract(
    held: Held, categories: Iterable[str], now: datetime, rules: Path | None = None, *, spark: Spark | None = None
) -> ContractOutcome:
    """Check the contracts on what stays as it is meanwhile: a table's snapshot, or files at hand; as above."""
    words = tuple(sorted(set(categories)))
    if not isinstance(held, Dataset):
        return check_table(held, words, now, rules)
    if spark is not None:
        return check_on_spark(held, words, now, rules, spark)
    return check_files(held, words, now, rules)


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

    with context(gx) as own:
        sources = own.data_sources
        special = {"sqlite": sources.add_sqlite, "postgresql": sources.add_postgres}
        add = special.get(re.split(r"\W", url)[0], sources.add_sql)
        try:
            asset = add("tables", connection_string=url).add_table_asset(table, table_name=table)
        except TestConnectionError:  # its words may hold a password
            raise InputError("is no table that can be reached", where=table[:100], hint="check URL and name") from None
        return asset.add_batch_definition_whole_table("all").get_batch()


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


@contextmanager
def _failing() -> Iterator[None]:
    """Say that Spark failed, without its words, which may quote a value."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError):
        raise CannotDecide("Spark could not read the frame", where="batch", hint="see its log") from None
