"""Copies a dataset's files into a folder, hashing exactly the bytes that are written there; keeps files at hand."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gate.domain.dataset import Dataset, DatasetVersion
from gate.errors import CannotDecide, GateError
from gate.scan.digest import THREADS, Manifest, ManifestEntry, hash_file, measure
from gate.scan.location import FileRef, changed, fingerprint, is_single_file, list_files, local_root

_FILE_MODE = 0o400  # to read, for this user only


def copy_files(dataset: Dataset, root: Path) -> tuple[Dataset, Manifest]:
    """Copy every file below `root`, by its path in the dataset; return the copy and what was copied.

    Raises:
        DatasetError: unreadable, or changed meanwhile.
        CannotDecide: the copy cannot be made.
    """
    files = list_files(dataset)
    with ThreadPoolExecutor(THREADS) as pool:
        entries = tuple(pool.map(lambda file: _copy_file(file, root / file.path), files))
    place = root / files[0].path if is_single_file(dataset, files) else root
    return replace(dataset, uri=f"file://{place}"), Manifest(dataset, entries)


@contextmanager
def at_hand(
    dataset: Dataset, folder: Path | None = None, *, shared: bool = False
) -> Iterator[tuple[Dataset, DatasetVersion]]:
    """Give a dataset of files that may be read several times, always with the same bytes, and the version they make.

    Local files are watched: they must be at the end what they were at the beginning. Remote ones are copied once: a
    store may answer a second reading with an older version and not tell. Errors name the dataset, not the copy.

    Args:
        dataset: no table.
        folder: where the copy is made; default: the system's folder for temporary files.
        shared: other machines read the dataset too, so a copy here is of no use: it is watched, as local files are.

    Raises:
        DatasetError: unreadable, or changed meanwhile (`dataset_changed`).
        CannotDecide: the copy cannot be made.
    """
    if shared or local_root(dataset) is not None:
        before = fingerprint(dataset)
        yield dataset, measure(dataset)[0]
        if fingerprint(dataset) != before:
            raise changed(dataset.uri)
        return
    with making_copy(folder or Path(tempfile.gettempdir())):
        place = Path(tempfile.mkdtemp(prefix="gate-copy-", dir=folder))
    copy = dataset
    try:
        copy, manifest = copy_files(dataset, place / "data")
        yield copy, manifest.version
    except GateError as error:
        error.where = error.where and error.where.replace(copy.uri, dataset.uri)
        raise
    finally:
        shutil.rmtree(place)


@contextmanager
def making_copy(where: Path) -> Iterator[None]:
    """Say so when the copy cannot be made.

    Raises:
        CannotDecide: no room, no permission.
    """
    try:
        yield
    except OSError as error:
        raise CannotDecide(
            f"no copy can be made: {error.strerror}", where=str(where), hint="it needs as much room as the dataset"
        ) from None


def _copy_file(file: FileRef, path: Path) -> ManifestEntry:
    with making_copy(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        with os.fdopen(descriptor, "wb") as out:
            return hash_file(file, copy=out.write)
