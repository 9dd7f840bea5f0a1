"""Decodes bytes into text whatever their encoding, and tells text from binary data."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

LINES = 800  # lines looked at of text that is no table
_LINE = 1000  # characters of one line looked at

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(rb"[\x00\x04-\x06\x0e-\x1a\x7f]")  # not 1 to 3, which part fields in Hive
_SEPARATORS = re.compile(r"[\x1c-\x1e\x0b]")  # of HL7 and X12 in transport; they end lines
# encodings of East Asia: lead bytes of the characters in common use there, and the least share of them
_EASTERN = {
    "shift_jis": ((0x81, 0x84), (0x88, 0x97)),
    "euc_jp": ((0xA1, 0xA5), (0xB0, 0xCF)),
    "gb18030": ((0xA1, 0xA3), (0xB0, 0xD7)),
    "big5": ((0xA1, 0xC6),),
    "euc_kr": ((0xA1, 0xA3), (0xB0, 0xC8)),
}
_COMMON = 0.9


@dataclass(frozen=True, slots=True)
class Text:
    """Decoded text and the encoding it was read with."""

    content: str
    encoding: str

    @property
    def lines(self) -> list[str]:
        """The first lines, shortened, without their ends."""
        start = self.content[: LINES * 200]
        return [line[:_LINE] for line in _SEPARATORS.sub("\n", start).splitlines()[:LINES]]


def decode(raw: bytes) -> Text | None:
    """Return `raw` as text, `None` when it is binary. A character cut off at the end is dropped."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return _sane(raw.decode(encoding, "ignore").removeprefix("\ufeff"), encoding)
    if (wide := _wide(raw)) is not None:
        return _sane(raw.decode(wide, "ignore"), wide)
    if len(_CONTROL.findall(raw[:65536])) > len(raw[:65536]) // 200:
        return None
    try:
        return Text(codecs.getincrementaldecoder("utf-8")().decode(raw), "utf-8")
    except UnicodeDecodeError as error:
        if _rarely_broken(raw, error.start):
            return Text(raw.decode("utf-8", "replace"), "utf-8")
    return _legacy(raw)


def _wide(raw: bytes) -> str | None:
    """Return the UTF-16 without a mark that `raw` looks like: every second byte of European text is null."""
    head = raw[:4096]
    if len(head) < 8 or b"\0" not in head:
        return None
    even, odd = head[::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if odd > 0.7 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 * half and odd < 0.05 * half else None


def _rarely_broken(raw: bytes, start: int) -> bool:
    """Whether text is UTF-8 but for a few damaged characters."""
    piece = raw[: 1 << 18]
    high = sum(byte >= 0x80 for byte in piece[: 1 << 16])
    lost = piece[: 1 << 16].decode("utf-8", "replace").count("\ufffd")
    return high > 0 and lost <= 0.05 * high and start > 0


def _legacy(raw: bytes) -> Text | None:
    """Try older encodings: that of East Asia in which most characters are in common use, else a Western one."""
    piece = raw[: 1 << 16]
    scores = {encoding: _common(piece, encoding) for encoding in _EASTERN}
    best = max(scores, key=lambda encoding: scores[encoding])
    if scores[best] >= _COMMON:
        return _sane(raw.decode(best, "replace"), best)
    if len(re.findall(rb"[\x80-\x9f]", piece)) > len(piece) // 50 or not _mostly_ascii(piece):
        return _cyrillic(raw)
    return _sane(raw.decode("cp1252", "replace"), "cp1252")


def _common(raw: bytes, encoding: str) -> float:
    """Return the share of characters in common use among those that are not ASCII; 0 when it is another encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(raw)
    except UnicodeDecodeError:
        return 0.0
    foreign = [char.encode(encoding, "replace") for char in text[:20_000] if ord(char) > 127]
    if len(foreign) < 4:
        return 0.0
    ranges = _EASTERN[encoding]
    known = sum(1 for one in foreign if len(one) == 2 and any(low <= one[0] <= high for low, high in ranges))
    return known / len(foreign)


def _mostly_ascii(raw: bytes) -> bool:
    return sum(byte < 0x80 for byte in raw) >= 0.75 * max(1, len(raw))


def _cyrillic(raw: bytes) -> Text | None:
    text = raw.decode("cp1251", "replace")
    letters = [char for char in text[:20000] if ord(char) > 127]
    small = sum("а" <= char <= "я" for char in letters)
    return Text(text, "cp1251") if letters and small >= 0.7 * len(letters) else None


def _sane(text: str, encoding: str) -> Text | None:
    head = text[:20000]
    odd = sum(
        1 for char in head if (char < " " and char not in "\t\r\n\x0b\x0c\x1c\x1d\x1e\x1f\x1b") or char == "\ufffd"
    )
    return Text(text, encoding) if odd <= len(head) // 50 else None
