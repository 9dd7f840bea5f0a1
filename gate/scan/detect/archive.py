"""Chooses members of archives to look into and hands them out as blobs, a few of each kind, within bounds."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, TypeVar

from gate.scan.detect.blob import Blob, of_bytes, opened
from gate.scan.detect.budget import MEMBER_BYTES, Budget
from gate.scan.detect.unpack import packed_as

MEMBERS = 40  # looked into
_EACH = 4  # of one folder and extension
_LISTED = 20_000  # members listed
_T = TypeVar("_T")


@dataclass(slots=True)
class Archive:
    """Members to look into.

    Attributes:
        names: of all members that were listed.
        notes: what was left out and why.
        unreadable: members that are encrypted or damaged.
    """

    names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unreadable: int = 0


def is_tar(head: bytes) -> bool:
    """Whether `head` begins a tar archive."""
    return head[257:262] == b"ustar" or _old_tar(head)


def _old_tar(head: bytes) -> bool:
    """Whether the checksum of a tar header without its magic holds."""
    if len(head) < 512 or not head[148:156].strip(b" \0").isdigit() or not head[:1].strip(b"\0"):
        return False
    try:
        written = int(head[148:156].strip(b" \0"), 8)
    except ValueError:
        return False
    return written == sum(head[:148]) + 8 * 32 + sum(head[156:512])


def spread(items: Sequence[_T], kinds: Sequence[object], most: int, each: int) -> list[_T]:
    """Choose up to `most` items, first, middle and last of every kind, kinds taking turns."""
    groups: dict[object, list[int]] = defaultdict(list)
    for place, kind in enumerate(kinds):
        groups[kind].append(place)
    picked = {kind: _spread_over(places, each) for kind, places in groups.items()}
    order: list[int] = []
    for turn in range(each):
        order += [places[turn] for places in picked.values() if turn < len(places)]
    return [items[place] for place in sorted(order[:most])]


def _spread_over(places: list[int], most: int) -> list[int]:
    if len(places) <= most:
        return places
    return [places[round(number * (len(places) - 1) / (most - 1))] for number in range(most)]


def kind_of(name: str) -> tuple[str, str]:
    """Return a member's folder, two levels of it, and extension: what is taken for its kind."""
    folder, _, file = name.rpartition("/")
    return "/".join(folder.split("/")[:2]), file.lower().rpartition(".")[2] if "." in file else ""


def zip_members(blob: Blob, archive: Archive, budget: Budget) -> Iterator[Blob]:
    """Yield the beginnings of chosen members of a zip file."""
    try:
        with opened(blob) as handle, zipfile.ZipFile(handle) as packed:
            infos = [info for info in packed.infolist()[:_LISTED] if not info.filename.endswith("/")]
            archive.names += [info.filename for info in infos]
            chosen = spread(infos, [kind_of(info.filename) for info in infos], MEMBERS, _EACH)
            _say_left_out(archive, len(infos), len(chosen))
            for info in chosen:
                if budget.spent:
                    archive.notes.append("time was up before all chosen members were looked into")
                    return
                if info.flag_bits & 1:
                    archive.unreadable += 1
                    archive.notes.append("members are encrypted")
                    continue
                yield from _zip_member(packed, info, archive)
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError):
        archive.unreadable += 1
        archive.notes.append("the archive is damaged or cut off")


def _zip_member(packed: zipfile.ZipFile, info: zipfile.ZipInfo, archive: Archive) -> Iterator[Blob]:
    try:
        with packed.open(info) as member:
            content = _read(member)
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zlib.error):
        archive.unreadable += 1
        archive.notes.append("a member is damaged or packed in a way that is not read")
        return
    yield of_bytes(info.filename, content, whole=len(content) >= info.file_size)


def tar_members(blob: Blob, archive: Archive, budget: Budget) -> Iterator[Blob]:
    """Yield the beginnings of chosen members of a tar file."""
    try:
        with opened(blob) as handle, tarfile.open(fileobj=handle, mode="r:") as packed:
            members: list[tarfile.TarInfo] = []
            while len(members) < _LISTED and not budget.spent and (member := packed.next()) is not None:
                if member.isfile():
                    members.append(member)
                elif not member.isdir():
                    archive.notes.append("links and devices in the archive were not followed")
            archive.names += [member.name for member in members]
            chosen = spread(members, [kind_of(member.name) for member in members], MEMBERS, _EACH)
            _say_left_out(archive, len(members), len(chosen))
            for member in chosen:
                if budget.spent:
                    archive.notes.append("time was up before all chosen members were looked into")
                    return
                piece = packed.extractfile(member)
                if piece is not None:
                    content = _read(piece)
                    yield of_bytes(member.name, content, whole=len(content) >= member.size)
    except (tarfile.TarError, OSError, ValueError, EOFError):
        archive.notes.append("the archive is damaged or cut off")
        archive.unreadable += 0 if archive.names else 1


def _read(handle: IO[bytes]) -> bytes:
    head = handle.read(1 << 16)
    if packed_as(head):  # packed again: more of it would not unpack to more than is looked at
        return head + handle.read(MEMBER_BYTES // 2)
    return head + handle.read(MEMBER_BYTES - len(head))


def _say_left_out(archive: Archive, everything: int, chosen: int) -> None:
    if chosen < everything:
        archive.notes.append(f"{chosen} of {everything} members were looked into, some of each folder and kind")
    archive.notes[:] = list(dict.fromkeys(archive.notes))
