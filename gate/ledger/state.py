"""Bitemporal reads: what stood in the ledger about an account, a model, a dataset, as known at a ledger size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gate.domain.authority import authority
from gate.domain.consent import UNKNOWN_PROFILE, Appointment, ConsentEvent, Profile, RecordedEvent, parse_consent_event
from gate.domain.decision import AccountFacts
from gate.domain.instants import parse_instant
from gate.domain.words import Action, Authority, Ownership, Role
from gate.errors import InputError, TamperingFound
from gate.ledger.queries import Question
from gate.ledger.reading import Entry, Reader
from gate.ledger.records import ACCOUNT, EVENT_FIELDS, PRINCIPAL_FIELDS, model_subject_prefix

LIVE = frozenset({"cli", "api", "ui"})
"""Ways an event comes in when a person acts now; authority is then also asked for the time of recording."""

TOUCHING = (
    "appointment",
    "consent",
    "declassification",
    "erasure",
    "key",
    "mode",
    "model",
    "policy_activation",
    "profile",
    "tag",
)
"""Kinds of entries that may change what a decision rested on; what the service records of its own work is none."""

Opened = Mapping[str, str]  # reference -> value, erased ones left out
Appointments = Mapping[str, Sequence[Appointment]]  # person reference -> their appointments, ids as references


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A registered model. `evidence` is `None` when it was erased; `index` is its place in the ledger."""

    model_id: str
    ownership: Ownership
    features: tuple[str, ...]
    evidence: str | None
    index: int


@dataclass(frozen=True, slots=True)
class Feed:
    """A consent source: everything up to `watermark` has been handed over. `index` is the place of the report."""

    source: str
    watermark: datetime
    index: int


@dataclass(frozen=True, slots=True)
class Touched:
    """What a stretch of the ledger is about.

    Attributes:
        accounts: references of accounts whose consents, admins, profile or openings changed.
        persons: references of people who were appointed or removed.
        policy, keys, mode: one of these changed.
        models: ids of models that were registered anew.
        datasets: what the subjects of tags and declassifications begin with, up to the first `/`.
    """

    accounts: frozenset[str]
    persons: frozenset[str]
    policy: bool
    models: frozenset[str]
    datasets: frozenset[str]
    keys: bool
    mode: bool


def account_facts(reader: Reader, account_id: str, known_at: int | None = None) -> AccountFacts:
    """Return everything the policy may know of an account, usually with three statements.

    Args:
        reader: the ledger.
        account_id: the account.
        known_at: as the ledger was when it held this many entries.
    """
    ref = reader.ref(ACCOUNT, account_id)
    if ref is None:
        return AccountFacts()
    found = reader.ask(Question(kind=("appointment", "consent", "profile"), account_ref=ref))[0]
    known = [entry for entry in found if known_at is None or entry.idx < known_at]
    consents, profiles = ([entry for entry in known if entry.kind == kind] for kind in ("consent", "profile"))
    held: dict[str, list[Appointment]] = {}
    for appointment in (appointment_of(entry) for entry in known if entry.kind == "appointment"):
        held.setdefault(appointment.person_id, []).append(appointment)
    opened = reader.open_refs(mentioned for entry in consents for mentioned in refs_of(entry))
    events = [recorded_event(entry, held, opened) for entry in consents]
    others = {person_of(e) for e, told in zip(consents, events, strict=True) if told.authority is not Authority.ADMIN}
    if others:  # not admins of this account then: of another, perhaps
        elsewhere = {person: _held_by(reader, person, known_at) for person in others}
        events = [
            told if told.authority is Authority.ADMIN else recorded_event(entry, elsewhere, opened)
            for entry, told in zip(consents, events, strict=True)
        ]
    return AccountFacts(profile_of(profiles[-1]) if profiles else UNKNOWN_PROFILE, tuple(events))


def consent_events(
    reader: Reader, account_id: str, effective_at: datetime | None = None, known_at: int | None = None
) -> tuple[RecordedEvent, ...]:
    """Return an account's consent events in the ledger's order, with the authority of their principals.

    Args:
        reader: the ledger.
        account_id: the account.
        effective_at: only events that took effect until then.
        known_at: as the ledger was when it held this many entries.
    """
    ref = reader.ref(ACCOUNT, account_id)
    if ref is None:
        return ()
    entries = list(reader.entries("consent", account_ref=ref, stop=known_at))
    persons = {person_of(entry) for entry in entries}
    held = {person: _held_by(reader, person, known_at) for person in persons}
    opened = reader.open_refs(mentioned for entry in entries for mentioned in refs_of(entry))
    events = (recorded_event(entry, held, opened) for entry in entries)
    return tuple(e for e in events if effective_at is None or e.event.effective_at <= effective_at)


def appointments(reader: Reader, account_id: str, known_at: int | None = None) -> tuple[Appointment, ...]:
    """Return what the directory said of an account's owners and admins, in the ledger's order."""
    ref = reader.ref(ACCOUNT, account_id)
    if ref is None:
        return ()
    held = [appointment_of(entry) for entry in reader.entries("appointment", account_ref=ref, stop=known_at)]
    opened = reader.open_refs(a.person_id for a in held)
    return tuple(replace(a, account_id=account_id, person_id=_id(a.person_id, opened)) for a in held)


def profile(reader: Reader, account_id: str, known_at: int | None = None) -> Profile:
    """Return an account's profile; unknown fields are `None`."""
    ref = reader.ref(ACCOUNT, account_id)
    newest = ref and reader.latest("profile", ref + "/", known_at)
    return profile_of(newest) if newest else UNKNOWN_PROFILE


def model_record(reader: Reader, model_id: str, known_at: int | None = None) -> ModelRecord | None:
    """Return a model's newest registration."""
    newest = reader.latest("model", model_subject_prefix(model_id), known_at)
    if newest is None:
        return None
    body = newest.body
    evidence = reader.open_ref(body["evidence_ref"])
    return ModelRecord(model_id, Ownership(body["ownership"]), tuple(body["features"]), evidence, newest.idx)


def active_policy(reader: Reader, known_at: int | None = None) -> dict[str, Any] | None:
    """Return the body of the newest policy activation."""
    newest = reader.latest("policy_activation", known_at=known_at)
    return newest.body if newest else None


def feeds(reader: Reader) -> tuple[Feed, ...]:
    """Return every consent source that ever reported with its newest watermark, sorted by name; a query per source."""
    found, before = list[Feed](), "~"  # sources' names are ASCII letters, digits, ".", "_" and "-"
    while (newest := reader.last_subject("feed", before)) is not None:
        body = newest.body
        found.append(Feed(body["source"], parse_instant(body["watermark"]), newest.idx))
        before = f"{body['source']}/"
    return tuple(sorted(found, key=lambda feed: feed.source))


def tags(reader: Reader, dataset_key: str, known_at: int | None = None) -> tuple[Entry, ...]:
    """Return the tags whose subject begins with `dataset_key/`, in the ledger's order."""
    return tuple(reader.entries("tag", subject_prefix=dataset_key + "/", stop=known_at))


def touched_since(reader: Reader, start: int, stop: int | None = None) -> Touched:
    """Say what the entries from `start` up to `stop` are about: what may have changed since a decision."""
    return touched_by(entry for kind in TOUCHING for entry in reader.entries(kind, start=start, stop=stop))


def touched_by(entries: Iterable[Entry]) -> Touched:
    """Say what entries are about; only those of the kinds `TOUCHING` are about anything."""
    kinds, accounts, persons, models, datasets = set(), set(), set(), set(), set()
    for entry in entries:
        kinds.add(entry.kind)
        match entry.kind:
            case "consent" | "profile":
                accounts.add(entry.account_ref)
            case "appointment":
                accounts.add(entry.account_ref)
                persons.add(entry.body["person_ref"])
            case "erasure":
                accounts.update(entry.body["account_refs"])
            case "model":
                models.add(entry.body["model"])
            case "tag" | "declassification":
                datasets.add(entry.subject.partition("/")[0])
    return Touched(
        accounts=frozenset(ref for ref in accounts if ref),
        persons=frozenset(persons),
        policy="policy_activation" in kinds,
        models=frozenset(models),
        datasets=frozenset(datasets),
        keys="key" in kinds,
        mode="mode" in kinds,
    )


def profile_of(entry: Entry) -> Profile:
    """Read a profile entry."""
    body = entry.body
    return Profile(body["region"], body["segment"], body["terms_version"])


def appointment_of(entry: Entry) -> Appointment:
    """Read an appointment entry; account and person stay references."""
    body = entry.body
    return Appointment(
        account_id=body["account_ref"],
        person_id=body["person_ref"],
        action=body["action"],
        role=Role(body["role"]),
        effective_at=parse_instant(body["effective_at"]),
        index=entry.idx,
    )


def person_of(entry: Entry) -> str:
    """Return the reference of a consent entry's principal.

    Raises:
        TamperingFound: the entry does not hold a consent event.
    """
    return str(_principal(entry)["person_ref"])


def refs_of(entry: Entry) -> list[str]:
    """Return all references a consent entry mentions.

    Raises:
        TamperingFound: the entry does not hold a consent event.
    """
    found = [entry.body.get(ref) for ref, _ in EVENT_FIELDS.values()]
    found += [_principal(entry).get(ref) for ref, _ in PRINCIPAL_FIELDS.values()]
    return [ref for ref in found if ref is not None]


def recorded_event(entry: Entry, held: Appointments, opened: Opened) -> RecordedEvent:
    """Read a consent entry.

    Authority is worked out on references, so it can be checked without any opening. A grant of which anything was
    erased does not count: nobody can show any more who gave it, or how. Refusals and withdrawals stay.

    Args:
        entry: a consent entry.
        held: the appointments of its principal.
        opened: the values behind its references.

    Raises:
        TamperingFound: the entry does not hold a consent event.
    """
    event, erased = _event(entry, opened)
    if erased and event.action is Action.GRANT:
        answer = Authority.NOT_ADMIN
    else:
        person, account = person_of(entry), str(entry.account_ref)
        pseudonymous = replace(event, account_id=account, principal=replace(event.principal, id=person))
        answer = authority(
            pseudonymous,
            index=entry.idx,
            recorded_at=entry.recorded_at,
            live=entry.via in LIVE,
            appointments=held.get(person, ()),
        )
    return RecordedEvent(event, entry.idx, entry.recorded_at, answer)


def _principal(entry: Entry) -> dict[str, Any]:
    principal = entry.body.get("principal")
    if not (isinstance(principal, dict) and "person_ref" in principal):
        raise _no_consent_event(entry)
    return principal


def _no_consent_event(entry: Entry) -> TamperingFound:
    return TamperingFound("does not hold a consent event", where=f"ledger entry {entry.idx}", hint="gate ledger verify")


def _event(entry: Entry, opened: Opened) -> tuple[ConsentEvent, bool]:
    fields = _restored(entry.body, EVENT_FIELDS, opened)
    fields["principal"] = _restored(_principal(entry), PRINCIPAL_FIELDS, opened)
    try:
        event = parse_consent_event(fields)
    except InputError:
        raise _no_consent_event(entry) from None
    return event, any(ref not in opened for ref in refs_of(entry))


def _restored(part: Mapping[str, Any], names: Mapping[str, tuple[str, str]], opened: Opened) -> dict[str, Any]:
    """Put values back in the place of references; an erased id becomes a stand-in, an erased text is left out."""
    fields = dict(part)
    for name, (ref_name, _) in names.items():
        ref = fields.pop(ref_name, None)
        if ref is not None:
            fields[name] = _id(ref, opened) if name in ("account_id", "id") else opened.get(ref)
    return fields


def _id(ref: str, opened: Opened) -> str:
    return opened.get(ref) or f"erased-{ref[:12]}"


def _held_by(reader: Reader, person: str, known_at: int | None) -> list[Appointment]:
    entries: Iterable[Entry] = reader.entries("appointment", subject_prefix=person + "/", stop=known_at)
    return [appointment_of(entry) for entry in entries]
