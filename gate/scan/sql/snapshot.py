"""One snapshot of a database: everything said of a table is said of the same rows, whatever others write meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gate.domain.dataset import Dataset
from gate.errors import CannotDecide, DatasetError
from gate.scan.sql.address import Address, address_of, login_for

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa
    from ibis import Table

# How values are written as text, whatever server, database and role are set to; and rows that a policy of the table
# would hide from this role are an error: the job may run under a role that sees them.
_SETTINGS = {
    "row_security": "off",
    "search_path": "pg_catalog",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "quote_all_identifiers": "off",
}
_BATCH = 100_000  # rows fetched at a time
_KINDS = {
    "v": "a view",
    "f": "a foreign table",
    "S": "a sequence",
    "c": "a type",
    "i": "an index",
    "t": "a TOAST table",
}
_RELATION = """
WITH RECURSIVE parts AS (
    SELECT c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s
    UNION ALL
    SELECT c.oid, c.relkind
    FROM parts JOIN pg_inherits i ON i.inhparent = parts.oid JOIN pg_class c ON c.oid = i.inhrelid
)
SELECT oid::bigint, relkind::text FROM parts"""
_COLUMNS = """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), coalesce(e.typname || '[]', b.typname)::text,
    coalesce(l.collisdeterministic, true)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
LEFT JOIN pg_type e ON e.oid = b.typelem AND b.typsubscript = 'array_subscript_handler'::regproc
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""


@dataclass(frozen=True, slots=True)
class SqlColumn:
    """A column.

    Attributes:
        kind: its type as PostgreSQL writes it, with length and precision.
        base: its type's name in the catalogue, or that of its domain; `[]` after that of an array's elements.
        exact: text is equal only where its bytes are.
    """

    kind: str
    base: str
    exact: bool


@dataclass(frozen=True, slots=True)
class SqlSnapshot:
    """A table as it is in one transaction.

    Attributes:
        con: in that transaction.
        columns: by name, in their order.
    """

    dataset: Dataset
    address: Address
    con: psycopg.Connection
    columns: Mapping[str, SqlColumn]

    def table(self) -> Table:
        """Return the table as Ibis knows it, in this transaction."""
        import ibis

        return ibis.postgres.from_connection(self.con).table(self.address.table, database=self.address.schema)

    def export(self) -> str:
        """Return the name by which other transactions of the database join this snapshot, as long as it is open."""
        found = self.con.execute("SELECT pg_export_snapshot()").fetchone()
        assert found is not None, "a function returns a row"
        return str(found[0])

    def arrow(self, rows: Table) -> pa.Table:
        """Return rows of that table, or what is counted of them, fetched by and by.

        Raises:
            DatasetError: Arrow has no place for a value, such as an array of arrays.
        """
        import pyarrow as pa

        schema = rows.schema().to_pyarrow()
        batches = []
        with self.con.cursor(name="gate_rows") as cursor:  # Ibis' own reader leaves its cursor open when it fails
            cursor.execute(rows.get_backend().compile(rows))
            while found := cursor.fetchmany(_BATCH):
                try:
                    columns = [
                        pa.array(values, field.type)
                        for values, field in zip(zip(*found, strict=True), schema, strict=True)
                    ]
                except (pa.ArrowException, TypeError):
                    hint = "keep one value, or a list of single ones, to a field"
                    raise DatasetError("holds values that fit no column", where=self.dataset.uri, hint=hint) from None
                batches.append(pa.record_batch(columns, schema))
        return pa.Table.from_batches(batches, schema)


def connected_again(table: SqlSnapshot) -> psycopg.Connection:
    """Connect to a table's database once more, outside of its transaction: SET TRANSACTION SNAPSHOT joins that.

    Values are written the same way, and names without a schema are those of the table's.
    """
    from psycopg import sql

    con = _connected(table.address)
    schema = sql.Identifier(table.address.schema).as_string(con)
    for name, value in {**_SETTINGS, "search_path": schema}.items():
        con.execute("SELECT set_config(%s, %s, false)", (name, value))
    con.commit()
    return con


@contextmanager
def snapshot(dataset: Dataset) -> Iterator[SqlSnapshot]:
    """Open a table in a transaction of its own: REPEATABLE READ, read only.

    Raises:
        InputError: the URI names no table.
        DatasetError: there is no such table, or what has the name is none.
        CannotDecide: psycopg is missing, the database cannot be reached, or refuses to be read.
    """
    address = address_of(dataset)
    with _failing(dataset), _connected(address) as con, con.transaction():
        for name, value in _SETTINGS.items():
            con.execute("SELECT set_config(%s, %s, true)", (name, value))
        yield SqlSnapshot(dataset, address, con, _columns(con, address, dataset))


def _connected(address: Address) -> psycopg.Connection:
    import psycopg

    words: dict[str, Any] = {"connect_timeout": 10, "application_name": "consent-gate", **login_for(address)}
    words |= {"host": address.host, "port": address.port, "dbname": address.database, "client_encoding": "utf8"}
    con = psycopg.connect(**words)
    con.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    con.read_only = True
    return con


def _columns(con: psycopg.Connection, address: Address, dataset: Dataset) -> dict[str, SqlColumn]:
    parts = con.execute(_RELATION, (address.schema, address.table)).fetchall()
    if not parts:
        raise DatasetError("does not exist, or may not be seen by this user", where=dataset.uri, hint="check the name")
    for _, kind in parts:
        if kind not in ("r", "p", "m"):
            raise DatasetError(
                f"is, or has as a part, {_KINDS.get(kind, 'no table')}",
                where=dataset.uri,
                hint="name an ordinary, partitioned or materialised table: others may change within a snapshot",
            )
    rows = con.execute(_COLUMNS, (parts[0][0],)).fetchall()
    return {name: SqlColumn(kind, base, exact) for name, kind, base, exact in rows}


@contextmanager
def _failing(dataset: Dataset) -> Iterator[None]:
    """Say that the database failed, by its error's code alone: the words may quote a row."""
    try:
        import pandas  # noqa: F401 Ibis needs it
        import psycopg
    except ImportError:
        hint = 'pip install "airflow-provider-consent-gate[sql]"'
        raise CannotDecide("psycopg or pandas is not installed", where=dataset.uri, hint=hint) from None
    try:
        yield
    except UnicodeDecodeError:
        raise DatasetError("holds text that is not UTF-8", where=dataset.uri) from None
    except psycopg.Error as error:
        raise CannotDecide(_what(error), where=dataset.uri, hint="see the database's log") from None


def _what(error: Any) -> str:
    match error.sqlstate:
        case None:
            return "its database cannot be reached, or lets nobody in with this login"
        case "42501":
            return "may not be read whole by this user: a privilege is missing, or a policy of the table hides rows"
        case state:
            return f"its database failed: SQLSTATE {state}"
