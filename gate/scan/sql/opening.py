"""Gives a job the very rows it was permitted: read in the snapshot whose digest was found to be the permitted one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from gate.domain.dataset import DatasetVersion
from gate.errors import DatasetError
from gate.scan.opening import PermittedData
from gate.scan.sql.content import table_manifest
from gate.scan.sql.counting import is_listed, text_columns
from gate.scan.sql.snapshot import SqlSnapshot, snapshot

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.expr.datatypes import DataType


class PermittedTable(PermittedData):
    """A permitted version of a table: no copy is made, for nobody can change what a snapshot shows."""

    def __init__(self, version: DatasetVersion, directory: str | Path) -> None:
        super().__init__(version, directory)
        self._snapshot: SqlSnapshot | None = None

    def __enter__(self) -> Self:
        """Open a snapshot and verify it.

        Raises:
            DatasetError: `dataset_changed` when its rows are not the permitted ones; or it is not there.
            CannotDecide: the database cannot be reached.
        """
        with ExitStack() as stack:
            now = stack.enter_context(snapshot(self._version.dataset))
            self._compare(table_manifest(now)[0])
            self._snapshot, self._open = now, stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the snapshot."""
        if self._open is not None:
            self._open.close()
        self._open = self._snapshot = None

    def arrow(self) -> pa.Table:
        """Return the rows: accounts and categories as text, as they were counted; and what Arrow has no type for.

        Raises:
            DatasetError: it is closed.
            CannotDecide: the database failed.
        """
        if self._snapshot is None:
            raise DatasetError("is closed", where=self._version.dataset.uri, hint="read within the with block")
        now, table = self._snapshot, self._snapshot.table()
        account, category = text_columns(now)
        casts = {name: "string" for name, kind in table.schema().items() if not _fits(kind)}
        casts |= {name: "string" for name in (account, category) if name is not None}
        if account is not None and is_listed(now, account):
            casts[account] = "array<string>"
        return now.arrow(table.mutate(**{name: table[name].cast(kind) for name, kind in casts.items()}))

    def verify(self) -> None:
        """Do nothing: what a snapshot shows does not change."""

    def paths(self) -> NoReturn:
        """Refuse: a table has no files.

        Raises:
            DatasetError: always.
        """
        raise self._refused()

    def duckdb(self) -> NoReturn:
        """Refuse: the rows are in PostgreSQL.

        Raises:
            DatasetError: always.
        """
        raise self._refused()

    def _refused(self) -> DatasetError:
        return DatasetError("is a table of PostgreSQL", where=self._version.dataset.uri, hint="use arrow() or pandas()")


def _fits(kind: DataType) -> bool:
    """Whether Arrow takes values of an Ibis type as psycopg gives them."""
    single = kind.value_type if kind.is_array() else kind
    return bool(
        single.is_string() or single.is_numeric() or single.is_boolean() or single.is_temporal() or single.is_binary()
    )
