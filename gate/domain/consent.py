"""Consent events and admin appointments: the statements people make, before anybody judges them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypeVar

from gate.domain.instants import format_instant, parse_instant
from gate.domain.words import ADMIN_ROLES, Action, Authority, Category, Instrument, Ownership, Purpose, Role, Toggle
from gate.errors import ConsentEventError, InputError

ANY_FEATURE = "*"
MAX_TEXT = 10_000  # characters
Features = tuple[str, ...]  # sorted; ("*",) matches every feature

_SHA256 = re.compile(r"(sha256:)?[0-9a-fA-F]{64}")
_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who speaks. `role` is a claim: authority comes from the ledger's appointments."""

    id: str
    role: Role
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What the person was shown: which terms, the hash of the text, in which language."""

    terms_version: str | None = None
    text_sha256: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """A grant, refusal or withdrawal by one person for one account (ISO/IEC TS 27560 field set).

    `None` in `toggle`, `categories`, `features`, `purposes` or `ownership` means the field was omitted:
    *nothing* in a grant (ownership: first party), *everything* in a refusal or withdrawal.
    """

    account_id: str
    action: Action
    principal: Principal
    effective_at: datetime
    toggle: Toggle | None = None
    categories: tuple[Category, ...] | None = None
    features: Features | None = None
    purposes: tuple[Purpose, ...] | None = None
    ownership: tuple[Ownership, ...] | None = None
    notice: Notice = Notice()
    instrument: Instrument | None = None
    channel: str | None = None
    bundled_with_service: bool = False
    withdrawal_channel: str | None = None
    jurisdiction: str | None = None
    expires_at: datetime | None = None
    evidence: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON-ready fields, omitted ones left out: the inverse of `parse_consent_event`."""
        principal = {"id": self.principal.id, "role": self.principal.role.value, "evidence": self.principal.evidence}
        notice = {
            "terms_version": self.notice.terms_version,
            "text_sha256": self.notice.text_sha256,
            "language": self.notice.language,
        }
        fields: dict[str, Any] = {
            "account_id": self.account_id,
            "action": self.action.value,
            "toggle": self.toggle and self.toggle.value,
            "categories": _values(self.categories),
            "features": ANY_FEATURE if self.features == (ANY_FEATURE,) else _values(self.features),
            "purposes": _values(self.purposes),
            "ownership": _values(self.ownership),
            "principal": _present(principal),
            "notice": _present(notice) or None,
            "instrument": self.instrument and self.instrument.value,
            "channel": self.channel,
            "bundled_with_service": self.bundled_with_service or None,
            "withdrawal_channel": self.withdrawal_channel,
            "jurisdiction": self.jurisdiction,
            "effective_at": format_instant(self.effective_at),
            "expires_at": self.expires_at and format_instant(self.expires_at),
            "evidence": self.evidence,
        }
        return _present(fields)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """A consent event as the ledger knows it.

    `index` is its place in the ledger (the only clock that counts between entries); `authority` is the
    answer of `gate.domain.authority` for it.
    """

    event: ConsentEvent
    index: int
    recorded_at: datetime
    authority: Authority


@dataclass(frozen=True, slots=True)
class Appointment:
    """A directory's statement that a person became, or ceased to be, owner or admin of an account."""

    account_id: str
    person_id: str
    action: Literal["appoint", "remove"]
    role: Role
    effective_at: datetime
    index: int = -1  # place in the ledger; -1 before it is recorded

    def at_index(self, index: int) -> Appointment:
        """Return the same appointment with its place in the ledger."""
        return replace(self, index=index)


@dataclass(frozen=True, slots=True)
class Profile:
    """What is recorded of an account. `None` is unknown; segment `none` means no special segment."""

    region: str | None = None
    segment: str | None = None
    terms_version: str | None = None


UNKNOWN_PROFILE = Profile()

_FIELDS = frozenset(ConsentEvent.__dataclass_fields__)
_PRINCIPAL_FIELDS = frozenset(Principal.__dataclass_fields__)
_NOTICE_FIELDS = frozenset(Notice.__dataclass_fields__)
_APPOINTMENT_FIELDS = frozenset({"account_id", "person_id", "action", "role", "effective_at"})


def parse_consent_event(raw: object) -> ConsentEvent:
    """Read a consent event; `schemas/consent-event.schema.json` states the same rules for other languages.

    Args:
        raw: a mapping with the fields of `ConsentEvent`; `null` counts as omitted.

    Returns:
        The event; lists deduplicated and sorted, so that order in a file means nothing.

    Raises:
        ConsentEventError: naming the first wrong field and what it should hold.
    """
    data = _mapping(raw, "event", _FIELDS)
    principal = _mapping(_required(data, "principal"), "principal", _PRINCIPAL_FIELDS)
    notice = _mapping({} if data.get("notice") is None else data["notice"], "notice", _NOTICE_FIELDS)
    action = _enum(Action, _required(data, "action"), "action")
    toggle = _optional(data, "toggle", lambda v, f: _enum(Toggle, v, f))
    if action is Action.GRANT and toggle is None:
        raise ConsentEventError("a grant must name its toggle", where="toggle", hint=_choices(Toggle))
    effective_at = _instant(_required(data, "effective_at"), "effective_at")
    expires_at = _optional(data, "expires_at", _instant)
    if expires_at is not None and expires_at <= effective_at:
        raise ConsentEventError("expires before it takes effect", where="expires_at", hint="must be after effective_at")
    return ConsentEvent(
        account_id=_text(_required(data, "account_id"), "account_id"),
        action=action,
        principal=Principal(
            id=_text(_required(principal, "id", "principal."), "principal.id"),
            role=_enum(Role, _required(principal, "role", "principal."), "principal.role"),
            evidence=_optional(principal, "evidence", _text, "principal."),
        ),
        effective_at=effective_at,
        toggle=toggle,
        categories=_optional(data, "categories", lambda v, f: _enums(Category, v, f)),
        features=_optional(data, "features", _features),
        purposes=_optional(data, "purposes", lambda v, f: _enums(Purpose, v, f)),
        ownership=_optional(data, "ownership", lambda v, f: _enums(Ownership, [v] if isinstance(v, str) else v, f)),
        notice=Notice(
            terms_version=_optional(notice, "terms_version", _text, "notice."),
            text_sha256=_optional(notice, "text_sha256", _sha256, "notice."),
            language=_optional(notice, "language", _text, "notice."),
        ),
        instrument=_optional(data, "instrument", lambda v, f: _enum(Instrument, v, f)),
        channel=_optional(data, "channel", _text),
        bundled_with_service=_optional(data, "bundled_with_service", _bool) or False,
        withdrawal_channel=_optional(data, "withdrawal_channel", _text),
        jurisdiction=_optional(data, "jurisdiction", _text),
        expires_at=expires_at,
        evidence=_optional(data, "evidence", _text),
    )


def parse_appointment(raw: Mapping[str, Any]) -> Appointment:
    """Read one appointment or removal.

    Raises:
        ConsentEventError: naming the wrong field.
    """
    if unknown := sorted(set(raw) - _APPOINTMENT_FIELDS):
        raise ConsentEventError(
            f"unknown field {unknown[0]!r}", hint="known fields: " + ", ".join(sorted(_APPOINTMENT_FIELDS))
        )
    fields = {name: raw.get(name) for name in _APPOINTMENT_FIELDS}
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip():
            raise ConsentEventError("is missing or not text", where=name)
    if fields["action"] not in ("appoint", "remove"):
        raise ConsentEventError(f"{fields['action']!r} is not known", where="action", hint="appoint or remove")
    if fields["role"] not in ADMIN_ROLES:
        raise ConsentEventError(f"{fields['role']!r} cannot be appointed", where="role", hint="owner or admin")
    return Appointment(
        account_id=str(fields["account_id"]),
        person_id=str(fields["person_id"]),
        action="appoint" if fields["action"] == "appoint" else "remove",
        role=Role(str(fields["role"])),
        effective_at=parse_instant(fields["effective_at"], "effective_at"),
    )


def _values(items: tuple[str, ...] | None) -> list[str] | None:
    return None if items is None else [str(item) for item in items]


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _mapping(raw: object, where: str, allowed: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise ConsentEventError("expected an object with fields", where=where)
    unknown = sorted(str(name) for name in raw if name not in allowed)
    if unknown:
        raise ConsentEventError(
            f"unknown field {unknown[0]!r}", where=where, hint="known fields: " + ", ".join(sorted(allowed))
        )
    return raw


def _required(data: Mapping[str, Any], name: str, prefix: str = "") -> Any:
    value = data.get(name)
    if value is None:
        raise ConsentEventError("is missing", where=prefix + name)
    return value


_T = TypeVar("_T")


def _optional(data: Mapping[str, Any], name: str, read: Callable[[Any, str], _T], prefix: str = "") -> _T | None:
    value = data.get(name)
    return None if value is None else read(value, prefix + name)


def _text(value: object, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConsentEventError("expected text that is not empty", where=field)
    if len(value) > MAX_TEXT or "\x00" in value:
        raise ConsentEventError(f"text is longer than {MAX_TEXT:,} characters or holds a NUL", where=field)
    return value


def _bool(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise ConsentEventError("expected true or false", where=field)
    return value


def _instant(value: object, field: str) -> datetime:
    try:
        return parse_instant(value, field)
    except InputError as error:
        raise ConsentEventError(error.message, where=field, hint=error.hint) from None


def _sha256(value: object, field: str) -> str:
    text = _text(value, field)
    if not _SHA256.fullmatch(text):
        raise ConsentEventError("expected a SHA-256 as 64 hex digits", where=field)
    return text.removeprefix("sha256:").lower()


def _choices(kind: type[StrEnum]) -> str:
    return "one of: " + ", ".join(kind)


def _enum(kind: type[_E], value: object, field: str) -> _E:
    try:
        return kind(value)  # type: ignore[arg-type]
    except ValueError:
        raise ConsentEventError(f"{str(value)[:60]!r} is not known", where=field, hint=_choices(kind)) from None


def _list(value: object, field: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ConsentEventError("expected a list", where=field)
    return list(value)


def _enums(kind: type[_E], value: object, field: str) -> tuple[_E, ...]:
    return tuple(sorted({_enum(kind, item, field) for item in _list(value, field)}))


def _features(value: object, field: str) -> Features:
    if value == ANY_FEATURE:
        return (ANY_FEATURE,)
    names = tuple(sorted({_text(item, field) for item in _list(value, field)}))
    return (ANY_FEATURE,) if ANY_FEATURE in names else names
