"""Counts rows by account in a database, byte for byte: a collation that takes "Acme" for "acme" hides an account."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from gate.errors import CannotDecide, DatasetError
from gate.gx.frames import arrow_accounts

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 100_000  # rows fetched at a time
_TEXT = frozenset({"text", "character varying", "character", "citext", "name"})
_INTEGERS = frozenset({"smallint", "integer", "bigint"})


def count_in_sql(engine: Any, batch: Any, column: str) -> pa.Table:
    """Return `account` and `n` of a batch in a database.

    SQLite and PostgreSQL group the rows themselves. Of any other database we do not know how it tells texts apart, so
    its rows come here one by one.

    Args:
        engine: GX's execution engine.
        batch: what to select from.
        column: the account column; it exists.

    Raises:
        DatasetError: accounts of mixed types, or of a type that names no account.
        CannotDecide: the database failed.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with engine.get_connection() as connection:
            match connection.dialect.name:
                case "sqlite":
                    return _sqlite(connection, batch, column)
                case "postgresql":
                    return _postgresql(connection, batch, column)
                case _:
                    return count_row_by_row(connection, batch, column)
    except SQLAlchemyError as error:  # its message may quote a row
        raise CannotDecide(
            f"the database could not count the batch's accounts: {type(error).__name__}", where="batch"
        ) from None


def count_row_by_row(connection: Any, batch: Any, column: str) -> pa.Table:
    """Return `account` and `n`, counted here.

    Raises:
        DatasetError: as `count_in_sql`.
    """
    import sqlalchemy as sa

    query = sa.select(_named(column)).select_from(batch).execution_options(yield_per=CHUNK)
    accounts: list[Any] = []
    rows: list[int] = []
    for part in connection.execute(query).partitions():
        values = [value for (value,) in part]
        _refuse_mixed(values, column)
        counted = Counter(values)
        accounts += counted
        rows += counted.values()
    return _table(accounts, rows, column)


def _sqlite(connection: Any, batch: Any, column: str) -> pa.Table:
    """Group by type as well: a column of SQLite holds any, and 1 equals 1.0 there."""
    import sqlalchemy as sa

    account = sa.collate(_named(column), "BINARY")
    return _grouped(connection, sa.select(account, sa.func.count()), (sa.func.typeof(account), account), batch, column)


def _postgresql(connection: Any, batch: Any, column: str) -> pa.Table:
    import sqlalchemy as sa

    named = _named(column)
    kind = connection.scalar(sa.select(sa.cast(sa.func.pg_typeof(named), sa.Text)).select_from(batch).limit(1))
    single = kind.removesuffix("[]") if kind else "text"
    if single not in _TEXT | _INTEGERS:
        raise DatasetError(
            f"its column {column!r} is of type {kind}, which names no account",
            where="batch",
            hint="write every account id as text",
        )
    account: Any = named
    if single in _TEXT:
        account = sa.cast(named, sa.ARRAY(sa.Text) if kind and kind.endswith("[]") else sa.Text)
        account = sa.type_coerce(account.op("COLLATE")(sa.literal_column('"C"')), account.type)
    return _grouped(connection, sa.select(account, sa.func.count()), (sa.literal_column("1"),), batch, column)


def _grouped(connection: Any, query: Any, keys: tuple[Any, ...], batch: Any, column: str) -> pa.Table:
    query = query.select_from(batch).group_by(*keys).execution_options(yield_per=CHUNK)
    found = [(account, rows) for part in connection.execute(query).partitions() for account, rows in part]
    return _table([account for account, _ in found], [rows for _, rows in found], column)


def _table(accounts: list[Any], rows: list[int], column: str) -> pa.Table:
    import pyarrow as pa

    _refuse_mixed(accounts, column)
    return pa.table({"account": arrow_accounts(accounts, column), "n": pa.array(rows, pa.int64())})


def _named(column: str) -> Any:
    import sqlalchemy as sa

    return sa.column(sa.sql.quoted_name(column, quote=True))


def _refuse_mixed(values: list[Any], column: str) -> None:
    """Refuse values of several types: 1 and true, which Python takes for equal, or text and bytes."""
    if len({type(value) for value in values} - {type(None)}) > 1:
        raise DatasetError(
            f"its column {column!r} holds accounts of mixed types",
            where="batch",
            hint="write every account id as text",
        )
