"""Who is in a dataset: its rows counted by account and category, in one small table that can travel to the ledger."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gate.domain.dataset import Dataset, DatasetVersion
from gate.errors import CannotDecide, InputError
from gate.scan.engine import engine, literal, reading
from gate.scan.progress import of_query

if TYPE_CHECKING:
    from ibis import Table
    from ibis.backends.duckdb import Backend

    from gate.scan.spark.cluster import Spark

MAX_UNPACKED = 4 * 2**30  # bytes of a census that came from somebody else, by its own account
COLUMNS = ("account", "category", "no_category", "n")


@dataclass(frozen=True, slots=True)
class Census:
    """A dataset's rows, counted: a Parquet file with one row per account (or list of accounts) and category.

    Columns: `account` (text, or a list of text: both as written), `category` (text; empty without a category column),
    `no_category` (the category is null or blank), `n` (rows, at least 1).
    """

    dataset: Dataset
    path: Path


@dataclass(frozen=True, slots=True)
class Look:
    """What a worker saw of one dataset: the version its bytes are, and who is in exactly that version."""

    version: DatasetVersion
    census: Census


def look(dataset: Dataset, folder: Path, spark: Spark | None = None) -> Look:
    """Measure a dataset and count who is in it; both are of the same bytes.

    Args:
        dataset: what to look at.
        folder: where the census may be written.
        spark: count there; the answer is the same. A table is counted by its database.

    Raises:
        DatasetError: missing, empty, unreadable, or changed meanwhile (`dataset_changed`).
        CannotDecide: Spark failed.
    """
    from gate.scan.copying import at_hand
    from gate.scan.sql.address import is_table

    if is_table(dataset):
        from gate.scan.sql.counting import look_at_table

        return look_at_table(dataset, folder)
    with at_hand(dataset, folder, shared=spark is not None) as (here, version):
        census = take_census(here, folder / f"{version.key.removeprefix('sha256:')}.parquet", spark)
    return Look(version, replace(census, dataset=dataset))


def take_census(dataset: Dataset, path: Path, spark: Spark | None = None) -> Census:
    """Count a dataset's rows by account and category into a Parquet file.

    Raises:
        DatasetError: missing, empty, unreadable, no such column, accounts of mixed types.
        CannotDecide: the file cannot be written, or Spark failed.
    """
    from gate.scan.coverage import dataset_rows
    from gate.scan.spark.counting import counted_source
    from gate.scan.tables import amount, open_source

    with engine() as con:
        with reading(dataset):
            source = open_source(dataset, con) if spark is None else counted_source(dataset, con, spark)
            with of_query(con, "counting", *amount(source.layout)) if spark is None else nullcontext():
                found = con.to_pyarrow(dataset_rows(source).select(*COLUMNS))
        write_census(found, path)
    return Census(dataset, path)


def open_census(census: Census, con: Backend) -> Table:
    """Return a census as a table.

    Raises:
        CannotDecide: it cannot be read.
    """
    import duckdb
    import ibis

    name = ibis.util.gen_name("gate_census")
    try:
        con.raw_sql(
            f"CREATE TEMP VIEW {name} AS SELECT * FROM read_parquet({literal(str(census.path))}, "  # noqa: S608
            "hive_partitioning = false)"
        )
    except duckdb.Error:
        raise CannotDecide("the census cannot be read", hint="look at the data again") from None
    return con.table(name)


def check_census(census: Census) -> Census:
    """Make sure that a census that came from somebody else has the form `take_census` gives it.

    Raises:
        InputError: it has not.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    try:
        groups = parquet.read_metadata(census.path)
        size = sum(groups.row_group(number).total_byte_size for number in range(groups.num_row_groups))
        if size > MAX_UNPACKED:
            raise InputError("is too large", where="census", hint=f"at most {MAX_UNPACKED} bytes unpacked")
        table = parquet.read_table(census.path, partitioning=None)
    except (pa.ArrowException, OSError):
        raise InputError("is not a Parquet file that can be read", where="census") from None
    account = [pa.string()] if census.dataset.account.kind != "column" else [pa.string(), pa.list_(pa.string())]
    sound = (
        tuple(table.column_names) == COLUMNS
        and _plain(table.schema.field("account").type) in account
        and table.schema.field("category").type == pa.string()
        and table.schema.field("no_category").type == pa.bool_()
        and table.schema.field("n").type == pa.int64()
        and not any(table[name].null_count for name in ("no_category", "n"))
        and (table.num_rows == 0 or pc.min(table["n"]).as_py() >= 0)
    )
    if not sound:
        raise InputError("has not the columns of a census", where="census", hint="use the client of this version")
    return census


def _plain(kind: object) -> object:
    """Read lists alike, whatever their items' field is called."""
    import pyarrow as pa

    return pa.list_(kind.value_type) if isinstance(kind, pa.ListType) else kind


def write_census(table: object, path: Path) -> None:
    """Write a census' table.

    Raises:
        CannotDecide: the file cannot be written.
    """
    from pyarrow import parquet

    try:
        parquet.write_table(table, path, compression="zstd")
    except OSError as error:
        raise CannotDecide(f"the census cannot be written: {error.strerror}", where=str(path.parent)) from None
