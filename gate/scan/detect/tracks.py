"""Finds sound and picture tracks in media containers: with PyAV, and by their boxes where a container is cut off."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gate.scan.detect.blob import Blob, BoundedReader
from gate.scan.detect.budget import Budget
from gate.scan.detect.magic import Known

SOUND, PICTURE = "sound track", "picture track"
_READ = 48 << 20  # bytes libav may read of one file
_SECONDS = 4.0
_TAIL = 1 << 20  # bytes of a cut container searched

# libav demuxers that carry sound or moving pictures. A closed list: it leaves out images and subtitles, guesses that
# take any bytes for raw video, and playlists (HLS, DASH, concat), which would open other files and addresses.
_SURE = (
    "aa,aax,ape,aiff,amr,asf,au,avi,caf,dsf,flac,flv,gxf,iff,ivf,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpc,mpc8,mxf,nistsphere,"
    "nsv,nut,oma,ogg,qcp,rm,shn,smk,bink,swf,tak,tta,voc,vqf,w64,wav,wtv,wv,xwma,yuv4mpegpipe,mpegts,mpeg,live_flv,mmf,pva,roq,wsaud,wsvqa"
)
_GUESSED = "aac,ac3,amrnb,amrwb,dts,dv,eac3,h264,hevc,loas,m4v,mp3,mpegvideo,obu,vc1"  # taken for it by a few bytes
_GUESSES = frozenset(_GUESSED.split(","))
_FRAMES = 3  # decoded without error before a guess is believed


@dataclass(frozen=True, slots=True)
class Tracks:
    """What a container holds.

    Attributes:
        facts: `SOUND` and `PICTURE`, with where they are.
        format: what libav calls the container.
        problem: why it could not be looked into.
    """

    facts: tuple[tuple[str, str], ...]
    format: str
    problem: str | None = None


def find_tracks(blob: Blob, known: Known | None, budget: Budget) -> Tracks | None:
    """Return the container's tracks; `None` when these bytes are no media.

    Args:
        blob: the bytes.
        known: what its first bytes say; `None`: nothing, then libav may guess.
        budget: of the examination.
    """
    name = known.format if known else ""
    try:
        import av  # noqa: F401 asked for here once
    except ImportError:
        return _without_av(known)
    found = _with_av(blob, budget, name)
    if found is not None and found.facts:
        return found
    if known is None:
        return None
    if known.kind in ("sound", "picture"):
        fact = SOUND if known.kind == "sound" else PICTURE
        return Tracks(((fact, f"{name}, by its first bytes"),), name)
    if boxes := _by_boxes(blob, name):
        return boxes
    if found is not None:  # opened, and there is no track of either kind
        return Tracks((), name, "holds no track that could be read")
    return Tracks((), name, f"looks like {name} but cannot be opened as such; it may be cut off or damaged")


def _without_av(known: Known | None) -> Tracks | None:
    if known is None:
        return None
    if known.kind in ("sound", "picture"):
        return Tracks(((SOUND if known.kind == "sound" else PICTURE, "its first bytes"),), known.format)
    return Tracks((), known.format, "is media, and PyAV, which looks into it, is not installed (the extra media)")


def _with_av(blob: Blob, budget: Budget, name: str) -> Tracks | None:
    import av
    import av.logging

    av.logging.set_level(None)
    options = {
        "format_whitelist": f"{_SURE},{_GUESSED}",
        "probesize": "3000000",
        "analyzeduration": "3000000",
        "max_streams": "64",
    }
    tolerant = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}
    try:
        with blob.opener() as raw:
            reader = BoundedReader(raw, budget.at_most(_SECONDS).deadline, _READ)
            with av.open(reader, options=options, **tolerant) as opened:
                form = str(opened.format.name)
                guessed = not _GUESSES.isdisjoint(form.split(","))
                kinds = _kinds(opened)
                if guessed and not _decodes(opened, trusted=bool(name)):
                    return None
    except (av.FFmpegError, OSError, ValueError, EOFError, TypeError):  # TypeError: a stream whose codec is unknown
        return None
    facts = tuple(
        (fact, f"{kinds[kind]} ({form})") for kind, fact in (("audio", SOUND), ("video", PICTURE)) if kind in kinds
    )
    return Tracks(facts, form)


def _kinds(opened: object) -> dict[str, str]:
    """Return each kind of track with a word on it; cover art and still images are no tracks."""
    import av

    kinds: dict[str, str] = {}
    for stream in opened.streams:  # type: ignore[attr-defined]
        cover = stream.disposition & (av.stream.Disposition.attached_pic | av.stream.Disposition.still_image)
        if stream.type in ("audio", "video") and not cover:
            kinds.setdefault(stream.type, f"stream {stream.index}")
    return kinds


def _decodes(opened: object, *, trusted: bool) -> bool:
    import av

    wanted = 1 if trusted else _FRAMES
    frames = 0
    try:
        for packet in opened.demux():  # type: ignore[attr-defined]
            frames += len(packet.decode())
            if frames >= wanted:
                return True
    except (av.FFmpegError, ValueError, EOFError):
        return False
    return frames >= wanted


_SOUND_BRANDS = re.compile(rb"M4A |M4B |M4P |F4A |F4B ")
_SOUND_HANDLER = re.compile(rb"hdlr.{8}soun", re.DOTALL)
_PICTURE_HANDLER = re.compile(rb"hdlr.{8}vide", re.DOTALL)


# what containers that are no MP4 write before their tracks: codec names, stream headers
_MARKS = {
    "ogg": (re.compile(rb"\x01vorbis|OpusHead|Speex   |\x7fFLAC"), re.compile(rb"\x80theora|BBCD\0|\x01video")),
    "matroska": (
        re.compile(rb"A_(?:OPUS|VORBIS|AAC|AC3|FLAC|PCM|MPEG|DTS|EAC3)"),
        re.compile(rb"V_(?:VP|MPEG|AV1|THEORA|MS)"),
    ),
    "avi": (re.compile(rb"strh.{4}auds", re.DOTALL), re.compile(rb"strh.{4}vids", re.DOTALL)),
    "asf": (re.compile(rb"\x40\x9e\x69\xf8\x4d\x5b\xcf\x11"), re.compile(rb"\xc0\xef\x19\xbc\x4d\x5b\xcf\x11")),
}


def _by_marks(head: bytes, name: str) -> Tracks | None:
    if name not in _MARKS:
        return None
    found = tuple(
        (fact, "stream header") for fact, mark in zip((SOUND, PICTURE), _MARKS[name], strict=True) if mark.search(head)
    )
    return Tracks(found, name) if found else None


def _by_boxes(blob: Blob, name: str) -> Tracks | None:
    """Tell a container that cannot be opened by what it is made of: stream headers, handlers, brands."""
    head = blob.read(_TAIL)
    if name not in ("mp4", "mov"):
        return _by_marks(head, name)
    tail = blob.read(_TAIL, max(0, blob.size - _TAIL)) if blob.whole and blob.size > _TAIL else b""
    both = head + tail
    facts = []
    if _SOUND_HANDLER.search(both):
        facts.append((SOUND, "handler box"))
    if _PICTURE_HANDLER.search(both):
        facts.append((PICTURE, "handler box"))
    if not facts and len(head) > 32:
        media = head.find(b"mdat")
        if _SOUND_BRANDS.search(head[8:40]):
            facts.append((SOUND, "brand of a sound file; its index is missing"))
        elif media > 0 and (_nal_units(head[media + 4 : media + 65536]) or head[8:12] != b"\0\0\0\0"):
            facts.append((PICTURE, "media data of a video container; its index is missing"))
    return Tracks(tuple(facts), name) if facts else None


def _nal_units(data: bytes) -> bool:
    """Whether `data` begins with H.264 or H.265 units, each with its length before it."""
    at, units = 0, 0
    while at + 5 <= len(data) and units < 4:
        size = int.from_bytes(data[at : at + 4], "big")
        if not 0 < size < 1 << 22 or data[at + 4] & 0x80:
            return False
        units, at = units + 1, at + 4 + size
    return units > 0
