"""Lists the files of a path and chooses which to look into: some of every folder and kind, whatever their number."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from gate.domain.dataset import Dataset
from gate.errors import DatasetError
from gate.scan.detect.archive import kind_of, spread
from gate.scan.location import FileRef, list_files, local_root, unreadable

FILES = 400  # of a folder looked into
_EACH = 24  # of one folder and extension
_LISTED = 500_000  # files listed at most
_LIST_SECONDS = 15.0


@dataclass(slots=True)
class Listing:
    """Files chosen from a path.

    Attributes:
        files: to look into, sorted.
        total: files there are, as far as they were listed.
        folder: whether the path is a folder or a glob.
        incomplete: whether something that belongs to it could not be listed.
        notes: what was left out and why.
    """

    files: list[FileRef] = field(default_factory=list)
    total: int = 0
    folder: bool = False
    incomplete: bool = False
    notes: list[str] = field(default_factory=list)


def list_sample(source: Dataset) -> Listing:
    """Return the files of `source` to look into.

    Raises:
        DatasetError: missing, empty, or not a file or folder.
    """
    root = local_root(source)
    if root is None or not os.path.lexists(root):
        return _chosen(Listing(folder=True), list(list_files(source)), source)
    path = Path(root)
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(error, source.uri) from None
    if stat.S_ISREG(status.st_mode):
        return Listing([FileRef(path.name, str(path), status.st_size)], 1)
    if not stat.S_ISDIR(status.st_mode):
        raise DatasetError("is neither a file nor a folder", where=source.uri)
    listing = Listing(folder=True)
    return _chosen(listing, _walk(path, listing), source)


def _chosen(listing: Listing, files: list[FileRef], source: Dataset) -> Listing:
    if not files and not listing.incomplete:
        raise DatasetError("holds no files", where=source.uri, hint="check the location")
    single = len(files) == 1 and files[0].path == source.uri.rsplit("/", 1)[-1]
    listing.folder = not single
    files = [file for file in files if file.size or len(files) == 1]
    files.sort(key=lambda file: file.path)
    listing.total = len(files)
    listing.files = spread(files, [kind_of(file.path) for file in files], FILES, _EACH)
    if len(listing.files) < listing.total:
        listing.notes.append(
            f"{len(listing.files)} of {listing.total} files were looked into, some of each folder and kind"
        )
    return listing


def _walk(root: Path, listing: Listing) -> list[FileRef]:
    """List the files under a local folder; links are not followed, and said."""
    files: list[FileRef] = []
    folders, base, end = [str(root)], len(str(root).rstrip("/")) + 1, time.monotonic() + _LIST_SECONDS
    while folders:
        if len(files) > _LISTED or time.monotonic() > end:
            listing.notes.append(f"only the first {len(files)} files were listed")
            break
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    _take(entry, base, files, folders, listing)
        except OSError as error:
            listing.incomplete = True
            listing.notes.append(f"{folder[base:] or '.'}: {unreadable(error, folder).message}")
    return files


def _take(entry: os.DirEntry[str], base: int, files: list[FileRef], folders: list[str], listing: Listing) -> None:
    relative = entry.path[base:]
    if entry.is_symlink():
        listing.incomplete = True
        listing.notes.append(f"{relative}: is a link, which is not followed")
    elif entry.is_dir():
        folders.append(entry.path)
    elif entry.is_file():
        files.append(FileRef(relative, entry.path, entry.stat().st_size))
    else:
        listing.incomplete = True
        listing.notes.append(f"{relative}: is neither a file nor a folder")
