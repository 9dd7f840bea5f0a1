"""Tells what a file is from its first bytes: enough to choose a reader, never to clear a file of anything."""

from __future__ import annotations

import codecs
import zlib

from gate.scan.location import FileRef, read_head

HEAD = 4096  # bytes looked at
_FIRST_LINE = 1 << 20  # bytes in which a JSON record must end to count as one line

MPEG_AUDIO = "MPEG audio"  # told by two bytes only, so other data looks like it now and then
GZIP = b"\x1f\x8b"
_STILL_BRANDS = frozenset(b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"miaf"))
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*")
_MEDIA = (
    (b"fLaC", "FLAC"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
    (b"\x1aE\xdf\xa3", "Matroska/WebM"),
    (b"FLV\x01", "FLV"),
    (b"\x00\x00\x01\xba", "MPEG program stream"),
    (b"\x00\x00\x01\xb3", "MPEG video"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF/WMA/WMV"),
    (b"#!AMR", "AMR"),
    (b"caff", "CAF"),
    (b".snd", "AU"),
    (b"\x00\x00\x00\x01\x67", "H.264"),
)
# second sync byte: MPEG-1, -2 and -2.5 layer III and II, ADTS AAC; not the ff fe that begins UTF-16 text
_MPEG_AUDIO_SYNC = (
    b"\xfb",
    b"\xfa",
    b"\xfd",
    b"\xfc",
    b"\xf3",
    b"\xf2",
    b"\xe3",
    b"\xe2",
    b"\xf1",
    b"\xf9",
    b"\xf0",
    b"\xf8",
)


def head_of(file: FileRef) -> bytes:
    """Return the first bytes of the file's content, unpacked when it is gzip.

    Raises:
        DatasetError: unreadable.
    """
    raw = read_head(file, HEAD)
    return unpacked(raw) if raw.startswith(GZIP) else raw


def first_line_of(file: FileRef) -> bytes:
    """Return the file's first line that is not blank, at most 1 MiB of it, unpacked when it is gzip."""
    raw = read_head(file, _FIRST_LINE)
    content = unpacked(raw, _FIRST_LINE) if raw.startswith(GZIP) else raw
    return content.lstrip().partition(b"\n")[0]


def unpacked(raw: bytes, limit: int = HEAD) -> bytes:
    """Return what the beginning of a gzip file unpacks to; nothing when it is not sound gzip."""
    try:
        return zlib.decompressobj(wbits=31).decompress(raw, limit)
    except zlib.error:
        return b""


def is_text(head: bytes) -> bool:
    """Whether `head` can be the beginning of UTF-8 text."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def is_still_image(head: bytes) -> bool:
    """Whether `head` begins a still image: also one in an MP4 container (HEIC, AVIF)."""
    return head.startswith(_IMAGES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[4:12] in _STILL_BRANDS


def media_container(head: bytes) -> str | None:
    """Return the kind of audio or video container that begins with `head`, `None` for anything else."""
    for magic, name in _MEDIA:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b"AVI "):
        return "WAV" if head[8:12] == b"WAVE" else "AVI"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF"
    if head[4:8] == b"ftyp":
        return None if is_still_image(head) else "MP4/MOV"
    if head[4:8] in (b"moov", b"mdat", b"wide"):
        return "MOV"
    if head[:377:188] == b"\x47\x47\x47":
        return "MPEG transport stream"
    if head[:1] == b"\xff" and head[1:2] in _MPEG_AUDIO_SYNC:
        return MPEG_AUDIO
    return None
