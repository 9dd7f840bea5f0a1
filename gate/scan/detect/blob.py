"""Bytes to look into, wherever they are: a file anywhere fsspec reaches, or a piece of a container in memory."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, BinaryIO, cast

from gate.errors import DatasetError
from gate.scan.location import FileRef, open_file, unreadable

HEAD = 1 << 16  # bytes read of every file


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes with a name.

    Attributes:
        name: of the file or member; only a hint about what is in it.
        size: of all its bytes, when known.
        whole: whether `opener` gives all of them; a piece unpacked in part is not whole.
        opener: opens the bytes for reading from anywhere; the caller closes what it returns.
    """

    name: str
    size: int
    whole: bool
    opener: Callable[[], BinaryIO]

    @property
    def extension(self) -> str:
        """The name's last part in lower case, without the dot; a packer's ending is taken off first."""
        name = self.name.rsplit("/", 1)[-1].lower()
        for packed in (".gz", ".bz2", ".xz", ".zst"):
            name = name.removesuffix(packed)
        return name.rpartition(".")[2]

    def read(self, size: int, at: int = 0) -> bytes:
        """Return up to `size` bytes from `at` on.

        Raises:
            DatasetError: unreadable.
        """
        try:
            with self.opener() as handle:
                if at:
                    handle.seek(at)
                parts, missing = [], size
                while missing > 0 and (part := handle.read(missing)):
                    parts.append(part)
                    missing -= len(part)
                return b"".join(parts)
        except (OSError, ValueError) as error:
            raise unreadable(error, self.name) from None


def of_file(file: FileRef) -> Blob:
    """Return a listed file as a blob."""
    return Blob(file.path, file.size, True, lambda: open_file(file))


def of_bytes(name: str, content: bytes, *, whole: bool = True) -> Blob:
    """Return bytes in memory as a blob."""
    return Blob(name, len(content), whole, lambda: io.BytesIO(content))


class BoundedReader(io.RawIOBase):
    """A view of a file that ends early: when its time is over or too much was read.

    Libraries in C cannot be interrupted, but they stop at the end of a file.
    """

    def __init__(self, handle: BinaryIO, deadline: float, most: int) -> None:
        self._handle, self._deadline, self._left = handle, deadline, most
        self.cut = False

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, none when a bound is reached."""
        if self._left <= 0 or time.monotonic() > self._deadline:
            self.cut = True
            return b""
        data = self._handle.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move in the file."""
        return self._handle.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in the file."""
        return self._handle.tell()


def opened(blob: Blob) -> IO[bytes]:
    """Open a blob buffered.

    Raises:
        DatasetError: unreadable.
    """
    try:
        return io.BufferedReader(cast("io.RawIOBase", blob.opener()))
    except (OSError, ValueError) as error:
        raise unreadable(error, blob.name) from None
    except DatasetError:
        raise
