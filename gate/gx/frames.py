"""Counts rows by account in a pandas or Spark data frame; errors never quote a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gate.errors import CannotDecide, DatasetError
from gate.scan.readers import account_kind

if TYPE_CHECKING:
    import pyarrow as pa


def count_in_pandas(frame: Any, column: str) -> pa.Table:
    """Return `account` and `n` of a pandas data frame; the rows are added up later, where lists can be, too.

    Raises:
        DatasetError: accounts of mixed types.
    """
    import pyarrow as pa

    accounts = arrow_accounts(frame[column], column)
    return pa.table({"account": accounts, "n": pa.repeat(pa.scalar(1, pa.int64()), len(accounts))})


def count_in_spark(frame: Any, column: str) -> pa.Table:
    """Return `account` and `n` of a Spark data frame: one aggregation, whose result comes here.

    Raises:
        DatasetError: accounts of a type that names no account.
        CannotDecide: Spark failed.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    name = "`" + column.replace("`", "``") + "`"
    try:
        accounts = frame.select(frame[name].alias("account"))
        kind = account_kind(accounts.limit(0).toArrow().schema.field("account").type, column, "batch")
        # as plain text, for a column may be compared by a collation, which takes "Acme" for "acme"
        text = accounts["account"].cast("array<string>" if kind.startswith("lists") else "string")
        return accounts.groupBy(text.alias("account")).count().toArrow().rename_columns(["account", "n"])
    except (PySparkException, Py4JError):
        raise CannotDecide("Spark could not count the batch's accounts", where="batch", hint="see its log") from None


def arrow_accounts(values: Any, column: str) -> Any:
    """Return accounts as an Arrow array, NaN as null.

    Raises:
        DatasetError: they are of mixed types, or of one that Arrow does not know.
    """
    import pyarrow as pa

    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise DatasetError(
            f"its column {column!r} holds accounts of mixed types, or of one that names no account",
            where="batch",
            hint="write every account id as text",
        ) from None
