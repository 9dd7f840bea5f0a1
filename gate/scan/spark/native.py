"""Counts Parquet by Spark's own reader, without Python on executors: the columns asked for, as they are written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from gate.errors import CannotDecide
from gate.scan.digest import THREADS
from gate.scan.formats import Layout
from gate.scan.location import FileRef, changed
from gate.scan.readers import FILE, Wanted, parquet_footer, parquet_kinds
from gate.scan.spark.cluster import collected, refused
from gate.scan.tables import ROWS

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession

ACCOUNT, CATEGORY = "gate_account", "gate_category"  # what we call them: no name of the data can be in the way
_SCHEMES = {"s3": "s3a"}  # as Hadoop calls them, where it differs
_SPARK_READS = frozenset({"s3", "s3a", "gs", "hdfs", "abfs", "abfss"})
_GLOB = frozenset("{}[]*?\\")
_PATH = "_metadata.file_path"

_STRICT = {"ignoreCorruptFiles": "false", "ignoreMissingFiles": "false", "mergeSchema": "false"}


@dataclass(frozen=True, slots=True)
class _Part:
    """A file, its place in the layout, and what its footer says."""

    place: int
    file: FileRef
    rows: int
    schema: pa.Schema


def count_parquet(layout: Layout, wanted: Wanted, session: SparkSession, *, by_file: bool) -> pa.Table:
    """Return the rows of Parquet files, counted by account and category as they are written, and by file if asked.

    Each file is read by the types in its own footer, and the counts are held against the footers' number of rows: what
    Spark leaves out, or reads twice, cannot go unnoticed.

    Raises:
        DatasetError: as `readers.query_of`; or Spark would not surely read it as it is.
        CannotDecide: Spark counted other rows than there are.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    with ThreadPoolExecutor(THREADS) as pool:
        footers = list(pool.map(parquet_footer, layout.files))
    whole = parquet_kinds(layout, wanted, [schema for _, schema in footers])
    if not wanted.names:
        numbers = [rows for rows, _ in footers]
        return pa.table({FILE: pa.array(range(len(numbers)), pa.uint64()), ROWS: pa.array(numbers, pa.int64())})
    parts = [
        _Part(place, file, *footer) for place, (file, footer) in enumerate(zip(layout.files, footers, strict=True))
    ]
    found = []
    for alike in _alike(parts, wanted.names):
        counted = collected(_counted(session, alike, wanted, whole, by_file=by_file))
        if (pc.sum(counted[ROWS]).as_py() or 0) != sum(part.rows for part in alike):
            raise changed(layout.dataset.uri)
        found.append(_placed(counted, alike) if by_file else counted)
    return pa.concat_tables(found, promote_options="permissive")


def spark_url(file: FileRef) -> str:
    """Return a file's URL as Hadoop opens it.

    Raises:
        DatasetError: Spark would take the name for something else, pass over it, or cannot reach it.
    """
    name = file.path.rsplit("/", 1)[-1]
    if name.startswith(("_", ".")) or name.endswith("._COPYING_"):  # Spark's listing hides those, without a word
        raise refused("is a hidden file with data in it", file.path)
    if not _GLOB.isdisjoint(file.url):
        raise refused("has a name that is a pattern", file.path)
    if file.is_local:
        return f"file://{file.url}"
    scheme, _, rest = file.url.partition("://")
    if scheme not in _SPARK_READS:
        raise refused(f"is at {scheme}://", file.path, "use DuckDB")
    return f"{_SCHEMES.get(scheme, scheme)}://{rest}"


def _alike(parts: Sequence[_Part], names: Sequence[str]) -> list[list[_Part]]:
    """Put files together whose columns are of the very same types; files without rows have nothing to be read."""
    found: dict[tuple[pa.DataType, ...], list[_Part]] = defaultdict(list)
    for part in [part for part in parts if part.rows] or parts[:1]:
        found[tuple(part.schema.field(name).type for name in names)].append(part)
    return list(found.values())


def _counted(
    session: SparkSession, alike: Sequence[_Part], wanted: Wanted, whole: Mapping[str, str], *, by_file: bool
) -> DataFrame:
    """Return the rows of files of the same types, counted.

    Args:
        session: of Spark.
        alike: the files.
        wanted: the columns.
        whole: of what kind they are in all files of the dataset.
        by_file: count each file by itself.
    """
    from pyspark.sql import functions as sf
    from pyspark.sql.types import StructField, StructType

    first = alike[0]
    types = {name: _spark_type(first.schema.field(name).type, first.file) for name in wanted.names}
    read = StructType([StructField(name, kind) for name, kind in types.items() if kind is not None])
    urls = [spark_url(part.file) for part in alike]
    frame = session.read.schema(read).options(**_STRICT).parquet(*urls)
    if sorted(map(_plain, frame.inputFiles())) != sorted(map(_plain_url, urls)):
        raise CannotDecide("Spark does not list the files that are there", where="engine", hint="use DuckDB")
    keys = [
        _text(name, types[name], listed=whole[name].startswith("lists")).alias(alias)
        for name, alias in ((wanted.account, ACCOUNT), (wanted.category, CATEGORY))
        if name is not None
    ]
    if by_file:
        keys.append(sf.col(_PATH).alias(FILE))
    return frame.groupBy(*keys).agg(sf.count(sf.lit(1)).alias(ROWS))


def _text(name: str, kind: Any, *, listed: bool) -> Column:
    """Return a column as text, or as lists of text; group keys are compared byte by byte."""
    from pyspark.sql import functions as sf

    column = sf.lit(None) if kind is None else sf.col("`" + name.replace("`", "``") + "`")
    return column.cast("array<string>" if listed else "string")


def _spark_type(kind: pa.DataType, file: FileRef) -> Any:
    """Return Spark's type for what a footer says; `None` for a column of nothing but nulls, which is not read."""
    from pyarrow import types
    from pyspark.sql.types import ArrayType, DecimalType, IntegerType, LongType, StringType

    if types.is_null(kind):
        return None
    if types.is_dictionary(kind):
        return _spark_type(kind.value_type, file)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _spark_type(kind.value_type, file)
        if inner is None:
            raise refused("holds lists of nothing but nulls", file.path, "use DuckDB, or write the lists' type")
        return ArrayType(inner)
    if types.is_integer(kind):
        if types.is_uint64(kind):
            return DecimalType(20, 0)
        return LongType() if types.is_int64(kind) or types.is_uint32(kind) else IntegerType()
    return StringType()


def _placed(counted: pa.Table, alike: Sequence[_Part]) -> pa.Table:
    """Put each file's place where Spark tells its path."""
    import pyarrow as pa

    places = {_plain_url(spark_url(part.file)): part.place for part in alike}
    found = list(_places(counted[FILE].to_pylist(), places))
    at = counted.schema.get_field_index(FILE)
    return counted.set_column(at, FILE, pa.array(found, pa.uint64()))


def _places(paths: Iterable[str], places: dict[str, int]) -> Iterator[int]:
    for path in paths:
        place = places.get(_plain(path))
        if place is None:
            raise CannotDecide("Spark reads files that are not the dataset's", where="engine", hint="use DuckDB")
        yield place


def _plain(url: str) -> str:
    """Return a URL as Spark writes it (its path quoted, `file:/x` or `file:///x`) in one form."""
    return _plain_url(unquote(url))


def _plain_url(url: str) -> str:
    scheme, _, path = url.partition(":")
    return f"{scheme}:{path.removeprefix('//')}"
