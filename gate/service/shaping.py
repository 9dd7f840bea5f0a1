"""Checks the rows of an import: what many of them say alike is checked once, the texts that differ each time."""

from __future__ import annotations

import marshal
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from operator import itemgetter
from typing import Any

from gate.domain.canonical import canonical_text
from gate.domain.consent import MAX_TEXT, parse_appointment, parse_consent_event
from gate.domain.instants import format_instant, parse_instant
from gate.errors import InputError
from gate.ledger.lines import Shape, appointment_shape, consent_shape, consent_texts, order_of

KEPT = 10_000  # shapes remembered; a file where every row has its own is read as slowly as without

_PLAIN = re.compile(
    "20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
)  # an instant as we write it, if that day exists

_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: no UTF-8

Texts = tuple[str, ...]
Shaped = tuple[Shape, Texts]
Pick = Callable[[tuple[Any, ...]], Texts]

_NAMES = (
    "account_id",
    "effective_at",
    "evidence",
    "expires_at",
    "principal.evidence",
    "person_id",
    "withdrawal_channel",
)


class Consents:
    """Turns the rows of a file of consent events into shapes and texts."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Shape, Pick]] = {}

    def __call__(self, raw: Mapping[str, Any]) -> Shaped:
        """Return the shape of an event and the texts that fill it.

        Raises:
            InputError: as `parse_consent_event`.
        """
        key, texts = _taken_apart(raw)
        known = None if key is None else self._known.get(key)
        if known is not None and (good := _good(texts)) is not None:
            return known[0], known[1](good)
        event = parse_consent_event(raw)
        shape, names = consent_shape(event)
        given = consent_texts(event)
        found = tuple(str(given[name]) for name in names)
        for text in found:
            canonical_text(text)
        if key is not None:
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[key] = shape, itemgetter(*(_NAMES.index(name) for name in names))
        return shape, found


class Appointments:
    """Turns the rows of a file of appointments into shapes and texts."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Shape] = {}

    def __call__(self, raw: Mapping[str, Any]) -> Shaped:
        """Return the shape of an appointment and the texts that fill it.

        Raises:
            InputError: as `parse_appointment`.
        """
        appointment = parse_appointment(raw)
        texts = (appointment.account_id, format_instant(appointment.effective_at), appointment.person_id)
        for text in texts:
            canonical_text(text)
        kind = (appointment.action, appointment.role.value)
        shape = self._known.get(kind)
        if shape is None:
            shape = self._known[kind] = appointment_shape(appointment)[0]
        return shape, texts


def _taken_apart(raw: Mapping[str, Any]) -> tuple[bytes | None, tuple[Any, ...]]:
    """Split an event into a key of what many events have alike, and the texts of `_NAMES`; no key: look closer."""
    principal = raw.get("principal")
    if type(raw) is not dict or type(principal) is not dict:
        return None, ()
    rest, person = raw.copy(), principal.copy()
    del rest["principal"]
    take = rest.pop
    evidence, expires_at, channel = take("evidence", None), take("expires_at", None), take("withdrawal_channel", None)
    shown = person.pop("evidence", None)
    texts = (
        take("account_id", None),
        take("effective_at", None),
        evidence,
        expires_at,
        shown,
        person.pop("id", None),
        channel,
    )
    there = (evidence is None, expires_at is None, shown is None, channel is None)
    try:
        return marshal.dumps((rest, person, there), 2), texts
    except ValueError:  # something that is not JSON
        return None, texts


def _good(texts: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return the texts of an event as we write them; `None` if one is not as it should be: look closer."""
    account_id, effective_at, evidence, expires_at, shown, person_id, channel = texts
    since = _instant(effective_at)
    until = None if expires_at is None else _instant(expires_at)
    good = (
        since is not None
        and (expires_at is None or (until is not None and order_of(since) < order_of(until)))
        and _is_text(account_id)
        and _is_text(person_id)
        and (evidence is None or _is_text(evidence))
        and (channel is None or _is_text(channel))
        and (shown is None or _is_text(shown))
    )
    return (account_id, since, evidence, until, shown, person_id, channel) if good else None


def _is_text(value: Any) -> bool:
    return (
        type(value) is str
        and 0 < len(value) <= MAX_TEXT
        and not value.isspace()
        and "\x00" not in value
        and (value.isascii() or not _SURROGATE.search(value))
    )


def _instant(value: Any) -> str | None:
    try:
        if type(value) is str and _PLAIN.fullmatch(value):
            datetime.fromisoformat(value)
            return value
        return format_instant(parse_instant(value))
    except (ValueError, InputError):
        return None
