"""Reads samples of Parquet, Arrow, Feather and ORC files: from several row groups; statistics stand for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gate.scan.detect.blob import Blob, BoundedReader
from gate.scan.detect.budget import Budget
from gate.scan.detect.model import Column, Content, Table
from gate.scan.detect.trees import COLUMNS, tables_of_all

_ROWS = 300  # of one row group or batch sampled
_GROUPS = 3  # first, middle, last
_STATISTICS = 200  # row groups whose statistics are read
_BYTES = 1 << 20  # of one cell kept
_GROUP_BYTES = 128 << 20  # a row group larger than this, unpacked, is not read


def columnar_format(head: bytes) -> str | None:
    """Return which of the formats `head` begins."""
    for magic, name in ((b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"FEA1", "feather-v1"), (b"ORC", "orc")):
        if head.startswith(magic):
            return name
    return "arrow-stream" if head.startswith(b"\xff\xff\xff\xff") and b"\x10\0\0\0" in head[4:16] else None


def read_columnar(blob: Blob, form: str, budget: Budget) -> Content:
    """Return samples of the file's rows as tables."""
    import pyarrow as pa

    reader = {"parquet": _parquet, "orc": _orc, "arrow-stream": _stream, "feather-v1": _feather}.get(form, _arrow)
    try:
        with blob.opener() as raw:
            handle = pa.PythonFile(BoundedReader(raw, budget.deadline, 256 << 20), "r")
            return reader(handle, budget)
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        note = f"cannot be read as {form}: {type(error).__name__}"
        return Content(form, understood=False, notes=[note])


def _parquet(handle: Any, budget: Budget) -> Content:
    from pyarrow import parquet

    file = parquet.ParquetFile(handle, buffer_size=1 << 20)  # else whole column chunks would be read
    names = list(file.schema_arrow.names[:COLUMNS])
    content = Content("parquet", rows=file.metadata.num_rows)
    rows: list[dict[str, Any]] = []
    for group in _some(file.num_row_groups):
        if budget.spent or (file.metadata.row_group(group).total_byte_size > _GROUP_BYTES and rows):
            content.notes.append("large row groups are covered by their statistics alone")
            continue
        rows += _first_rows(file.iter_batches(batch_size=_ROWS, row_groups=[group], columns=names))
    if file.num_row_groups > _GROUPS or file.metadata.num_rows > len(rows):
        content.notes.append(
            f"{len(rows)} of {file.metadata.num_rows} rows were sampled from {len(_some(file.num_row_groups))} of "
            f"{file.num_row_groups} row groups; the others by column statistics"
        )
    _say_columns(content, len(file.schema_arrow.names))
    _fill(content, rows, names, _statistics(file.metadata))
    return content


def _first_rows(batches: Iterable[Any]) -> list[dict[str, Any]]:
    for batch in batches:
        return _plain_rows(batch)
    return []


def _plain_rows(batch: Any) -> list[dict[str, Any]]:
    """Return rows as plain values; a type that Python has no value for is left out.

    Raises:
        pa.ArrowException: the batch is damaged.
    """
    import pyarrow as pa

    batch = batch.slice(0, _ROWS)
    batch.validate(full=True)  # a damaged file's offsets lead anywhere, and not every reader looks
    columns: dict[str, list[Any]] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns[name] = column.to_pylist()
        except (pa.ArrowException, ValueError, OverflowError, KeyError):
            columns[name] = [None] * batch.num_rows
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _statistics(metadata: Any) -> dict[str, list[str]]:
    """Return the least and greatest value of each text column in many row groups: values from everywhere."""
    found: dict[str, list[str]] = {}
    for group in range(0, metadata.num_row_groups, max(1, metadata.num_row_groups // _STATISTICS)):
        row_group = metadata.row_group(group)
        for place in range(min(row_group.num_columns, COLUMNS)):
            chunk = row_group.column(place)
            known = chunk.statistics
            if known is not None and known.has_min_max and isinstance(known.min, str):
                found.setdefault(chunk.path_in_schema, []).extend((str(known.min), str(known.max)))
    return found


def _arrow(handle: Any, budget: Budget) -> Content:
    import pyarrow as pa

    file = pa.ipc.open_file(handle)
    content = Content("arrow")
    rows: list[dict[str, Any]] = []
    for place in _some(file.num_record_batches):
        if budget.spent:
            break
        rows += _plain_rows(file.get_batch(place))
    if file.num_record_batches <= _GROUPS:
        content.rows = sum(file.get_batch(place).num_rows for place in range(file.num_record_batches))
    else:
        content.notes.append(f"rows were sampled from {_GROUPS} of {file.num_record_batches} batches")
    _fill(content, rows, file.schema.names, {})
    return content


def _stream(handle: Any, budget: Budget) -> Content:
    import pyarrow as pa

    reader = pa.ipc.open_stream(handle)
    content, rows, counted = Content("arrow-stream"), [], 0
    for number, batch in enumerate(reader):
        rows += _plain_rows(batch) if number < _GROUPS else []
        counted += batch.num_rows
        if budget.spent or number > 1000:
            content.notes.append("only the first batches were looked at")
            break
    else:
        content.rows = counted
    _fill(content, rows, reader.schema.names, {})
    return content


def _feather(handle: Any, _budget: Budget) -> Content:
    from pyarrow import feather

    table = feather.read_table(handle, memory_map=False)
    content = Content("feather", rows=table.num_rows)
    _fill(content, _first_rows(table.to_batches()), table.schema.names, {})
    return content


def _orc(handle: Any, _budget: Budget) -> Content:
    from pyarrow import orc

    file = orc.ORCFile(handle)
    content = Content("orc", rows=file.nrows)
    rows: list[dict[str, Any]] = []
    for stripe in _some(file.nstripes):
        rows += _plain_rows(file.read_stripe(stripe))
    _fill(content, rows, file.schema.names, {})
    return content


def _some(count: int) -> list[int]:
    return sorted({0, count // 2, count - 1}) if count else []


def _say_columns(content: Content, count: int) -> None:
    if count > COLUMNS:
        content.notes.append(f"the first {COLUMNS} of {count} columns were looked at")


def _fill(content: Content, rows: list[dict[str, Any]], names: Iterable[str], statistics: dict[str, list[str]]) -> None:
    """Put rows into the content as tables; a file without rows still has columns."""
    if not rows:
        columns = tuple(Column(name, ()) for name in names)
        content.tables = [Table("", columns, frozenset(name.lower() for name in names), 0)]
        return
    tables, whole = tables_of_all([{key: _short(cell) for key, cell in row.items()} for row in rows])
    if not whole:
        content.notes.append("deeply nested or very many values were looked at in part")
    content.tables = [_with_statistics(table, statistics) if not table.where else table for table in tables]


def _short(cell: Any) -> Any:
    return cell[:_BYTES] if isinstance(cell, bytes) else cell


def _with_statistics(table: Table, statistics: dict[str, list[str]]) -> Table:
    columns = tuple(
        Column(one.name, (*one.values, *statistics[one.name][: 2 * _STATISTICS]), one.listed)
        if one.name in statistics and len(one.values) >= _ROWS
        else one
        for one in table.columns
    )
    return Table(table.where, columns, table.keys, table.rows)
