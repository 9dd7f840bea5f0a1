"""Checks contracts on a table of PostgreSQL by SQL there, in the snapshot that the table's digest is of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from gate.domain.contract import ContractOutcome
from gate.errors import CannotDecide
from gate.scan.contracts.batches import context, metric, sql_columns
from gate.scan.contracts.rules import Bound, account_column, bind
from gate.scan.contracts.suite import Column, great_expectations
from gate.scan.contracts.tally import NO_RULES, Tally
from gate.scan.sql.snapshot import SqlSnapshot, connected_again

_SHARED = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_EACH = "SELECT CAST(one AS text) AS {column} FROM {table} LEFT JOIN LATERAL unnest({column}) AS one ON true"


def check_table(table: SqlSnapshot, words: tuple[str, ...], now: datetime, rules: Path | None) -> ContractOutcome:
    """Check the contracts of categories on a table as it is in a snapshot; see `checking.check_dataset_contract`.

    Raises:
        InputError: Great Expectations is not installed, or a rule cannot be read.
        CannotDecide: the database failed.
    """
    account = account_column(table.dataset)
    tally = Tally(bind(words, table.columns, account, rules))
    if not tally.bounds:
        return ContractOutcome(words, (), 0, now, note=NO_RULES)
    gx = great_expectations()
    with context(gx) as own, _asked(table), _source(own, table) as source:
        asset = source.add_table_asset("table", table_name=f'"{table.address.table}"')  # whatever the name, as it is
        batch = asset.add_batch_definition_whole_table("all").get_batch()
        columns, tally.rows = sql_columns(batch), int(metric(batch, "BatchRowCount"))
        if account is None or columns.get(account, Column("text")).family != "list":
            tally.add(batch, columns, now, "sql")
        else:
            each = source.add_query_asset("accounts", query=_each(table, account))
            single = each.add_batch_definition_whole_table("all").get_batch()
            tally.add(single, {account: Column("text")}, now, "sql", _is_account)
            tally.add(batch, columns, now, "sql", lambda bound: not _is_account(bound))
    return tally.outcome(words, now, gx.__version__)


def _is_account(bound: Bound) -> bool:
    return bound.rule.kind == "account"


@contextmanager
def _asked(table: SqlSnapshot) -> Iterator[None]:
    """Say that the database could not be asked, without words that may quote a value."""
    from great_expectations.datasource.fluent.interfaces import TestConnectionError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (TestConnectionError, SQLAlchemyError):
        hint = "a pooler between here and it must hand a session's transactions to one server"
        raise CannotDecide("its contract could not be asked", where=table.dataset.uri, hint=hint) from None


@contextmanager
def _source(own: Any, table: SqlSnapshot) -> Iterator[Any]:
    """Give GX the database: whatever it asks, on connections of its own, is asked of the same snapshot."""
    from sqlalchemy import event

    shared = table.export()

    def share(connection: Any) -> None:
        connection.exec_driver_sql(_SHARED)
        connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{shared}'")

    kwargs = {"creator": lambda: connected_again(table)}
    source = own.data_sources.add_postgres(
        "tables", connection_string="postgresql+psycopg://gate@snapshot/", kwargs=kwargs
    )
    engines = [source.get_engine(), source.get_execution_engine().engine]
    for engine in engines:
        event.listen(engine, "begin", share)
    try:
        yield source
    finally:
        for engine in engines:
            engine.dispose()


def _each(table: SqlSnapshot, account: str) -> str:
    """Return the query for one row per account of lists; an empty list or none at all is one null."""
    from psycopg import sql

    name = sql.Identifier(table.address.schema, table.address.table)
    query = sql.SQL(_EACH).format(column=sql.Identifier(account), table=name).as_string(table.con)
    return query.replace(":", "\\:")  # SQLAlchemy would take a name after it for a parameter
