"""Counts a table's rows by account and category in its database: one aggregation, whose result comes here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gate.domain.dataset import Dataset
from gate.errors import DatasetError
from gate.scan.census import COLUMNS, Census, Look, write_census
from gate.scan.coverage import dataset_rows
from gate.scan.engine import engine, reading
from gate.scan.formats import Layout
from gate.scan.readers import require
from gate.scan.sql.content import table_manifest
from gate.scan.sql.snapshot import SqlSnapshot, snapshot
from gate.scan.tables import ROWS, Source

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

_TEXT = frozenset({"text", "varchar", "citext", "name", "uuid"})  # a uuid has one spelling
_WHOLE = frozenset({"int2", "int4", "int8"})
_ACCOUNT, _CATEGORY = "gate_account", "gate_category"


def look_at_table(dataset: Dataset, folder: Path) -> Look:
    """Return a table's version and its census, both of one snapshot.

    Args:
        dataset: the table.
        folder: where the census may be written.

    Raises:
        InputError, DatasetError, CannotDecide: as `snapshot`; no such column, or one that names no account.
    """
    with snapshot(dataset) as now:
        manifest, rows = table_manifest(now)
        counted = _counted(now)
    if sum(counted[ROWS].to_pylist()) != rows:
        raise DatasetError("was counted otherwise than it was hashed", where=dataset.uri)
    version = manifest.version
    path = folder / f"{version.key.removeprefix('sha256:')}.parquet"
    with engine() as con:
        with reading(dataset):
            census = con.to_pyarrow(dataset_rows(_source(now, counted, con)).select(*COLUMNS))
        write_census(census, path)
    return Look(version, Census(dataset, path))


def text_columns(now: SqlSnapshot) -> tuple[str | None, str | None]:
    """Return account and category column, once it is sure that they can be trusted.

    Raises:
        DatasetError: they are not there, name no account, or are compared by a collation that takes texts for equal.
    """
    dataset = now.dataset
    if dataset.account.kind == "path":
        raise DatasetError("is a table, which has no paths", where=dataset.uri, hint="name the account column")
    account = dataset.account.value if dataset.account.kind == "column" else None
    category = dataset.category_column
    require(now.columns, [name for name in (account, category) if name is not None], dataset.uri)
    for name in (account, category):
        if name is not None:
            _check(now, name, listed=name == account)
    return account, category


def is_listed(now: SqlSnapshot, name: str) -> bool:
    """Whether a column holds lists."""
    return now.columns[name].base.endswith("[]")


def _check(now: SqlSnapshot, name: str, *, listed: bool) -> None:
    column = now.columns[name]
    single = column.base.removesuffix("[]") if listed else column.base
    if single not in _TEXT | _WHOLE:
        hint = "write every account id as text" if listed else "write categories as text"
        raise DatasetError(f"its column {name!r} is of type {column.kind}", where=now.dataset.uri, hint=hint)
    if not column.exact:
        raise DatasetError(
            f"its column {name!r} has a collation that takes different texts for equal",
            where=now.dataset.uri,
            hint="give it a deterministic collation",
        )


def _counted(now: SqlSnapshot) -> pa.Table:
    """Group the columns as text, byte by byte: a cast leaves what a type like citext takes for equal."""
    table = now.table()
    keys = {}
    for name, alias in zip(text_columns(now), (_ACCOUNT, _CATEGORY), strict=True):
        if name is not None:
            kind = "array<string>" if alias == _ACCOUNT and is_listed(now, name) else "string"
            keys[alias] = table[name].cast(kind)
    rows = {ROWS: table.count()}
    return now.arrow(table.group_by(**keys).agg(**rows) if keys else table.agg(**rows))


def _source(now: SqlSnapshot, counted: pa.Table, con: Backend) -> Source:  # noqa: ARG001 the table is opened on it
    import ibis

    account = _ACCOUNT if _ACCOUNT in counted.column_names else None
    category = _CATEGORY if _CATEGORY in counted.column_names else None
    return Source(Layout(now.dataset, None, (), ()), ibis.memtable(counted), {}, account, category, counted=True)
