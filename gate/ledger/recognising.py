"""Recognises entries that differ from one that was checked in full by nothing but digests and times."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from struct import Struct
from typing import Any

from gate.domain.instants import format_instant, parse_instant
from gate.errors import InputError
from gate.ledger.format import refs_in

PERSON_BY = "person:"  # before a reference in `by`

_KEPT = 2000  # forms remembered in all, of which
_ALIKE = 8  # of one length
_INSTANTS = 10_000  # times known to be well written
_HOLE = re.compile(rb"[0-9a-f]{64}|20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{6})?Z")
_HOLES = 99  # of one entry
_SAFE = b"0123456789abcdef-:.TZ"  # what stands for itself in JSON text, and does not end it


Columns = tuple[str, str, str | None, str | None]
"""Kind, subject, account_ref and effective_at, as the bytes of an entry say them."""


@dataclass(frozen=True, slots=True)
class _Form:
    """The bytes between the holes, and what is to be read from which hole."""

    between: Callable[[bytes], tuple[bytes, ...]]
    constants: tuple[bytes, ...]  # what `between` gives
    holes: Callable[[bytes], tuple[bytes, ...]]
    texts: Callable[[str], tuple[str, ...]]  # of recorded_at, account_ref, effective_at, the subject, the references
    dated: bool  # whether there is a recorded_at, or it is among the constants
    about: bool  # … an account_ref
    effective: bool  # … an effective_at
    kind: str
    subject: str  # with %s for the holes in it
    subject_holes: int


class Recogniser:
    """Learns forms from entries that were found canonical and well-formed.

    Entries of one form have their holes at the same places, for digests and times have fixed lengths. If everything
    between these is equal byte for byte, and nothing in them could be taken for JSON, an entry is as canonical as the
    one it resembles; what depends on its holes is read from them.
    """

    def __init__(self) -> None:
        self._forms: dict[int, list[_Form]] = {}
        self._count = 0
        self._instants = set[str]()

    def recognise(self, payload: bytes) -> tuple[Columns, tuple[str, ...]] | None:
        """Return the columns derived from an entry, and the references it mentions; `None` when it has to be read."""
        for form in self._forms.get(len(payload), ()):
            if form.between(payload) == form.constants:
                break
        else:
            return None
        if b"".join(form.holes(payload)).translate(None, _SAFE):
            return None
        texts = form.texts(payload.decode("latin-1"))  # a character per byte: the places stay
        if form.dated and not self._is_instant(texts[0]):
            return None
        account, effective_at = (texts[1] if form.about else None), (texts[2] if form.effective else None)
        refs = 3 + form.subject_holes
        return (form.kind, form.subject % texts[3:refs], account, effective_at), texts[refs:]

    def learn(self, payload: bytes) -> None:
        """Remember the form of an entry that was found canonical and well-formed."""
        alike = self._forms.setdefault(len(payload), [])
        if self._count >= _KEPT or len(alike) >= _ALIKE:
            return
        form = _form(payload)
        if form is not None:
            alike.append(form)
            self._count += 1

    def _is_instant(self, text: str) -> bool:
        if text in self._instants:
            return True
        try:
            good = format_instant(parse_instant(text)) == text
        except InputError:
            return False
        if good and len(self._instants) < _INSTANTS:
            self._instants.add(text)
        return good


def _form(payload: bytes) -> _Form | None:
    """Find the holes of an entry by filling each with something of its own; `None` if what they mean is not certain."""
    spans = [match.span() for match in _HOLE.finditer(payload)]
    if not 0 < len(spans) <= _HOLES or b"\\" in payload:  # an escape may look like the beginning of a digest
        return None
    fillers = [_filler(number, stop - start) for number, (start, stop) in enumerate(spans)]
    bounds = [0, *(place for span in spans for place in span), len(payload)]
    parts = [payload[start:stop] for start, stop in pairwise(bounds)]
    parts[1::2] = [filler.encode() for filler in fillers]
    said = json.loads(b"".join(parts))
    if any(_HOLE.search(name.encode()) for name in _names(said)):
        return None  # fields are sorted by what stands in this hole
    spots = {filler: slice(*span) for filler, span in zip(fillers, spans, strict=True)}
    body, by = said["body"], said["by"]
    refs = [*refs_in(body), *([by.removeprefix(PERSON_BY)] if by.startswith(PERSON_BY) else [])]
    derived = [body.get("account_ref"), body.get("effective_at")]
    if any(text is not None and text not in spots for text in (*refs, *derived)):
        return None
    subject_holes = [hole.decode() for hole in _HOLE.findall(said["subject"].encode())]
    read = [said["recorded_at"], *derived, *subject_holes, *refs]
    return _Form(
        between=Struct("".join(f"{len(p)}{'x' if n & 1 else 's'}" for n, p in enumerate(parts))).unpack,
        constants=tuple(parts[::2]),
        holes=Struct("".join(f"{len(p)}{'s' if n & 1 else 'x'}" for n, p in enumerate(parts))).unpack,
        texts=itemgetter(*(spots.get(text, slice(0)) for text in read)),
        dated=said["recorded_at"] in spots,
        about=derived[0] is not None,
        effective=derived[1] is not None,
        kind=said["kind"],
        subject=_HOLE.sub(b"%s", said["subject"].replace("%", "%%").encode()).decode(),
        subject_holes=len(subject_holes),
    )


def _filler(number: int, size: int) -> str:
    if size > 27:
        return f"{number:064x}"
    return f"20{number:02}-01-01T00:00:00Z" if size == 20 else f"20{number:02}-01-01T00:00:00.000000Z"


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _names(item)
