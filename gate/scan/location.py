"""Finds the files of a dataset, wherever fsspec can reach, and reads their bytes so that no change goes unnoticed."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gate.domain.dataset import TABLES, Dataset
from gate.domain.words import Reason
from gate.errors import DatasetError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

CHUNK = 1 << 20  # bytes per read
_MAGIC = "*?["
_VERSION = ("ETag", "etag", "version_id", "generation", "mtime", "LastModified", "created")  # as fsspec's stores say it


@dataclass(frozen=True, slots=True)
class FileRef:
    """One file of a dataset.

    Attributes:
        path: relative to the dataset's root, parts joined with `/`; a single file's own name.
        url: absolute path of a local file, else the full URL.
        size: bytes, when listed.
    """

    path: str
    url: str
    size: int

    @property
    def is_local(self) -> bool:
        """Whether `url` is a path of this machine."""
        return self.url.startswith("/")


def list_files(dataset: Dataset) -> tuple[FileRef, ...]:
    """List every file of the dataset, sorted by relative path: hidden files and markers too.

    A folder is walked to its leaves. A glob (`*`, `**`, `?`, `[…]`) takes the files it matches and walks the folders
    it matches; paths are then relative to the longest part without a wildcard. A link to a file within the root is
    followed; every other link (to a folder, out of the root, in a circle, to nothing) is refused.

    Raises:
        DatasetError: missing, empty, unreadable, or holding something that is neither file nor folder.
    """
    if dataset.uri.startswith(TABLES):
        raise DatasetError("is a table, and this takes files", where=dataset.uri, hint="export the table to Parquet")
    root = local_root(dataset)
    files = _local_files(root) if root is not None else _remote_files(dataset)
    if not files:
        raise DatasetError("holds no files", where=dataset.uri, hint="check the location or the glob")
    ordered = tuple(sorted(files, key=lambda file: file.path))
    for file in ordered:
        _check_path(file.path, dataset.uri)
    if len({file.path for file in ordered}) < len(ordered):
        raise DatasetError("two of its files have the same relative path", where=dataset.uri)
    return ordered


def fingerprint(dataset: Dataset) -> tuple[tuple[object, ...], ...]:
    """Return a cheap sign of the files' state: equal before and after means nothing was written or put back between.

    It goes with a digest, never instead of one. Local files are told apart by inode and change time, which no user
    can set; remote ones by whatever their store tells of a version.

    Raises:
        DatasetError: as `list_files`.
    """
    files = list_files(dataset)
    if local_root(dataset) is None:
        store, _ = filesystem(dataset.uri)
        known = [store.info(file.url) for file in files]
        return tuple(
            (file.path, file.size, *(str(info.get(name)) for name in _VERSION))
            for file, info in zip(files, known, strict=True)
        )
    try:
        states = [Path(file.url).stat() for file in files]
    except OSError:
        raise changed(dataset.uri) from None
    return tuple(
        (file.path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        for file, state in zip(files, states, strict=True)
    )


def is_single_file(dataset: Dataset, files: Sequence[FileRef]) -> bool:
    """Whether the dataset's location is its one file, not a folder or glob."""
    return len(files) == 1 and files[0].path == dataset.uri.rsplit("/", 1)[-1]


def local_root(dataset: Dataset) -> str | None:
    """Return the dataset's local path (perhaps a glob), or `None` when it is remote.

    Raises:
        DatasetError: a `file://` URI without an absolute path.
    """
    if not dataset.uri.startswith("file://"):
        return None
    path = dataset.uri.removeprefix("file://") or "/"
    if not path.startswith("/"):
        raise DatasetError(
            "a file URI must hold an absolute path", where=dataset.uri, hint="like file:///lake/meetings"
        )
    return path


def read_chunks(file: FileRef) -> Iterator[bytes]:
    """Yield the file's bytes, at most 1 MiB at a time.

    Raises:
        DatasetError: unreadable, or (`dataset_changed`) other than listed or changed while being read.
    """
    read = 0
    try:
        with open_file(file) as handle:
            before = _stamp(file, handle)
            while chunk := handle.read(CHUNK):
                read += len(chunk)
                yield chunk
            after = _stamp(file, handle)
    except (OSError, ValueError) as error:
        raise unreadable(error, file.path) from None
    if read != file.size or before != after:
        raise changed(file.path)


def copy_to(file: FileRef, out: BinaryIO) -> None:
    """Write the file's bytes to an empty file: by the kernel where it can, so that blocks are shared until one changes.

    Raises:
        DatasetError: as `read_chunks`.
        OSError: `out` takes no more.
    """
    if not _cloned(file, out):
        out.seek(0)
        out.truncate()
        out.writelines(read_chunks(file))


def _cloned(file: FileRef, out: BinaryIO) -> bool:
    """Copy as `copy_to`; whatever the kernel cannot do, reading does or tells."""
    if not file.is_local or not hasattr(os, "copy_file_range"):
        return False
    copied = 0
    try:
        with open_file(file) as handle:
            before = _stamp(file, handle)
            while more := os.copy_file_range(handle.fileno(), out.fileno(), 2**30):
                copied += more
            after = _stamp(file, handle)
    except OSError:
        return False
    if copied != file.size or before != after:
        raise changed(file.path)
    return True


def read_head(file: FileRef, size: int) -> bytes:
    """Return the first `size` bytes of the file, fewer when it is shorter.

    Raises:
        DatasetError: unreadable.
    """
    try:
        with open_file(file) as handle:
            return handle.read(size)
    except (OSError, ValueError) as error:
        raise unreadable(error, file.path) from None


def filesystem(uri: str) -> tuple[AbstractFileSystem, str]:
    """Return fsspec's filesystem for `uri` and the path within it.

    Raises:
        DatasetError: a protocol fsspec does not know, or whose package is not installed.
    """
    from fsspec.core import url_to_fs

    try:
        fs, path = url_to_fs(uri)
    except ImportError as error:
        raise DatasetError("needs a package that is not installed", where=uri, hint=str(error)) from None
    except (OSError, ValueError) as error:
        raise unreadable(error, uri) from None
    return fs, path


def unreadable(error: Exception, where: str) -> DatasetError:
    """Return the DatasetError that says why `where` could not be read."""
    match error:
        case FileNotFoundError():
            return DatasetError("does not exist", where=where, hint="check the location")
        case PermissionError():
            return DatasetError("may not be read by this user", where=where, hint="give this user read permission")
        case OSError():
            return DatasetError(f"cannot be read: {error.strerror or type(error).__name__}", where=where)
        case _:
            return DatasetError(f"cannot be read: {error}", where=where)


def changed(where: str) -> DatasetError:
    """Return the DatasetError for bytes that are not what they were."""
    return DatasetError(
        "changed while or after it was examined",
        where=where,
        hint="tag the dataset again once nothing writes to it",
        reason=Reason.DATASET_CHANGED.value,
    )


def _check_path(path: str, uri: str) -> None:
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise DatasetError(f"holds a file whose name points elsewhere: {path!r}", where=uri)
    if not path.isprintable() and any(0xD800 <= ord(char) <= 0xDFFF for char in path):
        raise DatasetError(f"holds a file whose name is not UTF-8: {path!r}", where=uri, hint="rename the file")


def _local_files(root: str) -> list[FileRef]:
    if os.path.lexists(root):
        return _local_tree(root, root)
    if not any(char in root for char in _MAGIC):
        try:
            Path(root).lstat()  # missing, or behind a folder this user may not enter
        except OSError as error:
            raise unreadable(error, root) from None
    base = _glob_base(root)
    found: dict[str, FileRef] = {}
    for match in glob.iglob(root, recursive=True, include_hidden=True):  # noqa: PTH207 pathlib has no include_hidden
        if match.rstrip("/") != base:
            found |= {file.url: file for file in _local_tree(match.rstrip("/"), base)}
    return list(found.values())


def _glob_base(pattern: str) -> str:
    fixed = []
    for part in pattern.split("/"):
        if any(char in part for char in _MAGIC):
            break
        fixed.append(part)
    return "/".join(fixed) or "/"


def _local_tree(top: str, base: str) -> list[FileRef]:
    """Return the files under `top`, relative to `base`; `top` itself may be a link."""
    try:
        if top != base and Path(top).is_symlink():
            return [_linked_file(top, base)]
        status = Path(top).stat()
        if not stat.S_ISDIR(status.st_mode):
            return [_local_file(top, base, status)]
        files: list[FileRef] = []
        folders = [top]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        files.append(_linked_file(entry.path, base))
                    elif entry.is_dir():
                        folders.append(entry.path)
                    else:
                        files.append(_local_file(entry.path, base, entry.stat()))
    except OSError as error:
        raise unreadable(error, str(error.filename or top)) from None
    return files


def _linked_file(path: str, base: str) -> FileRef:
    inside = os.path.realpath(base)
    try:
        target = os.path.realpath(path, strict=True)
    except OSError:
        raise DatasetError("is a link that leads nowhere", where=path, hint="remove the link") from None
    status = Path(target).stat()
    if not stat.S_ISREG(status.st_mode) or os.path.commonpath([inside, target]) != inside:
        raise DatasetError("is a link to a folder or out of the dataset", where=path, hint="copy the files into it")
    return _local_file(path, base, status)


def _local_file(path: str, base: str, status: os.stat_result) -> FileRef:
    if not stat.S_ISREG(status.st_mode):
        raise DatasetError("is neither a file nor a folder", where=path, hint="remove the pipe, socket or device")
    relative = Path(path).name if path == base else path[len(base.rstrip("/")) + 1 :]
    return FileRef(relative, path, status.st_size)


def _remote_files(dataset: Dataset) -> list[FileRef]:
    fs, root = filesystem(dataset.uri)
    fs.invalidate_cache()
    try:
        if any(char in root for char in _MAGIC) and not fs.exists(root):
            base = _glob_base(root)
            infos: dict[str, Any] = {}
            for path, info in fs.glob(root, detail=True).items():
                infos |= fs.find(path, detail=True) if info["type"] == "directory" else {path: info}
        elif fs.isfile(root):
            base, infos = root.rpartition("/")[0], {root: fs.info(root)}
        else:
            base, infos = root, fs.find(root, detail=True)
            if not infos and not fs.exists(root):
                raise FileNotFoundError
    except (OSError, ValueError) as error:
        raise unreadable(error, dataset.uri) from None
    return [
        FileRef(path[len(base.rstrip("/")) + 1 :], fs.unstrip_protocol(path), int(info["size"]))
        for path, info in infos.items()
        if info["type"] != "directory" and not (path.endswith("/") and not info["size"])  # object stores' folder marks
    ]


def open_file(file: FileRef) -> BinaryIO:
    """Open a listed file; whoever opens it closes it.

    Raises:
        OSError, ValueError: it cannot be opened; see `unreadable`.
        DatasetError: something else took its place.
    """
    if not file.is_local:
        fs, path = filesystem(file.url)
        handle: BinaryIO = fs.open(path, "rb")
        return handle
    # without O_NONBLOCK, opening a pipe put in the file's place would wait for ever
    descriptor = os.open(file.url, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise changed(file.path)
    return os.fdopen(descriptor, "rb", buffering=0)


def _stamp(file: FileRef, handle: BinaryIO) -> object:
    """Return what differs once the file was written to or replaced."""
    if not file.is_local:
        fs, path = filesystem(file.url)
        fs.invalidate_cache()
        return fs.ukey(path)
    status, named = os.fstat(handle.fileno()), Path(file.url).stat()
    return (status.st_size, status.st_mtime_ns, status.st_ino, named.st_ino, named.st_dev)
