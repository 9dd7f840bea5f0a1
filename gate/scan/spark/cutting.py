"""Writes the consented subset on Spark's executors, each file by the code that writes it on one machine."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from gate.domain.dataset import Dataset
from gate.errors import CannotDecide
from gate.scan.engine import engine
from gate.scan.formats import Format, Layout, detect
from gate.scan.location import is_single_file
from gate.scan.passing import Passing, has_text
from gate.scan.pseudonyms import hashed
from gate.scan.readers import FILE, parquet_kinds, parquet_schema
from gate.scan.snapshot import SnapshotFiles, read_snapshot
from gate.scan.spark.cluster import Spark, computing, session
from gate.scan.spark.counting import checked, each_file, reading_of
from gate.scan.spark.executors import KEPT, cutting
from gate.scan.subset import write_part
from gate.scan.tables import open_layout, wanted_of

if TYPE_CHECKING:
    import pyarrow as pa


def cut_on_spark(dataset: Dataset, snapshot: SnapshotFiles, groups: Collection[int], made: Path, spark: Spark) -> int:
    """Write what passes of every file to `made`, which must not exist; return the number of rows.

    The executors must see the folder around `made`, run as this user, and have our package.

    Raises:
        DatasetError: the dataset cannot be read, or the executors see another one.
        CannotDecide: the snapshot cannot be read, or Spark failed.
    """
    from pyarrow import parquet

    layout = detect(dataset)
    single = is_single_file(dataset, layout.all_files)
    if layout.format is None:
        return _copied(layout, Passing(snapshot, groups), made, single=single)
    key = secrets.token_bytes(32) if spark.hashed else None
    who = Passing(str(made.parent / "passing.parquet"), sorted(groups), key)
    parquet.write_table(_named(read_snapshot(snapshot), key), who.snapshot)  # one file for all executors
    wanted, _, _ = wanted_of(layout)
    with session(spark) as own, computing(dataset):
        if layout.format is Format.PARQUET:
            parquet_kinds(layout, wanted, map(parquet_schema, layout.files))
        else:
            reading_of(layout, wanted, own)
        task = cutting(layout, who, made, single=single)
        found = checked(each_file(task, layout.files, own)).to_pylist()
    written = {made if single else made / layout.files[row[FILE]].path for row in found if row[KEPT]}
    there = {made} if made.is_file() else {path for path in made.rglob("*") if path.is_file()}
    if written != there or sorted(row[FILE] for row in found) != list(range(len(layout.files))):
        raise CannotDecide(
            "what Spark's executors wrote is not here",
            where=str(made.parent),
            hint="let them see the same folder as this machine, or use DuckDB",
        )
    return sum(row[KEPT] for row in found)


def _named(snapshot: pa.Table, key: bytes | None) -> pa.Table:
    """Return a snapshot as it may lie where others can read it."""
    if key is None:
        return snapshot
    accounts = hashed(snapshot["account_id"].combine_chunks(), key)
    return snapshot.set_column(0, "account_id", accounts).filter(has_text(snapshot["account_id"])).sort_by("account_id")


def _copied(layout: Layout, passing: Passing, made: Path, *, single: bool) -> int:
    """Copy the files of a folder that is no table here: there is nothing to compute."""
    with engine() as con:
        source = open_layout(layout, con)
        paths = [made if single else made / file.path for file in layout.files]
        return sum(write_part(source, place, passing, path, con) for place, path in enumerate(paths))
