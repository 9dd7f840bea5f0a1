"""Looks into bytes of any kind: finds out what they are, reads a sample, and goes on into what they contain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gate.scan.detect import magic, office, pcm, text_content, tracks
from gate.scan.detect.archive import Archive, is_tar, tar_members, zip_members
from gate.scan.detect.blob import HEAD, Blob, of_bytes
from gate.scan.detect.budget import MEMBER_BYTES, NESTING, TEXT_BYTES, Budget
from gate.scan.detect.clinical import is_bare_dicom
from gate.scan.detect.columnar import columnar_format, read_columnar
from gate.scan.detect.model import Content
from gate.scan.detect.sqlite import read_sqlite
from gate.scan.detect.textual import decode
from gate.scan.detect.unpack import packed_as, unpack

_CELLS = 3  # values of a column of bytes looked into
_SMALL = 1024  # bytes; smaller opaque values are hashes, vectors and shapes, and hold no recording
_TAR_BYTES = 32 << 20  # of a packed tar that are unpacked
_BASE64 = re.compile(r"(?:data:[\w/+.;=-]*;base64,)?([A-Za-z0-9+/\r\n]{160,}={0,2})")


@dataclass(frozen=True, slots=True)
class Found:
    """What was found at one place: the file itself, a member of it, or values of one column, which is then named."""

    where: str
    content: Content
    column: str | None = None


def look(blob: Blob, budget: Budget, where: str = "") -> list[Found]:
    """Look into `blob` and whatever it contains; the first one found is the blob itself.

    Raises:
        DatasetError: it cannot be read at all.
    """
    if budget.depth > NESTING:
        return [Found(where, Content("nested", understood=False, notes=["containers are nested too deeply"]))]
    head = blob.read(HEAD)
    if not head:
        return [Found(where, Content("empty", rows=0, understood=False, notes=["is empty"]))]
    if packer := packed_as(head):
        return _packed(blob, packer, budget, where)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(blob, budget, where)
    if is_tar(head):
        return _archive("tar", blob, budget, where)
    return look_within(_content(blob, head, budget), budget, where)


def look_within(content: Content, budget: Budget, where: str = "") -> list[Found]:
    """Return what was read, and what values of its columns are when they are files themselves."""
    return [Found(where, content), *_within(content, budget, where)]


def _content(blob: Blob, head: bytes, budget: Budget) -> Content:
    if form := columnar_format(head):
        return read_columnar(blob, form, budget)
    if head.startswith(b"SQLite format 3\0"):
        return read_sqlite(blob, budget)
    known = magic.known_binary(head)
    if known is not None and known.kind != "text":
        return _known(blob, known, head, budget)
    if is_bare_dicom(head):
        return Content("dicom", facts=[("dicom", "data elements without preamble")])
    text = decode(head)
    if text is not None:
        return text_content.read_text(blob, text.encoding, budget)
    return _opaque(blob, budget)


def _known(blob: Blob, known: magic.Known, head: bytes, budget: Budget) -> Content:
    if known.kind == "plain":
        return Content(known.format)
    if known.kind == "fact":
        return Content(known.format, facts=[(known.format, "first bytes")])
    if known.kind == "pdf":
        return office.read_pdf(blob, budget)
    if known.kind == "opaque":
        return Content(known.format, understood=False, notes=[f"{known.format} is not looked into"])
    found = tracks.find_tracks(blob, known, budget)
    if found is None or (not found.facts and known.format in ("mp3", "ac3", "mod-module")):
        text = decode(head)
        return text_content.read_text(blob, text.encoding, budget) if text else _opaque(blob, budget)
    notes = [found.problem] if found.problem else []
    return Content(found.format or known.format, facts=found.facts, understood=bool(found.facts), notes=notes)


def _opaque(blob: Blob, budget: Budget) -> Content:
    """Look into bytes that nothing is known of: libav may know them, or they may be sound without a header."""
    found = tracks.find_tracks(blob, None, budget)
    if found is not None and found.facts:
        return Content(found.format, facts=found.facts)
    if how := pcm.sounds_like_pcm(blob):
        return Content("pcm", facts=[("raw sound", f"samples of {how}")])
    return Content("binary", understood=False, notes=["binary data of a kind that is not known"])


def _packed(blob: Blob, packer: str, budget: Budget, where: str) -> list[Found]:
    inner, problem = unpack(blob, packer, budget, MEMBER_BYTES)
    if is_tar(inner.read(HEAD)) and problem:
        inner, problem = unpack(blob, packer, budget, _TAR_BYTES)
    if not inner.size:
        reason = problem or "unpacks to nothing"
        return [Found(where, Content(packer, understood=False, notes=[reason]))]
    found = look(inner, budget.inner(), where)
    first = found[0].content
    first.format = f"{packer}+{first.format}"
    if problem:
        first.notes.append(problem)
        first.rows = None
        first.understood = first.understood and "damaged" not in problem
    return found


def _zip(blob: Blob, budget: Budget, where: str) -> list[Found]:
    if not blob.whole:
        return [Found(where, Content("zip", understood=False, notes=["only a part of the archive was there"]))]
    if document := office.read_office(blob, budget):
        return [Found(where, document)]
    return _archive("zip", blob, budget, where)


def _archive(form: str, blob: Blob, budget: Budget, where: str) -> list[Found]:
    archive, inside = Archive(), []
    members = zip_members if form == "zip" else tar_members
    for member in members(blob, archive, budget):
        if member.size:
            place = f"{where}/{member.name}" if where else member.name
            inside += look(member, budget.inner(), place)
    outer = Content(form, understood=not archive.unreadable, notes=archive.notes)
    if not archive.names:
        outer.understood = False
        outer.notes.append("holds no files")
    return [Found(where, outer), *inside]


def _within(content: Content, budget: Budget, where: str) -> Iterator[Found]:
    """Look into values of columns that are files themselves: bytes, or bytes written as base64."""
    for table in content.tables:
        for column in table.columns:
            for value in _files_in(column.values):
                if budget.spent:
                    return
                place = " ".join(part for part in (where, table.where, f"column {column.name[:60]!r}") if part)
                for found in look(of_bytes("", value, whole=True), budget.inner(), place):
                    if found.content.understood or len(value) >= _SMALL:
                        yield replace(found, where=place, column=column.name[:60])


def _files_in(values: Sequence[str | bytes]) -> list[bytes]:
    found: list[bytes] = []
    for value in values:
        if isinstance(value, bytes):
            piece = value if len(value) >= 32 else b""
        else:
            piece = _decoded(value) if len(value) > 200 else b""
        if piece:
            found.append(piece)
        if len(found) >= _CELLS:
            break
    return found


def _decoded(text: str) -> bytes:
    """Return what base64 text decodes to, if that begins like media; other long words are left alone."""
    import base64
    import binascii

    match = _BASE64.fullmatch(text[: TEXT_BYTES - TEXT_BYTES % 4])
    if not match:
        return b""
    try:
        piece = base64.b64decode(re.sub(r"\s", "", match[1]) + "==")
    except (binascii.Error, ValueError):
        return b""
    known = magic.known_binary(piece[:HEAD])
    return piece if known is not None and known.kind in ("media", "sound", "picture", "fact") else b""
