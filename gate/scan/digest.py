"""The content digest of a dataset version: SHA-256 of every file, and of the list of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from gate.domain.canonical import digest
from gate.domain.dataset import TABLES, Dataset, DatasetVersion
from gate.scan.location import FileRef, changed, list_files, read_chunks
from gate.scan.progress import counter

THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One file: its path in the dataset, its size in bytes and the 64 hex digits of its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Every file of a dataset version, sorted by path: what the version's digest is the digest of."""

    dataset: Dataset
    entries: tuple[ManifestEntry, ...]

    @property
    def version(self) -> DatasetVersion:
        """The dataset version these files make."""
        size = sum(entry.size for entry in self.entries)
        return DatasetVersion(self.dataset, digest(self.to_list()), len(self.entries), size)

    def to_list(self) -> list[list[Any]]:
        """Return `[path, size, sha256]` of every file: JSON-ready, and the bytes under the digest."""
        return [[entry.path, entry.size, entry.sha256] for entry in self.entries]

    @classmethod
    def from_list(cls, dataset: Dataset, rows: Sequence[Sequence[Any]]) -> Manifest:
        """Read what `to_list` wrote."""
        return cls(dataset, tuple(ManifestEntry(*row) for row in rows))

    def first_difference(self, other: Manifest) -> str | None:
        """Return the path of the first file that only one of the two has, or has otherwise; `None` when equal."""
        mine: Mapping[str, ManifestEntry] = {entry.path: entry for entry in self.entries}
        theirs = {entry.path: entry for entry in other.entries}
        return min((path for path in mine.keys() | theirs.keys() if mine.get(path) != theirs.get(path)), default=None)


def measure(dataset: Dataset) -> tuple[DatasetVersion, Manifest]:
    """Hash every file of the dataset, several at a time; return the version and what it is made of.

    The digest covers names and bytes of all files, hidden ones and markers included; not times, owners or modes. Of a
    table it covers columns and rows: see `gate.scan.sql.content`.

    Raises:
        DatasetError: missing, empty or unreadable; `dataset_changed` when a file changes, comes or goes meanwhile.
    """
    if dataset.uri.startswith(TABLES):
        from gate.scan.sql.content import measure_table

        return measure_table(dataset)
    files = list_files(dataset)
    read = counter("hashing", sum(file.size for file in files))
    with ThreadPoolExecutor(THREADS) as pool:
        entries = tuple(pool.map(lambda file: hash_file(file, read), files))
    if list_files(dataset) != files:
        raise changed(dataset.uri)
    manifest = Manifest(dataset, entries)
    return manifest.version, manifest


def hash_file(
    file: FileRef, read: Callable[[int], None] | None = None, copy: Callable[[bytes], object] | None = None
) -> ManifestEntry:
    """Read one file whole and return its entry.

    Args:
        file: a file as `list_files` gives it.
        read: told how many more bytes were read.
        copy: given every chunk that was hashed, in order.

    Raises:
        DatasetError: unreadable, or changed since it was listed.
    """
    hasher = hashlib.sha256()
    for chunk in read_chunks(file):
        hasher.update(chunk)
        if copy is not None:
            copy(chunk)
        if read is not None:
            read(len(chunk))
    return ManifestEntry(file.path, file.size, hasher.hexdigest())
