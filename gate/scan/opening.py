"""Gives a job exactly the bytes it was permitted: a private copy, verified while it is made and again at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gate.domain.dataset import Dataset, DatasetVersion
from gate.domain.words import Reason
from gate.errors import DatasetError
from gate.scan.copying import copy_files, making_copy
from gate.scan.digest import Manifest, measure
from gate.scan.engine import engine, reading
from gate.scan.location import list_files
from gate.scan.tables import relation

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from duckdb import DuckDBPyRelation

_FOLDER_MODE = 0o500  # to read, for this user only


class PermittedData:
    """A private, read-only copy of one dataset version; a context manager that removes the copy at the end.

    Only what was hashed is ever handed out, so a file that others change after the permit cannot slip in.

    Args:
        version: what was permitted.
        directory: existing folder of this user in which the copy is made; needs as much room as the dataset.
        manifest: of that version, to name the file that differs.
    """

    def __init__(self, version: DatasetVersion, directory: str | Path, manifest: Manifest | None = None) -> None:
        self._version = version
        self._directory = Path(directory)
        self._manifest = manifest
        self._open: ExitStack | None = None
        self._copy: Dataset | None = None

    def __enter__(self) -> Self:
        """Copy and verify the dataset.

        Raises:
            DatasetError: `dataset_changed` when the bytes are not the permitted ones; or unreadable.
            CannotDecide: the copy cannot be made.
        """
        with ExitStack() as stack:
            folder = self._private_folder()
            stack.callback(_remove, folder)
            self._copy = self._copied(folder)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Verify the copy again, unless the block failed already, and remove it."""
        try:
            if kind is None:
                self.verify()
        finally:
            if self._open is not None:
                self._open.close()
            self._open = self._copy = None

    def open(self) -> Self:
        """Enter without `with`; `close` must follow."""
        return self.__enter__()

    def close(self) -> None:
        """Verify the copy again and remove it.

        Raises:
            DatasetError: `dataset_changed`: what was read is not what was permitted.
        """
        self.__exit__(None, None, None)

    def paths(self) -> tuple[Path, ...]:
        """Return every file of the version, sorted by its path in the dataset."""
        return tuple(Path(file.url) for file in list_files(self._dataset))

    def arrow(self) -> pa.Table:
        """Return the rows: as `tables.relation` says, so accounts are text.

        Raises:
            DatasetError: the files cannot be read as they were when they were counted.
        """
        with engine() as con, reading(self._dataset):
            table: pa.Table = con.to_pyarrow(relation(self._dataset, con))
        return table

    def pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas frame; see `arrow`."""
        frame: pd.DataFrame = self.arrow().to_pandas()
        return frame

    def duckdb(self) -> DuckDBPyRelation:
        """Return the rows as a DuckDB relation that reads the copy as it is asked; of use until the copy is closed."""
        con = self._stack.enter_context(engine())
        with reading(self._dataset):
            con.create_view("data", relation(self._dataset, con))
            return con.con.view("data")

    def verify(self) -> None:
        """Hash the copy again.

        Raises:
            DatasetError: `dataset_changed`.
        """
        now = replace(measure(self._dataset)[1], dataset=self._version.dataset)
        self._compare(now)

    @property
    def _dataset(self) -> Dataset:
        if self._copy is None:
            raise DatasetError("is closed", where=self._version.dataset.uri, hint="read within the with block")
        return self._copy

    @property
    def _stack(self) -> ExitStack:
        if self._open is None:
            raise DatasetError("is closed", where=self._version.dataset.uri, hint="read within the with block")
        return self._open

    def _private_folder(self) -> Path:
        with making_copy(self._directory):
            return Path(tempfile.mkdtemp(prefix="permitted-", dir=self._directory))

    def _copied(self, folder: Path) -> Dataset:
        copy, manifest = copy_files(self._version.dataset, folder / "data")
        for parent, _, _ in os.walk(folder):
            Path(parent).chmod(_FOLDER_MODE)
        self._compare(manifest)
        return copy

    def _compare(self, found: Manifest) -> None:
        if found.version.digest == self._version.digest:
            return
        differs = self._manifest.first_difference(found) if self._manifest is not None else None
        raise DatasetError(
            "is not the version that was permitted",
            where=differs or self._version.dataset.uri,
            hint="tag the dataset and run its gate again",
            reason=Reason.DATASET_CHANGED.value,
        )


def _remove(folder: Path) -> None:
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)
    shutil.rmtree(folder)
