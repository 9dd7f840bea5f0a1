"""Recognises clinical formats by their own rules: HL7 v2, X12 and DICOM without its preamble."""

from __future__ import annotations

import re
from collections.abc import Iterator

_HL7 = re.compile(r"\x0b?(?:(?:FHS|BHS)\|[^\r\n]*[\r\n]+|(?:FHS|BHS)\|[^\r\n]{0,400}?(?=MSH\|))*MSH\|[^\w\s]{2,5}\|?")
_PATIENT = re.compile(r"(?:^|[\r\n\x1e\x0b]|\\r|\\n)\s*(?:PID|PD1|PV1|NK1|IN1|GT1|MRG)\|")
_SEGMENT = re.compile(r"(?:^|[\r\n\x0b])[A-Z][A-Z0-9]{2}\|")
_X12_SEPARATORS = (6, 17, 20, 31, 34, 50, 53, 69, 76, 81, 83, 89, 99, 101, 103)  # an ISA segment has fixed widths
_HEALTH_CARE = frozenset(("837", "835", "834", "820", "270", "271", "275", "276", "277", "278"))  # HIPAA's transactions
_HEALTH_GROUPS = frozenset({"HC", "HP", "HB", "HS", "HI", "HN", "HR", "BE"})  # GS01 of the same transaction sets


def hl7_facts(text: str) -> list[tuple[str, str]] | None:
    """Return what HL7 v2 messages state, `None` when the text holds none at its beginning."""
    start = text.lstrip("\ufeff \r\n\t")
    if not _HL7.match(start[:4000]):
        return None
    patients = len(_PATIENT.findall(text))
    if patients:
        return [("hl7 patient message", f"{patients} segments about patients")]
    return [("hl7 message", "MSH segment")]


def x12_facts(text: str) -> list[tuple[str, str]] | None:
    """Return what an X12 interchange states, `None` when the text is none."""
    start = text.lstrip("\ufeff \r\n\t")
    if start[:3] != "ISA" or len(start) < 110 or start[3].isspace() or start[3].isalnum():
        return None
    separator = start[3]
    if sum(start[at] == separator for at in _X12_SEPARATORS) < len(_X12_SEPARATORS):
        return None
    kinds = set(re.findall(re.escape(f"ST{separator}") + r"(\d{3})", start))
    health = sorted(kinds & _HEALTH_CARE)
    groups = set(re.findall(re.escape(f"GS{separator}") + r"([A-Z]{2})\b", start)) & _HEALTH_GROUPS
    if health or groups:
        found = f"transaction sets {', '.join(health)}" if health else f"functional groups {', '.join(sorted(groups))}"
        return [("x12 health care", found)]
    return [("x12 other", "transaction sets " + ", ".join(sorted(kinds)))] if kinds else [("x12 other", "ISA segment")]


def is_bare_dicom(head: bytes) -> bool:
    """Whether `head` begins a DICOM data set without preamble: tags in ascending order, lengths that lead on."""
    for explicit in (True, False):
        tags = list(_elements(head[:4096], explicit=explicit))
        if len(tags) >= 4 and tags == sorted(tags) and tags[0][0] in (0x0002, 0x0008):
            return True
    return False


_LONG = (b"OB", b"OW", b"OF", b"SQ", b"UN", b"UT", b"OD", b"OL", b"UC", b"UR")


def _elements(head: bytes, *, explicit: bool) -> Iterator[tuple[int, int]]:
    at = 0
    while at + 12 <= len(head):
        group, element = int.from_bytes(head[at : at + 2], "little"), int.from_bytes(head[at + 2 : at + 4], "little")
        if explicit:
            kind = head[at + 4 : at + 6]
            if not kind.isalpha() or not kind.isupper():
                return
            long = kind in _LONG
            size = int.from_bytes(head[at + 8 : at + 12] if long else head[at + 6 : at + 8], "little")
            start = at + (12 if long else 8)
        else:
            size, start = int.from_bytes(head[at + 4 : at + 8], "little"), at + 8
        if group not in (2, 8, 0x10, 0x18, 0x20, 0x28):
            return
        yield group, element
        if size == 0xFFFFFFFF or size > 1 << 20:
            return
        at = start + size
