"""Opens a dataset as an Ibis table over DuckDB, with each row's account and category as the text that was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gate.domain.dataset import Dataset
from gate.scan.engine import reading
from gate.scan.formats import Format, Layout, detect
from gate.scan.location import FileRef
from gate.scan.paths import partitions_of_path, path_reader
from gate.scan.readers import FILE, Wanted, parquet_footer, query_of

if TYPE_CHECKING:
    from ibis import Table
    from ibis.backends.duckdb import Backend

PATH_ACCOUNT = "gate_path_account"  # key of `Source.of_path` with the account a path pattern found
_FOOTERS = 100  # files whose footers are read again, only to tell how far a scan is
ROWS = "gate_rows"  # column with the number of rows that a row of a counted source stands for


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset opened for reading.

    Attributes:
        table: its rows with the columns of its files and `readers.FILE`; one row a file when it is no table.
        of_path: partition columns and `PATH_ACCOUNT`: their value for each file of the layout, in order.
        account: column with the account, of `table` or of `of_path`; `None` for `constant` and `nobody`.
        category: column with the category, of `table` or of `of_path`; `None` when rows do not differ.
        counted: another engine counted already: a row stands for as many as its column `ROWS` says.
    """

    layout: Layout
    table: Table
    of_path: Mapping[str, Sequence[str | None]]
    account: str | None
    category: str | None
    counted: bool = False


def relation(dataset: Dataset, con: Backend) -> Table:
    """Return the dataset's rows: the columns of its files, then its partition columns as text.

    The account column is text or a list of text, the category column text. A dataset of files has the columns `path`
    (text), `account` (text) and `size` (bytes).

    Raises:
        DatasetError: see `open_source`.
    """
    return whole_rows(open_source(dataset, con, everything=True))


def whole_rows(source: Source) -> Table:
    """Return the rows of a dataset that was opened with `everything`, as `relation` does."""
    import ibis

    table = source.table
    for name, values in source.of_path.items():
        if name != PATH_ACCOUNT and name not in table.columns:  # a lookup, where a join would shuffle the rows
            looked_up = ibis.literal(list(values), "array<string>")[table[FILE].cast("int64")]
            table = table.mutate(**{name: looked_up})
    return table.drop(FILE) if FILE in table.columns else table


def open_source(dataset: Dataset, con: Backend, *, everything: bool = False) -> Source:
    """Open the dataset and check that its account and category columns can be trusted.

    Args:
        dataset: what to open.
        con: from `engine.engine`.
        everything: other columns too, where leaving them out is cheaper.

    Raises:
        DatasetError: as `formats.detect` and `readers.query_of`.
    """
    return open_layout(detect(dataset), con, everything=everything)


def open_layout(layout: Layout, con: Backend, *, everything: bool = False) -> Source:
    """Open files that are known already; see `open_source`."""
    import ibis

    if layout.format is None:
        return _files_source(layout)
    wanted, of_path, named = wanted_of(layout, everything=everything)
    with reading(layout.dataset):
        query = query_of(layout, wanted, con)
        name = ibis.util.gen_name("gate_rows")
        con.raw_sql(f"CREATE TEMP VIEW {name} AS {query}")
        return Source(layout, con.table(name), of_path, *named)


def wanted_of(
    layout: Layout, *, everything: bool = False
) -> tuple[Wanted, dict[str, list[str | None]], tuple[str | None, str | None]]:
    """Return what to read of a table's files, what their paths say, and the names of account and category."""
    dataset = layout.dataset
    of_path = _of_path(layout)
    account = {"column": dataset.account.value, "path": PATH_ACCOUNT}.get(dataset.account.kind)
    named = (account, dataset.category_column)
    wanted = Wanted(
        account=None if account in of_path else account,
        category=None if dataset.category_column in of_path else dataset.category_column,
        absent=frozenset(name for name in named if name is not None and name in of_path),
        everything=everything,
    )
    return wanted, of_path, named


def amount(layout: Layout) -> tuple[Callable[[], int], Literal["bytes", "rows"]]:
    """Return what works out how much there is to count: rows where a few footers tell, else bytes."""
    if layout.format is Format.PARQUET and len(layout.files) <= _FOOTERS:
        return lambda: sum(parquet_footer(file)[0] for file in layout.files), "rows"
    return lambda: sum(file.size for file in layout.files), "bytes"


def path_accounts(dataset: Dataset, files: Sequence[FileRef]) -> list[str | None]:
    """Return the account each file belongs to as a whole: by path pattern or constant, else `None`."""
    match dataset.account.kind:
        case "path":
            return [*map(path_reader(dataset.account.value), (file.path for file in files))]
        case "constant":
            return [dataset.account.value] * len(files)
        case _:
            return [None] * len(files)


def _of_path(layout: Layout) -> dict[str, list[str | None]]:
    partitions = [partitions_of_path(file.path) for file in layout.files]
    keys = sorted({key for found in partitions for key in found})
    columns = {key: [found.get(key) for found in partitions] for key in keys}
    if layout.dataset.account.kind == "path":
        columns[PATH_ACCOUNT] = path_accounts(layout.dataset, layout.files)
    return columns


def _files_source(layout: Layout) -> Source:
    import ibis
    import pyarrow as pa

    table = pa.table(
        {
            "path": pa.array([file.path for file in layout.files], pa.string()),
            "account": pa.array(path_accounts(layout.dataset, layout.files), pa.string()),
            "size": pa.array([file.size for file in layout.files], pa.int64()),
        }
    )
    return Source(layout, ibis.memtable(table), {}, "account", None)
