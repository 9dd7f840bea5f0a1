"""A dataset's columns as a Spark frame: executors read each file by the readers DuckDB has on one machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gate.scan.engine import arrow_batches, engine, identifier, reading
from gate.scan.formats import Format, Layout
from gate.scan.location import FileRef
from gate.scan.spark.counting import checked, each_file
from gate.scan.spark.executors import PROBLEM, SHAPE, Task, per_file, raise_problem, restrained
from gate.scan.tables import open_layout, whole_rows

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend
    from pyspark.sql import DataFrame, SparkSession

BATCH = 100_000  # rows that a task has in memory
_KINDS = {
    "VARCHAR": "string",
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), "int64"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "UBIGINT", "HUGEINT", "UHUGEINT"), "double"),
    "BOOLEAN": "bool",
    "DATE": "date",
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "moment"),
    "TIMESTAMP WITH TIME ZONE": "instant",
    **dict.fromkeys(("UUID", "JSON"), "string"),
}
_SQL = {
    "string": "{}::VARCHAR",
    "list": "{}::VARCHAR[]",
    "int64": "{}::BIGINT",
    "double": "{}::DOUBLE",
    "bool": "{}::BOOLEAN",
    "date": "{}::DATE",
    "moment": "{}::TIMESTAMP",
    "instant": "{}::TIMESTAMPTZ",
    "bytes": "encode({}::VARCHAR)",
}

Types = Mapping[str, str]
"""Columns, and what DuckDB calls what they hold."""


def types_of(layout: Layout, own: SparkSession) -> Types:
    """Return a table's columns, partitions included, and what they hold in all of its files together.

    Footers and headers are read here; every record of JSON is looked at, on executors.

    Raises:
        DatasetError: as `readers.query_of`.
        CannotDecide: the executors failed.
    """
    with engine() as con, reading(layout.dataset):
        if layout.format in (Format.PARQUET, Format.CSV):
            return _described(layout, con)
        told = checked(each_file(_describing(layout), layout.files, own).select(PROBLEM, SHAPE).distinct())
        return _united([json.loads(one) for one in told[SHAPE].to_pylist()], con)


@contextmanager
def column_rows(layout: Layout, types: Types, own: SparkSession) -> Iterator[DataFrame]:
    """Give the rows of some columns as a frame, which is read once and kept on the executors meanwhile.

    Raises:
        DatasetError, CannotDecide: the problem that reading a file met.
    """
    from pyspark import StorageLevel

    frame = each_file(_reading(layout, types), layout.files, own).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        problems = [row[0] for row in frame.where(frame[PROBLEM].isNotNull()).select(PROBLEM).collect()]
        if problems:
            raise_problem(min(problems))
        yield frame.drop(PROBLEM)
    finally:
        frame.unpersist()


def _described(layout: Layout, con: Backend) -> dict[str, str]:
    table = whole_rows(open_layout(layout, con, everything=True))
    found = con.raw_sql(f"DESCRIBE {con.compile(table)}").fetchall()
    return {row[0]: row[1] for row in found}


def _describing(layout: Layout) -> Task:
    """Return the task that tells each file's columns and types, as JSON."""

    def describe(file: FileRef, _: int) -> Iterable[Mapping[str, Any]]:
        with restrained(layout) as con:
            return [{SHAPE: [json.dumps(_described(replace(layout, files=(file,)), con))]}]

    return per_file(layout.files, describe, {SHAPE: "string"})


def _united(tables: Sequence[Types], con: Backend) -> dict[str, str]:
    """Return the types that hold what several tables' columns do, by DuckDB's own rules."""
    selects = [
        "SELECT " + ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in table.items())
        for table in tables
        if table
    ]
    if not selects:
        return {}
    found = con.raw_sql(f"DESCRIBE {' UNION ALL BY NAME '.join(selects)}").fetchall()
    return {row[0]: row[1] for row in found}


def _reading(layout: Layout, types: Types) -> Task:
    """Return the task that reads columns of each file, the types being those of all files together."""
    kinds = {name: _kind(kind) for name, kind in types.items()}

    def read(file: FileRef, _: int) -> Iterator[Mapping[str, Any]]:
        with restrained(layout) as con:
            one = replace(layout, files=(file,))
            found = whole_rows(open_layout(one, con, everything=True))
            taken = [_taken(name, kind, found.columns) for name, kind in kinds.items()]
            query = f"SELECT {', '.join(taken)} FROM ({con.compile(found)})"  # noqa: S608 quoted
            for batch in arrow_batches(query, con, BATCH):
                yield {name: batch[name] for name in batch.schema.names}

    return per_file(layout.files, read, kinds)


def _taken(name: str, kind: str, there: Sequence[str]) -> str:
    value = identifier(name) if name in there else "NULL"
    return f"{_SQL[kind].format(value)} AS {identifier(name)}"


def _kind(sql_type: str) -> str:
    """Name what a column holds as `executors.per_file` does; what rules are never held against is bytes."""
    if sql_type.endswith("]"):
        return "list"
    if sql_type.startswith("DECIMAL"):
        return "double"
    if sql_type.startswith("ENUM"):
        return "string"
    return _KINDS.get(sql_type, "bytes")
