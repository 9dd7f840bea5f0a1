"""Cuts a Parquet file: DuckDB copies the rows if it keeps the schema, else it says which rows and Arrow copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gate.errors import CannotDecide
from gate.scan.engine import file_list, identifier, literal
from gate.scan.part import Part, binary, undamaged
from gate.scan.passing import Passing, sql_text
from gate.scan.snapshot import unreadable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from ibis.backends.duckdb import Backend
    from numpy.typing import NDArray
    from pyarrow.parquet import ParquetFile

    Mask = Callable[[pa.Table, int], pa.Array]  # which rows of a table stay that begins at this row of the file

_NAMED = "gate_named"  # table with the accounts a `Passing` names
_NUMBER = "file_row_number"  # as DuckDB calls it
_CODECS = {"SNAPPY": "snappy", "ZSTD": "zstd", "GZIP": "gzip", "UNCOMPRESSED": "uncompressed"}
_OWN = b"ARROW:schema"  # Arrow's own description of the schema: written anew
_ROWS = 1_000_000  # numbers of rows in memory at a time
_LONGEST = 2**31 - 8  # rows that DuckDB's bit strings can number


def write_parquet(part: Part, con: Backend) -> int:
    """Write the rows that stay; return how many."""
    from pyarrow import parquet

    with binary(part.file) as handle:
        with undamaged(part.file):
            found = parquet.ParquetFile(handle)
        account, category = part.columns
        if account is None or not _one_of_each(found.schema_arrow, account, category):
            return _with_arrow(found, part, lambda table, _: part.mask(table, account, category))
        stays = _staying(found, part, account, category, con)
        kept = _with_duckdb(found, part, stays, con)
        if kept is not None:
            return kept
        return _with_arrow(found, part, lambda table, start: _slice(stays, start, table.num_rows))


def _with_duckdb(found: ParquetFile, part: Part, stays: NDArray[np.bool_], con: Backend) -> int | None:
    """Copy with DuckDB, unless it would write another schema than the file has."""
    import numpy as np
    from pyarrow import parquet

    schema, groups = found.schema_arrow, found.metadata.num_row_groups
    codecs = {found.metadata.row_group(n).column(0).compression for n in range(groups)}
    said = {key: value for key, value in (schema.metadata or {}).items() if key != _OWN}
    simple = len(codecs) == 1 and codecs <= _CODECS.keys() and len(stays) < _LONGEST
    if not simple or not all(text.isascii() for pair in said.items() for text in pair):
        return None
    metadata = ", ".join(f"{identifier(key.decode())}: {literal(value.decode())}" for key, value in said.items())
    options = f"FORMAT parquet, COMPRESSION {_CODECS[codecs.pop()]}" + (f", KV_METADATA {{{metadata}}}" if said else "")
    # A join would lose the order of the rows, a filter keeps it.
    wanted = f"get_bit(getvariable('{_NAMED}'), {_NUMBER}::INTEGER) = 1"
    con.con.execute(f"SET VARIABLE {_NAMED} = ?::BLOB::BIT", [np.packbits(stays).tobytes()])
    rows = f"SELECT {_columns(schema, wanted, con)} FROM {_rows(part, con)} WHERE {wanted}"  # noqa: S608 quoted
    with _writing(part.path):
        copied = con.con.execute(f"COPY ({rows}) TO {literal(str(part.path))} ({options})").fetchone()
    same = parquet.read_schema(part.path).equals(schema, check_metadata=True)
    return int(copied[0]) if same and copied else None


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell a disk that takes no more from a file that cannot be read.

    Raises:
        CannotDecide: the disk takes no more.
    """
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        if str(path) not in str(error):
            raise
        raise CannotDecide("cannot be written", where=str(path.parent), hint="check the folder's free space") from None


def _columns(schema: pa.Schema, wanted: str, con: Backend) -> str:
    """Return what to select so that columns which cannot hold nulls, and only these, are written as such.

    DuckDB writes a column so when statistics show that there are none.
    """
    required = [field.name for field in schema if not field.nullable]
    con.raw_sql(f"SET disabled_optimizers = '{'' if required else 'statistics_propagation'}'")
    if not required:
        return f"* EXCLUDE ({_NUMBER})"
    names = {field.name: identifier(field.name) for field in schema}
    return ", ".join(n if name in required else f"CASE WHEN {wanted} THEN {n} END AS {n}" for name, n in names.items())


def _with_arrow(found: ParquetFile, part: Part, mask: Mask) -> int:
    """Copy with Arrow, row group by row group."""
    from pyarrow import parquet

    groups = found.metadata.num_row_groups
    packing = found.metadata.row_group(0).column(0).compression.lower() if groups else "none"
    kept = start = 0
    with parquet.ParquetWriter(part.path, found.schema_arrow, compression=packing) as writer:
        for number in range(groups):
            with undamaged(part.file):
                table = found.read_row_group(number)
            rows = table.filter(mask(table, start))
            start += table.num_rows
            if rows.num_rows:
                writer.write_table(rows)
                kept += rows.num_rows
    return kept


def _staying(found: ParquetFile, part: Part, account: str, category: str | None, con: Backend) -> NDArray[np.bool_]:
    """Return, per row of the file, whether it stays."""
    import numpy as np

    _name_passing(con, part.passing)
    file, stays = _rows(part, con), np.ones(found.metadata.num_rows, bool)
    if _is_list(found.schema_arrow, account):
        name = identifier(account)
        each = f"(SELECT {_NUMBER}, unnest({name}) AS {name} FROM {file})"  # noqa: S608 quoted by identifier
        _set(con, f"SELECT {_NUMBER} FROM {file} WHERE coalesce(len({name}), 0) = 0", stays, False)  # noqa: S608
        _set(con, f"SELECT {_NUMBER} FROM {each} AS t {_failing(part.passing, account)}", stays, False)  # noqa: S608
    elif part.passing.inverted:
        _set(con, f"SELECT {_NUMBER} FROM {file} AS t {_failing(part.passing, account)}", stays, False)  # noqa: S608
    else:
        stays[:] = False
        on = f"{part.passing.sql_name(_text(account))} = {_NAMED}.name"
        _set(con, f"SELECT {_NUMBER} FROM {file} AS t SEMI JOIN {_NAMED} ON {on}", stays, True)  # noqa: S608
    if category is not None:
        _set(con, f"SELECT {_NUMBER} FROM {file} AS t WHERE NOT ({_has_text(category)})", stays, False)  # noqa: S608
    return stays


def _set(con: Backend, query: str, stays: NDArray[np.bool_], value: bool) -> None:
    for batch in con.con.sql(query).to_arrow_reader(_ROWS):
        stays[batch[0].to_numpy(zero_copy_only=False)] = value


def _name_passing(con: Backend, passing: Passing) -> None:
    """Make the accounts a table, once for all files of a dataset.

    Raises:
        CannotDecide: the snapshot cannot be read.
    """
    import duckdb

    try:
        con.raw_sql(f"CREATE TEMP TABLE IF NOT EXISTS {_NAMED} AS {passing.query()}")
    except duckdb.Error:
        raise unreadable() from None


def _failing(passing: Passing, account: str) -> str:
    """Return the rest of a query for rows whose account does not pass, is null or blank."""
    joined = f"LEFT JOIN {_NAMED} ON {passing.sql_name(_text(account))} = {_NAMED}.name"
    known = f"{_NAMED}.name IS {'NOT ' if passing.inverted else ''}NULL"
    return f"{joined} WHERE {known} OR NOT ({_has_text(account)})"


def _has_text(column: str) -> str:
    return sql_text(_text(column))


def _text(column: str) -> str:
    return f"t.{identifier(column)}::VARCHAR"


def _rows(part: Part, con: Backend) -> str:
    return f"read_parquet({file_list([part.file], con)}, hive_partitioning = false, {_NUMBER} = true)"


def _one_of_each(schema: pa.Schema, account: str, category: str | None) -> bool:
    """Whether the names mean one column each also to DuckDB, to which letters' case is nothing."""
    names = [name.lower() for name in schema.names]
    wanted = [name.lower() for name in (account, category, _NUMBER) if name is not None]
    return all(names.count(name) == (name != _NUMBER) for name in wanted)


def _is_list(schema: pa.Schema, name: str) -> bool:
    from pyarrow import types

    return bool(types.is_nested(schema.field(name).type))


def _slice(stays: NDArray[np.bool_], start: int, rows: int) -> pa.Array:
    import pyarrow as pa

    return pa.array(stays[start : start + rows])
