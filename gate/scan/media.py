"""Looks into files for categories their bytes prove: sound and picture tracks, transcripts, clinical records.

Small on purpose: it finds what a container or a header states outright. Finding nothing proves nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from gate.domain.dataset import Dataset
from gate.domain.words import Category
from gate.errors import DatasetError
from gate.scan.location import FileRef, list_files, open_file, read_head, unreadable
from gate.scan.sniff import GZIP, MPEG_AUDIO, head_of, is_still_image, is_text, media_container

LIMIT = 10_000  # files looked into

Evidence = tuple[str, str, str, float]
"""Category, signal, file's path, weight from 0 to 1 (1: the format itself says so)."""

# libav demuxers that carry sound or moving pictures. A closed list: it leaves out images and subtitles, guesses that
# take any bytes for raw video, and playlists (HLS, DASH, concat), which would open other files and addresses.
_CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dv,eac3,flac,flv,h264,hevc,ivf,live_flv,loas,m4v,"
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,mpegvideo,mxf,nut,ogg,rm,swf,tta,voc,w64,wav,wv"
)
_OPTIONS = {"format_whitelist": _CONTAINERS}
_INSTALL = "pip install 'airflow-provider-consent-gate[media]'"

_SRT = re.compile(rb"\s*\d+\s*\r?\n\d{1,2}:\d\d:\d\d[,.]\d{1,3} --> \d")
_WEBVTT = re.compile(rb"WEBVTT([ \t\r\n]|$)")
_FHIR = re.compile(rb'"resourceType"\s*:\s*"[A-Z]')
_HL7 = re.compile(rb"\x0b?(?:(?:FHS|BHS)\|[^\r\n]*[\r\n]+)*MSH\|\^~\\&")
_X12_SEPARATORS = (6, 17, 20, 31, 34, 50, 53, 69, 76, 81, 83, 89, 99, 101, 103)  # an ISA segment has fixed widths


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What looking into the files found.

    Attributes:
        categories: what the bytes prove to be there; `none` is never found this way.
        evidence: one entry per file and category, files sorted by path.
        problems: what could not be looked into though it should have been; each ought to block.
        unprobed: files left out because there are more than `LIMIT`.
    """

    categories: frozenset[Category]
    evidence: tuple[Evidence, ...]
    problems: tuple[str, ...]
    unprobed: int = 0


def probe_categories(dataset: Dataset) -> ProbeResult:
    """Look into the dataset's files, at most the first 10,000 by path.

    Raises:
        DatasetError: as `location.list_files`; or a file is audio or video and PyAV is not installed.
    """
    files = list_files(dataset)
    evidence: list[Evidence] = []
    problems: list[str] = []
    for file in files[:LIMIT]:
        try:
            evidence.extend((category.value, signal, file.path, 1.0) for category, signal in _look_into(file))
        except _CannotLook as problem:
            problems.append(f"{file.path}: {problem}")
    found = frozenset(Category(category) for category, *_ in evidence)
    return ProbeResult(found, tuple(evidence), tuple(problems), max(0, len(files) - LIMIT))


def contradictions(declared: Collection[Category], probed: ProbeResult) -> list[str]:
    """Say where the bytes hold something that the declaration leaves out.

    Declaring more than the bytes prove contradicts nothing, and neither does declaring nothing at all.
    """
    said = ", ".join(sorted(declared))
    counts = Counter(category for category, *_ in probed.evidence)
    missing = sorted(category for category in probed.categories if declared and category not in declared)
    return [f"declared as {said}, but {counts[category]} of its files hold {category}" for category in missing]


class _CannotLook(Exception):
    """A file that ought to be looked into and cannot be."""


def _look_into(file: FileRef) -> Iterator[tuple[Category, str]]:
    head = head_of(file)
    yield from _exact(head)
    if is_text(head) or head.startswith(b"PAR1") or is_still_image(head):
        return
    container = media_container(head)
    if read_head(file, 2) != GZIP:
        yield from _tracks(file, container)
    elif container is not None:
        raise _CannotLook(f"is {container} packed in gzip, which is not looked into")


def _exact(head: bytes) -> Iterator[tuple[Category, str]]:
    text = head.removeprefix(b"\xef\xbb\xbf")
    if _WEBVTT.match(text):
        yield Category.CHAT, "WebVTT transcript"
    elif _SRT.match(text):
        yield Category.CHAT, "SubRip transcript"
    elif _FHIR.search(text):
        yield Category.PHI, "FHIR resource"
    elif _HL7.match(text):
        yield Category.PHI, "HL7 v2 message"
    elif head[128:132] == b"DICM":
        yield Category.PHI, "DICOM file"
    elif _is_x12(text):
        yield Category.PHI, "X12 interchange"


def _is_x12(text: bytes) -> bool:
    if text[:3] != b"ISA" or len(text) <= _X12_SEPARATORS[-1] or text[3:4].isspace():
        return False
    return {text[at] for at in _X12_SEPARATORS} == {text[3]}


def _tolerant(version: str) -> dict[str, str]:
    """Return what makes PyAV ignore titles in broken encodings; from 19 on it always does."""
    return {"metadata_errors": "ignore"} if int(version.partition(".")[0]) < 19 else {}


def _tracks(file: FileRef, container: str | None) -> Iterator[tuple[Category, str]]:
    """Yield what kinds of track the file has; `container` is what its first bytes look like."""
    try:
        import av
    except ImportError:
        if container is None:
            return
        raise DatasetError(
            f"is {container}, and PyAV, which looks into it, is not installed", where=file.path, hint=_INSTALL
        ) from None
    try:
        with open_file(file) as handle, av.open(handle, options=_OPTIONS, **_tolerant(av.__version__)) as opened:
            kinds = {
                stream.type for stream in opened.streams if not stream.disposition & av.stream.Disposition.attached_pic
            }
            name = opened.format.name
    except av.FFmpegError:
        if container not in (None, MPEG_AUDIO):
            raise _CannotLook(f"looks like {container} but cannot be opened as such; it may be truncated") from None
        return
    except (OSError, ValueError) as error:
        raise unreadable(error, file.path) from None
    for kind, category in (("video", Category.VIDEO), ("audio", Category.AUDIO)):
        if kind in kinds:
            yield category, f"{kind} track ({name})"
