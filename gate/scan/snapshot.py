"""A consent snapshot as the engines read it: who is in which group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gate.errors import CannotDecide
from gate.scan.engine import literal

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis import Table
    from ibis.backends.duckdb import Backend

SnapshotFiles = str | Sequence[str] | None
"""Parquet with `account_id` (text) and `group` (int32); of several files each takes the place of accounts of those
before it. `None`: nothing is known of anybody."""


def open_snapshot(snapshot: SnapshotFiles, con: Backend) -> Table:
    """Return the snapshot as a table (account_id, group).

    Raises:
        CannotDecide: it cannot be read.
    """
    import duckdb
    import ibis

    name = ibis.util.gen_name("gate_snapshot")
    try:
        con.raw_sql(f"CREATE TEMP VIEW {name} AS {snapshot_query(snapshot)}")
    except duckdb.Error:
        raise unreadable() from None
    return con.table(name)


def read_snapshot(snapshot: SnapshotFiles) -> pa.Table:
    """Return account_id (string) and group (int64) of every account.

    Raises:
        CannotDecide: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    schema = pa.schema({"account_id": pa.string(), "group": pa.int64()})
    found = schema.empty_table()
    try:
        for file in _files(snapshot):
            newer = parquet.read_table(file, columns=schema.names, partitioning=None).cast(schema)
            older = pc.is_in(found["account_id"], value_set=newer["account_id"])
            found = pa.concat_tables([found.filter(pc.invert(older)), newer])
    except (pa.ArrowException, OSError):
        raise unreadable() from None
    return found


def snapshot_query(snapshot: SnapshotFiles) -> str:
    """Return SQL for the snapshot as a table (account_id, group)."""
    files = _files(snapshot)
    return _query(files) if files else 'SELECT NULL::VARCHAR AS account_id, 0 AS "group" WHERE false'


def unreadable() -> CannotDecide:
    """Return the error for a snapshot that cannot be read."""
    return CannotDecide("the consent snapshot cannot be read", hint="decide again; a new one is written")


def _files(snapshot: SnapshotFiles) -> list[str]:
    return [snapshot] if isinstance(snapshot, str) else list(snapshot or ())


def _query(files: Sequence[str]) -> str:
    """Return SQL for the accounts of all files, each as the last one that names it says."""
    *older, last = [
        f'SELECT account_id::VARCHAR AS account_id, "group"::INTEGER AS "group" '  # noqa: S608
        f"FROM read_parquet({literal(file)}, hive_partitioning = false)"
        for file in files
    ]
    if not older:
        return last
    kept = f"SELECT * FROM ({_query(files[:-1])}) AS older ANTI JOIN ({last}) AS newer USING (account_id)"  # noqa: S608
    return f"{kept} UNION ALL {last}"
