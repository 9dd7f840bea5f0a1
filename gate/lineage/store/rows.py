"""Small helpers for statements with many rows, alike on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Executable, Table, and_, bindparam, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from gate.lineage.store.among import among

Row = Mapping[str, Any]  # column → value

_T = TypeVar("_T")


def chunks(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield the items in lists of at most `size`."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def rows_with(connection: Connection, table: Table, column: str, values: Iterable[Any]) -> Iterator[Any]:
    """Yield the rows whose column has one of these values."""
    yield from connection.execute(select(table).where(among(table.c[column], values))).all()


def next_id(connection: Connection, table: Table) -> int:
    """Return the id after the greatest one; the writer is alone."""
    return int(connection.execute(select(func.max(table.c.id))).scalar() or 0) + 1


def insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows that are not there yet."""
    upsert(connection, table, rows, new=True)


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    least: tuple[str, ...] = (),
    both: tuple[str, ...] = (),
    either: tuple[str, ...] = (),
    new: bool = False,
) -> None:
    """Insert rows; where one stands already keep the least, the conjunction or the disjunction of these columns.

    Args:
        rows: with the same columns each.
        new: none of them stands already.
    """
    if rows:
        statement = _statement(connection.dialect.name, table, tuple(rows[0]), least, both, either, new)
        many(connection, statement, rows)


def many(connection: Connection, statement: Executable, rows: Iterable[Row]) -> None:
    """Execute a statement for every row, past what SQLAlchemy does for each of them: our types do not need it."""
    sql, pick = _compiled(statement, connection.dialect)
    given = list(map(pick, rows))
    if given:
        connection.exec_driver_sql(sql, given)


@lru_cache(maxsize=100)
def _compiled(statement: Any, dialect: Dialect) -> tuple[str, Callable[[Row], Any]]:
    """Return a statement's text, and what makes its values of a row: named ones, or in order where they go by place."""
    compiled = statement.compile(dialect=dialect)
    names = tuple(compiled.positiontup or ())
    if not names:
        return str(compiled), dict
    one, several = (lambda row: (row[names[0]],)), itemgetter(*names)
    return str(compiled), several if len(names) > 1 else one


@cache
def _statement(
    dialect: str,
    table: Table,
    columns: tuple[str, ...],
    least: tuple[str, ...],
    both: tuple[str, ...],
    either: tuple[str, ...],
    new: bool,
) -> Any:
    is_sqlite = dialect == "sqlite"
    statement: Any = (sqlite.insert if is_sqlite else postgresql.insert)(table)
    statement = statement.values({name: bindparam(name) for name in columns})
    if new:
        return statement
    said, smaller = statement.excluded, func.min if is_sqlite else func.least
    values: dict[str, Any] = {name: smaller(table.c[name], said[name]) for name in least}
    values |= {name: and_(table.c[name], said[name]) for name in both}
    values |= {name: or_(table.c[name], said[name]) for name in either}
    keys = [column.name for column in table.primary_key]
    if values:
        return statement.on_conflict_do_update(index_elements=keys, set_=values)
    return statement.on_conflict_do_nothing(index_elements=keys)
