"""What only PostgreSQL has: rows by COPY, and by arrays where row security forbids COPY."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, LargeBinary, Table
from sqlalchemy.types import Integer

from gate.ledger.database import as_sqlalchemy

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
    with as_sqlalchemy(connection, statement), _cursor(connection) as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _type(kind: object) -> str:
    if isinstance(kind, Integer):
        return "int8" if kind.__visit_name__ == "big_integer" else "int4"
    return "bytea" if isinstance(kind, LargeBinary) else "text"


def _cursor(connection: Connection) -> Any:
    return connection.connection.cursor()
