"""A zip archive that has one form only: the same files give the same bytes, and any other bytes are no archive.

Nothing is compressed, so no archive unpacks to more than it weighs; there are no folders, links, times or comments.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping

from gate.errors import InputError, TamperingFound

MOST_BYTES = 256 * 1024 * 1024  # of an archive
MOST_FILES = 10_000

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}(/[a-z0-9][a-z0-9._-]{0,99}){0,3}")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")  # APPNOTE.TXT section 4.3.7
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")  # 4.3.12
_END = struct.Struct("<4sHHHHIIH")  # 4.3.16
_VERSION, _UNIX = 20, 3 << 8
_DATE = 0x0021  # 1980-01-01, the first that a zip can tell
_MODE = 0o100644 << 16


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return the archive of files, sorted by name.

    Args:
        files: name → content; names in lower case, with at most three `/`.

    Raises:
        InputError: a name that cannot stand in it, or too much.
    """
    return b"".join(_pieces(files))


def unpack(data: bytes) -> dict[str, bytes]:
    """Return the files of an archive, if `pack` would write these very bytes of them.

    Raises:
        TamperingFound: it would not: altered, cut off, or made by something else.
    """
    try:
        files = _read(data)
        whole = _is_made_of(data, _pieces(files))
    except (struct.error, UnicodeDecodeError, InputError):
        whole = False
    if not whole:
        raise TamperingFound(
            "is not an archive as we write them", where="archive", hint="copy it anew, as a whole and unchanged"
        )
    return files


def _pieces(files: Mapping[str, bytes]) -> Iterator[bytes]:
    """Yield the archive of files piece by piece."""
    for name in files:
        if not _NAME.fullmatch(name):
            raise InputError(f"{name[:80]!r} cannot be the name of a file in it", where="archive")
    if len(files) > MOST_FILES or sum(map(len, files.values())) > MOST_BYTES:
        raise InputError(
            f"more than {MOST_FILES} files or {MOST_BYTES >> 20} MiB", where="archive", hint="ask for less at a time"
        )
    place, directory = 0, bytearray()
    for name, content in sorted(files.items()):
        known = (_VERSION, 0, 0, 0, _DATE, zlib.crc32(content), len(content), len(content), len(name), 0)
        directory += _CENTRAL.pack(b"PK\x01\x02", _UNIX | _VERSION, *known, 0, 0, 0, _MODE, place) + name.encode()
        header = _LOCAL.pack(b"PK\x03\x04", *known) + name.encode()
        yield header
        yield content
        place += len(header) + len(content)
    yield bytes(directory)
    yield _END.pack(b"PK\x05\x06", 0, 0, len(files), len(files), len(directory), place, 0)


def _is_made_of(data: bytes, pieces: Iterable[bytes]) -> bool:
    """Say whether data is these pieces and nothing else, without joining them: a verifier's memory is not ours."""
    view, place = memoryview(data), 0
    for piece in pieces:
        if view[place : place + len(piece)] != piece:
            return False
        place += len(piece)
    return place == len(data)


def _read(data: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    place = 0
    while data[place : place + 4] == b"PK\x03\x04" and len(files) <= MOST_FILES:
        *_, size, _, named, _ = _LOCAL.unpack_from(data, place)
        start = place + _LOCAL.size + named
        files[data[place + _LOCAL.size : start].decode("ascii")] = data[start : start + size]
        place = start + size
    return files
