"""Archives that some zip program reads otherwise than we wrote them: each must be refused as a whole."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator, Mapping

EVIL = ("/etc/passwd", "../../evil", "a/../b", "./a", "C:\\evil", "a\\b", "MANIFEST.JSON", "manifest.json ", "a//b")
ALIKE = (
    "mаnifest.json",
    "manifest․json",
    "ｍanifest.json",
    "manifest.json\u200b",
    "entries.jsonl\u202e",
    "manıfest.json",
)
SYMLINK, PIPE, SETUID = 0o120777, 0o010644, 0o104755
_END = 22  # bytes of the last record


def hostile(files: Mapping[str, bytes], archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a name and an archive for every trick, made of a good one and its files."""
    yield from _appended(archive)
    yield from _patched(files, archive)
    yield "compressed", zipped(files, compression=zipfile.ZIP_DEFLATED)
    yield "another order", zipped(dict(reversed(files.items())))
    yield "with the time", zipped(files, when=(2024, 1, 1, 0, 0, 0))
    yield "with a folder", zipped({**files, "lineage/": b""})
    for mode in (SYMLINK, PIPE, SETUID):
        yield f"mode {mode:o}", zipped(files, mode=mode)
    for name in (*EVIL, *ALIKE):
        yield f"beside {name!r}", zipped({**files, name: b"evil"})
        other = {old: content for old, content in files.items() if old != "manifest.json"}
        yield f"instead: {name!r}", zipped({**other, name: files["manifest.json"]})
    for name in files:
        yield f"twice {name}", zipped(files, again=(name, b"evil"))
        yield f"twice the same {name}", zipped(files, again=(name, files[name]))


def zipped(
    files: Mapping[str, bytes],
    *,
    compression: int = zipfile.ZIP_STORED,
    when: tuple[int, int, int, int, int, int] = (1980, 1, 1, 0, 0, 0),
    mode: int = 0o100644,
    again: tuple[str, bytes] | None = None,
) -> bytes:
    """Write files as the standard library does; `again` is one more member, of a name that may be there."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        for name, content in [*files.items(), *([] if again is None else [again])]:
            known = zipfile.ZipInfo(name, when)
            known.compress_type, known.external_attr, known.create_system = compression, mode << 16, 3
            if name in opened.namelist():  # it warns, where we mean it
                opened.NameToInfo.pop(name)
            opened.writestr(known, content)
    return out.getvalue()


def _appended(archive: bytes) -> Iterator[tuple[str, bytes]]:
    yield "trailing byte", archive + b"\0"
    yield "trailing archive", archive + archive
    yield "leading program", b"#!/bin/sh\n" + archive
    yield "comment", archive[:-2] + struct.pack("<H", 5) + b"hello"
    yield "hidden before the directory", archive[:-_END] + b"hidden" + archive[-_END:]
    yield "a second end", archive + archive[-_END:]
    yield "no end", archive[:-_END]


def _patched(files: Mapping[str, bytes], archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Alter fields of the first local header, of its entry in the directory, and of the end."""
    directory = struct.unpack_from("<I", archive, len(archive) - 6)[0]
    for what, local, central, value in (
        ("version", 4, 6, b"\x2d\0"),
        ("encrypted", 6, 8, b"\1\0"),
        ("sizes later", 6, 8, b"\x08\0"),
        ("names in UTF-8", 6, 8, b"\0\x08"),
        ("method", 8, 10, b"\x08\0"),
        ("checksum", 14, 16, b"\0\0\0\0"),
        ("packed size", 18, 20, b"\xff\xff\xff\x7f"),
        ("whole size", 22, 24, b"\xff\xff\xff\xff"),
        ("name's length", 26, 28, b"\xff\xff"),
        ("extra field", 28, 30, b"\xff\xff"),
    ):
        for places in ((local,), (directory + central,), (local, directory + central)):
            yield f"{what} at {places}", _with(archive, places, value)
    yield "place elsewhere", _with(archive, (directory + 42,), b"\xff\xff\xff\x7f")
    for offset, what in ((8, "count here"), (10, "count"), (12, "directory's size"), (16, "directory's place")):
        yield what, _with(archive, (len(archive) - _END + offset,), b"\xfe\xff")
    assert len(files) < 0xFFFE


def _with(archive: bytes, places: tuple[int, ...], value: bytes) -> bytes:
    altered = bytearray(archive)
    for place in places:
        altered[place : place + len(value)] = value
    return bytes(altered)
