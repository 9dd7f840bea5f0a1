"""Unpacks the beginning of compressed files, never more than the bounds allow."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from gate.scan.detect.blob import Blob, of_bytes
from gate.scan.detect.budget import Budget

_CHUNK = 1 << 16
_XZ_MEMORY = 256 << 20  # bytes; larger dictionaries are refused
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def packed_as(head: bytes) -> str | None:
    """Return the compression `head` begins, `None` when it is none."""
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


def unpack(blob: Blob, packer: str, budget: Budget, most: int) -> tuple[Blob, str | None]:
    """Return the first `most` bytes that `blob` unpacks to, and what went wrong or was left out, if anything."""
    if packer == "zstd":
        content, problem = _zstd(blob, most)
    else:
        content, problem = _stream(blob, _MAKERS[packer], budget, most)
    name = blob.name
    for ending in (".gz", ".bz2", ".xz", ".zst", ".tgz"):
        name = name.removesuffix(ending)
    return of_bytes(name, content, whole=problem is None), problem


_MAKERS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": lambda: _Zlib(),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY),
}


class _Zlib:
    """zlib's decompressor with the others' manners: input that did not fit is kept."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _stream(blob: Blob, make: Callable[[], _Decompressor], budget: Budget, most: int) -> tuple[bytes, str | None]:
    parts: list[bytes] = []
    got = 0
    try:
        with blob.opener() as handle:
            engine = make()
            data = handle.read(_CHUNK)
            while got < most and not budget.spent:
                part = engine.decompress(data, most - got)
                parts.append(part)
                got += len(part)
                if engine.eof:
                    data = engine.unused_data or handle.read(_CHUNK)
                    if not data.strip(b"\0"):
                        return b"".join(parts), None
                    engine = make()
                    continue
                data = handle.read(_CHUNK) if not part or got < most else b""
                if not data and not part:
                    return b"".join(parts), "the compressed file is cut off"
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        return b"".join(parts), f"the compressed file is damaged ({type(error).__name__})"
    return b"".join(parts), f"only the first {got:,} unpacked bytes were looked at"


def _zstd(blob: Blob, most: int) -> tuple[bytes, str | None]:
    import pyarrow as pa

    try:
        with blob.opener() as handle, pa.CompressedInputStream(pa.PythonFile(handle, "r"), "zstd") as stream:
            content = bytes(stream.read(most))
            more = len(content) == most and bool(stream.read(1))
    except (OSError, ValueError, pa.ArrowException) as error:
        return b"", f"the compressed file is damaged ({type(error).__name__})"
    return content, f"only the first {len(content):,} unpacked bytes were looked at" if more else None
