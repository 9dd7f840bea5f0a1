"""One file of a dataset of which a subset is cut, and which of its rows stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gate.errors import DatasetError
from gate.scan.location import FileRef, filesystem
from gate.scan.passing import Passing, has_text
from gate.scan.tables import Source, path_accounts

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the source and where its rows go."""

    source: Source
    place: int
    passing: Passing
    path: Path

    @property
    def file(self) -> FileRef:
        """The file of the source."""
        return self.source.layout.files[self.place]

    def mask(self, batch: pa.RecordBatch | pa.Table, account: str | None, category: str | None) -> pa.Array:
        """Return which rows of the batch stay; the columns are named, `None` where the path says it."""
        import pyarrow.compute as pc

        rows = self.passing.mask(self._column(batch, self.source.account, account))
        if self.source.category is None:
            return rows
        return pc.and_(rows, has_text(self._column(batch, self.source.category, category)))

    def _column(self, batch: pa.RecordBatch | pa.Table, name: str | None, column: str | None) -> pa.Array:
        import pyarrow as pa

        if column is not None:
            found = batch[column]
            return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
        known = self.source.of_path.get(name) if name is not None else None
        value = path_accounts(self.source.layout.dataset, [self.file])[0] if known is None else known[self.place]
        return pa.repeat(pa.scalar(value, pa.string()), batch.num_rows)

    @property
    def columns(self) -> tuple[str | None, str | None]:
        """Account and category column, as far as they stand in the files."""
        account, category = (
            name if name not in self.source.of_path else None for name in (self.source.account, self.source.category)
        )
        return account, category


@contextmanager
def undamaged(file: FileRef) -> Iterator[None]:
    """Say so when Arrow cannot read on; without Arrow's own words, which quote the data."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError):
        raise DatasetError("is truncated or damaged", where=file.path, hint="write the file again") from None


@contextmanager
def binary(file: FileRef) -> Iterator[BinaryIO]:
    """Open a file's bytes, wherever it is."""
    if file.is_local:
        with Path(file.url).open("rb") as handle:
            yield handle
        return
    fs, path = filesystem(file.url)
    with fs.open(path, "rb") as handle:
        yield handle
