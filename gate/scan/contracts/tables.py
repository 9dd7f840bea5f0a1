"""Reads the columns that rules are about from a dataset's tables, through DuckDB, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gate.domain.dataset import Dataset
from gate.scan.engine import arrow_batches, engine, reading
from gate.scan.tables import open_source, whole_rows

if TYPE_CHECKING:
    from ibis import Table
    from ibis.backends.duckdb import Backend


@dataclass(frozen=True, slots=True)
class Opened:
    """A dataset's table; `names` are its columns, partitions included."""

    dataset: Dataset
    table: Table
    con: Backend

    @property
    def names(self) -> tuple[str, ...]:
        """The table's columns."""
        return tuple(self.table.columns)

    def frames(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        """Yield pandas frames of about so many rows: whole numbers stay whole where there are nulls, too.

        Raises:
            DatasetError: the data cannot be parsed.
        """
        import pandas as pd
        import pyarrow as pa

        kept = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
        with reading(self.dataset):
            query = self.con.compile(self.table.select(*columns))
            for batches in _gathered(arrow_batches(query, self.con, rows), rows):
                yield pa.Table.from_batches(batches).to_pandas(types_mapper=kept.get)


def _gathered(reader: Iterable[Any], rows: int) -> Iterator[list[Any]]:
    """Put batches together, for they end where a file or a row group ends, and each costs a validation."""
    batches: list[Any] = []
    for batch in reader:
        batches.append(batch)
        if sum(one.num_rows for one in batches) >= rows:
            yield batches
            batches = []
    if batches:
        yield batches


@contextmanager
def open_tables(dataset: Dataset) -> Iterator[Opened | None]:
    """Open a dataset's table; `None` when its files are no tables.

    Raises:
        DatasetError: as `gate.scan.tables.open_source`.
    """
    with engine() as con:
        source = open_source(dataset, con, everything=True)
        yield None if source.layout.format is None else Opened(dataset, whole_rows(source), con)
