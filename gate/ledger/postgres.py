"""What only PostgreSQL has: rows by COPY, and by arrays where row security forbids COPY."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, LargeBinary, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Integer

Row = tuple[Any, ...]


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert many rows, each with all columns in the table's order.

    A role that row level security applies to may not COPY (SQLSTATE 0A000); its rows come as one array per column.
    """
    names = ", ".join(column.name for column in table.columns)
    types = [_type(column.type) for column in table.columns]
    secured = connection.exec_driver_sql("SELECT row_security_active(%s)", (table.name,)).scalar()
    if secured:
        arrays = ", ".join(f"%b::{kind}[]" for kind in types)
        query = f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays})"  # noqa: S608  our own names
        connection.exec_driver_sql(query, tuple(list(column) for column in zip(*rows, strict=True)))
        return
    statement = f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)"
    with _as_sqlalchemy(statement), _cursor(connection) as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _type(kind: object) -> str:
    if isinstance(kind, Integer):
        return "int8" if kind.__visit_name__ == "big_integer" else "int4"
    return "bytea" if isinstance(kind, LargeBinary) else "text"


def _cursor(connection: Connection) -> Any:
    return connection.connection.cursor()


@contextmanager
def _as_sqlalchemy(statement: str) -> Iterator[None]:
    """Raise the driver's errors as SQLAlchemy does: this statement goes past it."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise DBAPIError.instance(statement, None, error, psycopg.Error, hide_parameters=True) from None
