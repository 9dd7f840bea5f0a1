"""Writes the standard entries: consents, appointments, profiles, models; personal values become references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from gate.domain.canonical import digest
from gate.domain.consent import Appointment, ConsentEvent, Profile
from gate.domain.instants import format_instant
from gate.domain.words import Ownership
from gate.errors import InputError
from gate.ledger.reading import Entry
from gate.ledger.writing import NewEntry, Transaction

_SOURCE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")  # as policy.schema.json has it

ACCOUNT, PERSON, TEXT = "account", "person", "text"  # kinds of references

# Personal fields of a consent event and of its principal: how the entry names them, and the reference's kind.
EVENT_FIELDS = {
    "account_id": ("account_ref", ACCOUNT),
    "evidence": ("evidence_ref", TEXT),
    "withdrawal_channel": ("withdrawal_channel_ref", TEXT),
}
PRINCIPAL_FIELDS = {"id": ("person_ref", PERSON), "evidence": ("evidence_ref", TEXT)}

Written = tuple[Entry, bool]
Refs = Mapping[tuple[str, str], str]


def record_consents(
    tx: Transaction, events: Sequence[ConsentEvent], *, recorded_at: datetime, by: str, via: str
) -> list[Written]:
    """Record consent events in the given order; an event recorded before adds nothing.

    Returns:
        Per event its entry, and whether it is new.
    """
    said = [event.to_dict() for event in events]
    refs = _commit(tx, (pair for fields in said for pair in _personal(fields)))
    bodies = [pseudonymous(fields, refs) for fields in said]
    return tx.append_many(NewEntry("consent", None, body, recorded_at, by, via) for body in bodies)


def record_appointments(
    tx: Transaction, appointments: Sequence[Appointment], *, recorded_at: datetime, by: str, via: str
) -> list[Written]:
    """Record what the directory says of owners and admins; a statement recorded before adds nothing.

    The subject begins with the person's reference, so that one person's appointments are found at once.
    """
    pairs = ((kind, value) for a in appointments for kind, value in ((ACCOUNT, a.account_id), (PERSON, a.person_id)))
    refs = _commit(tx, pairs)
    entries = []
    for appointment in appointments:
        person = refs[PERSON, appointment.person_id]
        account, since = refs[ACCOUNT, appointment.account_id], format_instant(appointment.effective_at)
        body = appointment_body(appointment, account, person, since)
        entries.append(NewEntry("appointment", f"{person}/{digest(body)}", body, recorded_at, by, via))
    return tx.append_many(entries)


def appointment_body(appointment: Appointment, account: str, person: str, effective_at: str) -> dict[str, Any]:
    """Return the body of an appointment entry, with these references and this time."""
    return {
        "account_ref": account,
        "person_ref": person,
        "action": appointment.action,
        "role": appointment.role.value,
        "effective_at": effective_at,
    }


def record_profile(
    tx: Transaction, account_id: str, profile: Profile, *, recorded_at: datetime, by: str, via: str
) -> Written:
    """Record an account's profile; recording the current one again adds nothing, going back to an older one does."""
    ref = tx.commit_ref(ACCOUNT, account_id)
    body = {
        "account_ref": ref,
        "region": profile.region,
        "segment": profile.segment,
        "terms_version": profile.terms_version,
    }
    return _record_state(tx, "profile", ref, body, recorded_at, by, via)


def record_model(
    tx: Transaction,
    model_id: str,
    ownership: Ownership,
    features: Sequence[str],
    evidence: str,
    *,
    recorded_at: datetime,
    by: str,
    via: str,
) -> Written:
    """Record who owns a model and which features it serves; recording the current state again adds nothing."""
    body = {
        "model": model_id,
        "ownership": ownership.value,
        "features": sorted(set(features)),
        "evidence_ref": tx.commit_ref(TEXT, evidence),
    }
    return _record_state(tx, "model", digest(model_id), body, recorded_at, by, via)


def record_feed(
    tx: Transaction, source: str, watermark: datetime, *, recorded_at: datetime, by: str, via: str
) -> Written:
    """Record that a consent source has handed over everything up to `watermark`, in whole seconds.

    A watermark never goes back: an older one adds nothing.

    Returns:
        The entry with the source's newest watermark, and whether it is new.

    Raises:
        InputError: not a source's name.
    """
    if not _SOURCE.fullmatch(source):
        raise InputError(f"{source[:80]!r} is not a source's name", where="source", hint="like admin-console")
    # Without fractions all subjects of a source have one length: as text they sort by time.
    text = format_instant(watermark.replace(microsecond=0))
    newest = tx.last_subject("feed", f"{source}0")  # "0" is what follows "/"
    if newest is not None and f"{source}/{text}" <= newest.subject and newest.subject.startswith(f"{source}/"):
        return newest, False
    body = {"source": source, "watermark": text}
    return tx.append("feed", f"{source}/{text}", body, recorded_at=recorded_at, by=by, via=via)


def model_subject_prefix(model_id: str) -> str:
    """Return what the subjects of a model's registrations begin with."""
    return digest(model_id) + "/"


def _record_state(
    tx: Transaction, kind: str, key: str, body: dict[str, Any], recorded_at: datetime, by: str, via: str
) -> Written:
    """Append a state that replaces the one before: the subject counts the states, so each can come again."""
    current = tx.latest(kind, key + "/")
    if current is not None and current.body == body:
        return current, False
    number = 0 if current is None else int(current.subject.rpartition("/")[2]) + 1
    return tx.append(kind, f"{key}/{number}", body, recorded_at=recorded_at, by=by, via=via)


def _commit(tx: Transaction, pairs: Iterable[tuple[str, str]]) -> Refs:
    by_kind: dict[str, dict[str, None]] = {}
    for kind, value in pairs:
        by_kind.setdefault(kind, {})[value] = None
    return {
        (kind, value): ref for kind, values in by_kind.items() for value, ref in tx.commit_refs(kind, values).items()
    }


def _personal(fields: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for part, names in ((fields, EVENT_FIELDS), (fields["principal"], PRINCIPAL_FIELDS)):
        yield from ((kind, part[name]) for name, (_, kind) in names.items() if name in part)


def pseudonymous(fields: Mapping[str, Any], refs: Refs) -> dict[str, Any]:
    """Return the body of a consent entry: an event's fields with references in the place of personal values."""
    return _replaced(
        {**fields, "principal": _replaced(fields["principal"], PRINCIPAL_FIELDS, refs)}, EVENT_FIELDS, refs
    )


def _replaced(part: Mapping[str, Any], names: Mapping[str, tuple[str, str]], refs: Refs) -> dict[str, Any]:
    return dict(
        (names[name][0], refs[names[name][1], value]) if name in names else (name, value)
        for name, value in part.items()
    )
