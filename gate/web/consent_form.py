"""The form in which staff record what a customer's admin said; read by the parser that the command line uses."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gate.api.auth import Principal
from gate.domain.consent import ConsentEvent, parse_consent_event
from gate.domain.instants import format_instant
from gate.domain.words import Action, Category, Instrument, Ownership, Purpose, Role, Toggle
from gate.errors import InputError

MOST_FEATURES = 100  # of a grant that a form carries by name
LISTS = ("categories", "purposes", "ownership")
TEXTS = ("toggle", "instrument", "channel", "withdrawal_channel", "jurisdiction")
NESTED = {
    "principal": ("id", "role", "evidence"),
    "notice": ("terms_version", "text_sha256", "language"),
}
CHOICES = {
    "actions": tuple(Action),
    "toggles": tuple(Toggle),
    "categories": tuple(c for c in Category if c not in (Category.UNCLASSIFIED, Category.NONE)),
    "purposes": tuple(Purpose),
    "owners": tuple(Ownership),
    "roles": tuple(Role),
    "instruments": tuple(Instrument),
}
_DIGEST = re.compile(r"(sha256:)?[0-9a-fA-F]{64}")
_SEPARATOR = re.compile(r"[,\n]")


@dataclass(frozen=True, slots=True)
class Read:
    """What a form said: the event, or what is wrong, by field."""

    event: ConsentEvent | None
    wrong: Mapping[str, str]


def read_form(fields: Mapping[str, Any], account_id: str, recorder: Principal) -> Read:
    """Read the form.

    Args:
        fields: as the browser sent them.
        account_id: the account it is about.
        recorder: who sends it; never the one who consents.
    """
    wrong: dict[str, str] = {}
    event = None
    try:
        event = parse_consent_event(raw_event(fields, account_id))
    except InputError as error:
        wrong[error.where or "form"] = _told(error)
    if "features" in wrong:
        wrong["more_features"] = wrong.pop("features")
    if _same_person(one(fields, "principal.id"), recorder):
        wrong["principal.id"] = (
            "This is you. You record what somebody of the customer said: name the person who said it."
        )
    if not one(fields, "evidence"):
        wrong["evidence"] = (
            "Say where the proof is: a ticket, a signed form, a message. Without it nobody can check you."
        )
    digest = one(fields, "evidence_sha256")
    if digest and not _DIGEST.fullmatch(digest):
        wrong["evidence_sha256"] = "Expected a SHA-256: 64 digits and letters from a to f."
    return Read(None if wrong else event, wrong)


def raw_event(fields: Mapping[str, Any], account_id: str) -> dict[str, Any]:
    """Return the event as `gate consent` builds it; what is empty counts as left out."""
    typed = [name for text in many(fields, "more_features") for name in map(str.strip, _SEPARATOR.split(text)) if name]
    features = [*many(fields, "features"), *typed]
    return {
        "account_id": account_id or None,
        "action": one(fields, "action"),
        **{name: one(fields, name) for name in TEXTS},
        **{name: many(fields, name) or None for name in LISTS},
        **{part: {name: one(fields, f"{part}.{name}") for name in names} for part, names in NESTED.items()},
        "features": features or None,
        "bundled_with_service": True if one(fields, "bundled_with_service") else None,
        "effective_at": instant_text(one(fields, "effective_at")),
        "expires_at": instant_text(one(fields, "expires_at")),
        "evidence": _evidence(one(fields, "evidence"), one(fields, "evidence_sha256")),
    }


def filled(event: ConsentEvent | None, action: str, now: datetime) -> dict[str, Any]:
    """Return the fields of a fresh form.

    Args:
        event: a grant to withdraw: its scope is filled in; very many features as all there are.
        action: what is to be recorded.
        now: when the event takes effect unless somebody says otherwise; written down here, so that a form that is
            sent twice says the same twice.
    """
    scope: dict[str, Any] = {}
    if event is not None:
        said = event.to_dict()
        scope = {name: said[name] for name in ("toggle", "categories", "purposes") if name in said}
        if len(event.features or ()) <= MOST_FEATURES:
            scope["features"] = list(event.features or ())
        scope["ownership"] = list(event.ownership or (Ownership.FIRST_PARTY,))
    elif action == Action.GRANT:
        scope["ownership"] = [Ownership.FIRST_PARTY.value]
    at = format_instant(now.replace(microsecond=0)).removesuffix("Z")
    return {"action": action, "principal.role": Role.ADMIN.value, "effective_at": at, **scope}


def instant_text(text: str | None) -> str | None:
    """Return a date or time of a form as an instant: without a zone it means UTC. Nonsense stays as it is."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return text
    return instant.replace(tzinfo=UTC).isoformat() if instant.tzinfo is None else text


def one(fields: Mapping[str, Any], name: str) -> str | None:
    """Return a field's text; `None` when it is empty."""
    texts = many(fields, name)
    return texts[0] if texts else None


def many(fields: Mapping[str, Any], name: str) -> list[str]:
    """Return the texts of a field that may come several times, empty ones left out."""
    value = fields.get(name)
    texts: Iterable[str] = [value] if isinstance(value, str) else value or ()
    return [text.strip() for text in texts if text.strip()]


def _evidence(text: str | None, digest: str | None) -> str | None:
    if text is None or digest is None or not _DIGEST.fullmatch(digest):
        return text
    return f"{text} (sha256:{digest.removeprefix('sha256:').lower()})"


def _told(error: InputError) -> str:
    said = error.message[:1].upper() + error.message[1:]
    return f"{said}: {error.hint}." if error.hint else f"{said}."


def _same_person(said: str | None, recorder: Principal) -> bool:
    return said is not None and _plain(said) in {_plain(recorder.name), _plain(recorder.display)} - {""}


def _plain(name: str) -> str:
    """Return a name as people read it: without what cannot be seen, capitals and look-alike forms folded."""
    visible = (letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    return " ".join("".join(visible).casefold().split())
