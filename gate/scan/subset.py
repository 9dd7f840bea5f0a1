"""Writes the consented part of a dataset as a new dataset: the rows all of whose accounts pass."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from gate.domain.dataset import Dataset, DatasetVersion
from gate.errors import DatasetError
from gate.scan.digest import measure
from gate.scan.engine import engine, reading
from gate.scan.formats import Format
from gate.scan.location import changed, copy_to, fingerprint, is_single_file, local_root
from gate.scan.part import Part, undamaged
from gate.scan.passing import Passing
from gate.scan.progress import counter
from gate.scan.readers import FILE, csv_header, csv_query, json_objects, json_pointer
from gate.scan.snapshot import SnapshotFiles
from gate.scan.staging import publish
from gate.scan.subset_parquet import write_parquet
from gate.scan.tables import Source, open_source, path_accounts

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

    from gate.scan.spark.cluster import Spark

_BATCH = 100_000  # rows in memory at a time
_JSON, _ACCOUNT, _CATEGORY = "json", "account", "category"


def write_subset(
    dataset: Dataset,
    snapshot: SnapshotFiles,
    passing_groups: Collection[int],
    target_uri: str,
    *,
    expected: DatasetVersion | None = None,
    spark: Spark | None = None,
) -> DatasetVersion:
    """Write the rows (the files, where a file is a row) all of whose accounts are in passing groups.

    Rows without an account and rows without a category are left out. Files keep their names, formats, columns, types
    and the order of their rows; files of which nothing is left and markers are left out. Files are copied, never
    linked: a link shares its bytes with a file that others may write to.

    Args:
        dataset: what to cut from.
        snapshot: as for `coverage.count_coverage`.
        passing_groups: as `Decision.passing` says, in the snapshot's numbers; 0 is the accounts not in it.
        target_uri: local file or folder that does not exist yet; it appears only when whole. If it exists and holds
            exactly this subset, it stays as it is.
        expected: the version that was decided about; the dataset must still be that once the subset is written.
        spark: cut the files of tables on its executors.

    Returns:
        The subset's version: account locator and category column of the dataset, `subset_of` its URI.

    Raises:
        DatasetError: nothing passes, the target holds other data, the dataset changed or cannot be read.
        CannotDecide: the target cannot be written, or the snapshot cannot be read.
    """
    target = replace(dataset, uri=target_uri if "://" in target_uri else f"file://{target_uri}")
    root = local_root(target)
    if root is None:
        raise DatasetError("a subset can only be written to a local folder", where=target_uri, hint="like file:///lake")

    def write(made: Path) -> DatasetVersion:
        before = fingerprint(dataset)  # which rows stay and their copy are two readings
        if spark is None:
            with engine() as con, reading(dataset):
                kept = _write_files(open_source(dataset, con), Passing(snapshot, passing_groups), made, con)
        else:
            from gate.scan.spark.cutting import cut_on_spark

            kept = cut_on_spark(dataset, snapshot, passing_groups, made, spark)
        if not kept:
            raise DatasetError("no row passes, so there is no subset", where=dataset.uri, hint="record consent first")
        if expected is not None and measure(dataset)[0].digest != expected.digest:
            raise changed(dataset.uri)
        if fingerprint(dataset) != before:
            raise changed(dataset.uri)
        return _measured(made)

    def _measured(path: Path) -> DatasetVersion:
        return replace(measure(replace(target, uri=f"file://{path}"))[0], dataset=target, subset_of=dataset.uri)

    return publish(Path(root), write, lambda there, made: _measured(there) == _measured(made))


def _write_files(source: Source, passing: Passing, made: Path, con: Backend) -> int:
    """Write what passes of every file; return the number of rows."""
    layout = source.layout
    single = is_single_file(layout.dataset, layout.all_files)
    total, written = 0, counter("writing", sum(file.size for file in layout.files))
    for place, file in enumerate(layout.files):
        total += write_part(source, place, passing, made if single else made / file.path, con)
        written(file.size)
    return total


def write_part(source: Source, place: int, passing: Passing, path: Path, con: Backend) -> int:
    """Write what passes of one file to `path`, nothing if nothing does; return the number of rows."""
    writers: dict[Format | None, Callable[[Part, Backend], int]] = {
        Format.PARQUET: write_parquet,
        Format.CSV: _csv,
        Format.JSONL: _json,
        Format.JSON: _json,
        None: _whole_file,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = writers[source.layout.format](Part(source, place, passing, path), con)
    if not kept:
        path.unlink(missing_ok=True)
    return kept


def _whole_file(part: Part, con: Backend) -> int:  # noqa: ARG001 a writer like the others
    import pyarrow as pa

    account = path_accounts(part.source.layout.dataset, [part.file])
    if not part.passing.mask(pa.array(account, pa.string()))[0].as_py():
        return 0
    with part.path.open("wb") as out:
        copy_to(part.file, out)
    return 1


def _csv(part: Part, con: Backend) -> int:
    from pyarrow import csv

    delimiter, names = csv_header(part.file)
    kept = 0
    options = csv.WriteOptions(delimiter=delimiter, quoting_style="all_valid")  # null and "" stay apart
    with _packed(part.path) as out:
        writer = None
        for batch in _batches(part, csv_query([part.file], delimiter, names, con), con):
            rows = batch.drop_columns([FILE])
            writer = writer or csv.CSVWriter(out, rows.schema, write_options=options)
            rows = rows.filter(part.mask(rows, *part.columns))
            writer.write_batch(rows)
            kept += rows.num_rows
        if writer is not None:
            writer.close()
    return kept


def _json(part: Part, con: Backend) -> int:
    shape = part.source.layout.format
    account, category = part.columns
    fields = ["json"]
    if account is not None:
        listed = part.source.table[account].type().is_array()
        at = json_pointer(account)
        taken = f"json_extract(json, {at})::VARCHAR[]" if listed else f"json_extract_string(json, {at})"
        fields.append(f"{taken} AS {_ACCOUNT}")
    if category is not None:
        fields.append(f"json_extract_string(json, {json_pointer(category)}) AS {_CATEGORY}")
    query = f"SELECT {', '.join(fields)} FROM {json_objects([part.file], shape, con)}"  # noqa: S608 quoted above
    start, between, end = (b"[\n", b",\n", b"\n]\n") if shape is Format.JSON else (b"", b"\n", b"\n")
    kept = 0
    with _packed(part.path) as out:
        for batch in _batches(part, query, con):
            mask = part.mask(batch, account and _ACCOUNT, category and _CATEGORY)
            for text in batch[_JSON].filter(mask).to_pylist():
                out.write((between if kept else start) + text.encode())
                kept += 1
        out.write(end)
    return kept


def _batches(part: Part, query: str, con: Backend) -> Iterator[pa.RecordBatch]:
    with undamaged(part.file):
        reader = con.con.sql(query).to_arrow_reader(_BATCH)
    while True:
        with undamaged(part.file):
            batch = next(reader, None)
        if batch is None:
            return
        yield batch


@contextmanager
def _packed(path: Path) -> Iterator[BinaryIO]:
    """Open for writing, gzip when the name says so; without a time, so that equal rows give equal bytes."""
    with path.open("wb") as out:
        if path.suffix.lower() != ".gz":
            yield out
            return
        with gzip.GzipFile(filename="", fileobj=out, mode="wb", mtime=0) as packed:
            yield cast("BinaryIO", packed)
