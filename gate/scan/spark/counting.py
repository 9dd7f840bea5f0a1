"""Counts a dataset on Spark into the source that the census is taken of: what Spark does not do, DuckDB's code does."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

from gate.domain.dataset import Dataset
from gate.scan.formats import Format, Layout, detect
from gate.scan.location import FileRef
from gate.scan.readers import FILE, Wanted, csv_shape, json_kinds
from gate.scan.spark.cluster import Spark, collected, computing, session
from gate.scan.spark.executors import PROBLEM, SHAPE, Reading, Task, counting, raise_problem, shaping
from gate.scan.spark.native import ACCOUNT, CATEGORY, count_parquet
from gate.scan.tables import ROWS, Source, open_layout, wanted_of

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.backends.duckdb import Backend
    from pyspark.sql import DataFrame, SparkSession

_TASKS = 1000  # at most, per job; each takes as many files as come to it


def counted_source(dataset: Dataset, con: Backend, spark: Spark) -> Source:
    """Return the dataset's rows as Spark counted them; a folder of files is listed here, for nothing of it is read.

    Raises:
        DatasetError: as `tables.open_source`; or Spark would not surely read it as it is.
        CannotDecide: Spark cannot be reached, or failed.
    """
    import ibis

    layout = detect(dataset)
    if layout.format is None:
        return open_layout(layout, con)
    wanted, of_path, (account, category) = wanted_of(layout)
    by_file = account in of_path or category in of_path
    with session(spark) as own, computing(dataset):
        if layout.format is Format.PARQUET:
            found = count_parquet(layout, wanted, own, by_file=by_file)
        else:
            found = _count_text(reading_of(layout, wanted, own), own, by_file=by_file)
    return Source(
        layout,
        ibis.memtable(found),
        of_path,
        ACCOUNT if wanted.account is not None else account,
        CATEGORY if wanted.category is not None else category,
        counted=True,
    )


def reading_of(layout: Layout, wanted: Wanted, own: SparkSession) -> Reading:
    """Return how to read the text files of a layout, once all of them were looked at.

    Raises:
        DatasetError: as `readers.query_of`.
    """
    if layout.format is Format.CSV:
        delimiter, names = csv_shape(layout, wanted)
        return Reading(layout, wanted, delimiter=delimiter, names=names)
    found = checked(each_file(shaping(layout, wanted), layout.files, own).distinct())
    shapes = [json.loads(shape) for shape in found[SHAPE].to_pylist()]
    return Reading(layout, wanted, json_kinds(layout, wanted, shapes, list))


def each_file(task: Task, files: tuple[FileRef, ...], own: SparkSession) -> DataFrame:
    """Return what a task tells of each file."""
    places = own.range(0, len(files), 1, min(len(files), _TASKS))
    with warnings.catch_warnings():  # of PySpark, about pandas 3, which this does not use
        warnings.simplefilter("ignore")
        return places.mapInArrow(task.run, task.columns)


def checked(frame: DataFrame) -> pa.Table:
    """Return what tasks told, as an Arrow table.

    Raises:
        DatasetError, CannotDecide: the problem that one of them told.
    """
    found = collected(frame)
    problems = found[PROBLEM].drop_null().to_pylist()
    if problems:
        raise_problem(min(problems))
    return found


def _count_text(how: Reading, own: SparkSession, *, by_file: bool) -> pa.Table:
    import pyarrow as pa
    from pyspark.sql import functions as sf

    each = each_file(counting(how, ACCOUNT, CATEGORY, ROWS), how.layout.files, own)
    keys = [PROBLEM, ACCOUNT, CATEGORY, *([FILE] if by_file else [])]
    found = checked(each.groupBy(*keys).agg(sf.sum(ROWS).alias(ROWS))).drop_columns([PROBLEM])
    if by_file:
        found = found.set_column(found.schema.get_field_index(FILE), FILE, found[FILE].cast(pa.uint64()))
    return found
