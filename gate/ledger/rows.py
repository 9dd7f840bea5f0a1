"""Reads and inserts many rows at once, past SQLAlchemy, which handles a row for longer than the database does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, CursorResult, LargeBinary, Select, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Integer

_TOGETHER = 2000  # keys looked up with one statement
_FEW = 50  # rows for which asking whether COPY is allowed costs more than it brings

Row = tuple[Any, ...]


def looked_up(
    connection: Connection, key: Column[Any], value: Column[Any], wanted: Sequence[Any], kind: str | None = None
) -> dict[Any, Any]:
    """Return what stands under each of many keys, those that are not there left out; of one kind of rows if given."""
    found = dict[Any, Any]()
    for start in range(0, len(wanted), _TOGETHER):
        some = list(wanted[start : start + _TOGETHER])
        found.update(_among(connection, f"{key.name}, {value.name}", key, some, kind))
    return found


def present(connection: Connection, key: Column[Any], wanted: Collection[Any]) -> set[Any]:
    """Return which of many different keys are there; usually all are, and then counting is enough."""
    found, every = set[Any](), list(wanted)
    for start in range(0, len(every), _TOGETHER):
        some = every[start : start + _TOGETHER]
        if _among(connection, "count(*)", key, some) == [(len(some),)]:
            found.update(some)
        else:
            found.update(key for (key,) in _among(connection, key.name, key, some))
    return found


def _among(
    connection: Connection, what: str, key: Column[Any], some: list[Any], kind: str | None = None
) -> list[tuple[Any, ...]]:
    """Select from the rows of some keys; written out, for SQLAlchemy handles a key for longer than it is searched."""
    query = f"SELECT {what} FROM {key.table.name} WHERE {key.name}"  # noqa: S608  our own names
    also = [] if kind is None else [kind]
    if connection.dialect.name == "sqlite":
        query += f" IN ({','.join('?' * len(some))})" + (" AND kind = ?" if also else "")
        return _fetched(connection.exec_driver_sql(query, (*some, *also)))
    query += " = ANY(%s)" + (" AND kind = %s" if also else "")
    return _fetched(connection.exec_driver_sql(query, (some, *also)))


def plain_rows(connection: Connection, query: Select[Any]) -> list[tuple[Any, ...]]:
    """Return all rows of a query as the driver gives them: SQLAlchemy's own would cost as much as the reading."""
    return _fetched(connection.execute(query))


def _fetched(result: CursorResult[Any]) -> list[tuple[Any, ...]]:
    connection, cursor = result.connection, result.cursor
    assert cursor is not None, "it returns rows"
    with as_sqlalchemy(connection, "fetch"):
        rows: list[Any] = list(cursor.fetchall())
    result.close()
    return rows


@contextmanager
def as_sqlalchemy(connection: Connection, statement: str) -> Iterator[None]:
    """Raise the driver's errors as SQLAlchemy does, where we go past it."""
    errors = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except errors as error:
        raise DBAPIError.instance(statement, None, error, errors, hide_parameters=True) from None


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert many rows, each with all columns in the table's order: COPY where the server allows it."""
    if not rows:
        return
    names, spots = ", ".join(column.name for column in table.columns), ", ".join(["?"] * len(table.columns))
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({spots})", list(rows))  # noqa: S608
    else:
        _insert_into_postgres(connection, table, names, rows)


def _insert_into_postgres(connection: Connection, table: Table, names: str, rows: Sequence[Row]) -> None:
    """Insert many rows.

    A role that row level security applies to may not COPY (SQLSTATE 0A000); its rows, and few rows, come as one array
    per column.
    """
    types = [_type(column.type) for column in table.columns]
    if len(rows) < _FEW or connection.exec_driver_sql("SELECT row_security_active(%s)", (table.name,)).scalar():
        arrays = ", ".join(f"%b::{kind}[]" for kind in types)
        query = f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays})"  # noqa: S608  our own names
        connection.exec_driver_sql(query, tuple(list(column) for column in zip(*rows, strict=True)))
        return
    statement = f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)"
    cursor: Any = connection.connection.cursor()
    with as_sqlalchemy(connection, statement), cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _type(kind: object) -> str:
    if isinstance(kind, Integer):
        return "int8" if kind.__visit_name__ == "big_integer" else "int4"
    return "bytea" if isinstance(kind, LargeBinary) else "text"
