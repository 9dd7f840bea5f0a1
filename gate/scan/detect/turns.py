"""Finds turns in lines of text: who speaks and what is said, in transcripts, chat exports and plays alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from gate.scan.detect.model import Column, Table

SPEAKER, SAID = "turn.speaker", "turn.text"
_DAY = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{2,4}"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d)?"
_NOON = r"(?:[ \u202f]?[AaPp]\.?[Mm]\.?)?"
_TIME = rf"(?:[\[(]?(?:{_DAY},? ?[T ]? ?)?{_CLOCK}(?:[.,]\d+)?{_NOON}Z?[\])]?(?: ?[-–|])? *)"
_NICK = r"[@+%&~!*]?[^\s<>:|\[\]{}]{1,30}"
_NAME = r"[^\W\d_][\w.'’()&/-]*(?: [\w.'’()&/#-]+){0,4}"
_CUE = re.compile(  # lines between turns: numbers, times, headings and comings and goings
    r"(?:\d+|(?:\d{1,2}:)?\d{1,2}:\d\d[.,]\d{1,3} -->.*|WEBVTT.*|NOTE\b.*|STYLE|Kind:.*|Language:.*"
    r"|[0-9a-f-]{30,}(?:[/-]\d+)*|-{3,}|={3,}|\*{3,}|[Ss]ession (?:[Ss]tart|[Cc]lose).*|-{2,3} (?:Log|Day).*|\* .*"
    r"|.{0,40}(?:-!-|-->|<--|\*\*\*|—).*)\s*"
)
_HEADING = re.compile(  # words before a colon that are no names
    r"(?:title|author|date|subject|from|to|cc|url|http|https|file|note|notes|warning|error|info|debug|fatal|todo|usage"
    r"|returns?|args|parameters|raises|example|see|default|type|name|id|key|value|version|licen[cs]e|copyright|trace"
    r"|critical|notice|server|host|location|content-type|accept|user-agent|step \d+|figure \d+|table \d+|chapter.*"
    r"|part.*|section.*)",
    re.IGNORECASE,
)

# forms that only chats have: the text may be anything
_SURE = (
    re.compile(rf"{_TIME}?<(?P<who>{_NICK}(?: {_NICK})?)> (?P<said>.+)"),
    re.compile(r"<v(?:\.[\w.]+)? (?P<who>[^>]{1,60})>(?P<said>.+)"),
    re.compile(rf"\[?{_DAY},? {_CLOCK}{_NOON}\]?(?: -)? (?P<who>[^:]{{1,40}}): (?P<said>.+)"),
    re.compile(rf"{_CLOCK}\s+From\s+(?P<who>.{{1,60}}?)\s*(?:to\s+.{{1,40}}?)?\s?:\s+(?P<said>.+)"),
    re.compile(r"\d{1,2}:\d\d\t(?P<who>[^\t]{1,40})\t(?P<said>.+)"),
    re.compile(r"\[(?P<who>[^\]]{1,40})\] \[[^\]]{3,20}\] (?P<said>.+)"),
    re.compile(r"\*(?P<who>[A-Z0-9]{2,4}):\t(?P<said>.+)"),
)
# a name and a colon: the text must be speech, the names must come again
_NAMED = (
    re.compile(
        rf"{_TIME}?(?:>> ?|- |#+ ?|\*\*|\[)?(?P<who>{_NAME}|[QA]|[^\x00-\u2fff]{{1,12}})(?:\*\*)?\]?\s?"
        r"(?:\([^)]{1,30}\))?\s?[:：](?:\*\*)?\s*(?P<said>\S.*)"
    ),
)


_TIMES = re.compile(r"(?:\d{1,3}:)?\d{1,2}:\d\d[.,]\d{1,3} --> (?:\d{1,3}:)?\d{1,2}:\d\d[.,]\d{1,3}\b.*")
_POINTER = re.compile(r"\S+\.\w{2,5}(?:#\S*)?|https?://\S+|[\[{].*[\]}]?|[\d.,:\s]+")  # cues of thumbnails, of metadata


def count_cues(lines: Sequence[str]) -> int:
    """Return how many cues of a WebVTT or SubRip transcript have words below their times, with speakers or without."""
    filled = [line.strip() for line in lines if line.strip()]
    if not filled or not (filled[0].startswith("WEBVTT") or (len(filled) > 1 and _TIMES.fullmatch(filled[1]))):
        return 0
    said = [text for times, text in pairwise(filled) if _TIMES.fullmatch(times) and not _TIMES.fullmatch(text)]
    return sum(1 for text in said if not _POINTER.fullmatch(text))


def find_turns(lines: Sequence[str]) -> Table | None:
    """Return the turns as a table of speakers and what they said; `None` when the lines are no conversation."""
    spoken = [line.strip() for line in lines if line.strip() and not _CUE.fullmatch(line.strip())]
    if len(spoken) < 2:
        return None
    for forms, least in ((_SURE, 0.3), (_NAMED, 0.4)):
        turns = [turn for line in spoken if (turn := _turn(line, forms))]
        if len(turns) >= max(2, least * len(spoken)) and _come_again([who for who, _ in turns]):
            return _table(turns)
    return _headed(spoken)


def _turn(line: str, forms: Sequence[re.Pattern[str]]) -> tuple[str, str] | None:
    for form in forms:
        if found := form.match(line):
            who = found["who"].strip()
            return None if _HEADING.fullmatch(who) else (who, found["said"])
    return None


def _come_again(names: Sequence[str]) -> bool:
    """Whether few speak often; two turns of two people will do, ten keys of a list will not."""
    distinct = len(set(names))
    return 2 <= distinct <= max(2, 0.5 * len(names)) or (distinct == 1 and len(names) >= 8)


_OWN_LINE = re.compile(rf"(?P<who>{_NAME})(?:,? +[\[(]?(?:[\d.-]+,? )?\d{{1,2}}:\d\d(?::\d\d)?(?: ?[AP]M)?[\])]?:?|:)")
_NEXT = 2


def _headed(lines: Sequence[str]) -> Table | None:
    """Find turns whose speaker stands on a line of their own, perhaps with the time, above what is said."""
    turns = []
    for line, said in pairwise(lines):
        found = _OWN_LINE.fullmatch(line)
        if found and not _OWN_LINE.fullmatch(said) and not _HEADING.fullmatch(found["who"]):
            turns.append((found["who"], said))
    if len(turns) < max(3, 0.15 * len(lines)) or not _come_again([who for who, _ in turns]):
        return None
    return _table(turns)


def _table(turns: Sequence[tuple[str, str]]) -> Table:
    speakers, texts = zip(*turns, strict=True)
    columns = (Column(SPEAKER, tuple(speakers)), Column(SAID, tuple(texts)))
    return Table("turns", columns, frozenset((SPEAKER, SAID)), len(turns))
