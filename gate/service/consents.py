"""Record and read what people said: consent events, appointments, account profiles, model registrations."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gate.domain.consent import Appointment, ConsentEvent, Profile, RecordedEvent
from gate.domain.instants import format_instant
from gate.domain.words import Authority, Ownership
from gate.errors import InputError
from gate.ledger import records, state
from gate.ledger.bulk import append_lines
from gate.ledger.store import Entry, Transaction
from gate.service.actors import recorded_actor
from gate.service.anchors import recording
from gate.service.core import Service
from gate.service.spool import Spool

DIRECTORY = "service:directory"  # the only identity that appoints (design.md section 5)
_SHOWN = 1000  # new events that are looked at again at most


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a batch: how many entries are new, how many stood there before, and what never counts."""

    added: int
    known: int
    without_authority: int = 0

    def to_dict(self) -> dict[str, int]:
        """Return JSON-ready fields."""
        return {"added": self.added, "known": self.known, "without_authority": self.without_authority}


def record_consent_events(service: Service, events: Sequence[ConsentEvent], *, by: str, via: str) -> Recorded:
    """Record consent events, all or none, in order of `effective_at`; equal ones already recorded add nothing.

    Args:
        by: who records; see `recorded_actor`.
        via: `cli`, `api` or `ui` for a live recording, `import` for history, `airflow` from a task.

    Raises:
        LedgerUnavailable: the ledger cannot be written; then nothing was.
    """
    ordered = sorted(events, key=lambda event: event.effective_at)
    with recording(service) as tx:
        now = service.now(tx)
        results = records.record_consents(tx, ordered, recorded_at=now, by=recorded_actor(tx, by), via=via)
        fresh = [entry for entry, new in results if new]
        unheard = _without_authority(tx, fresh)
    return Recorded(len(fresh), len(results) - len(fresh), unheard)


def record_lines(
    service: Service,
    lines: Spool,
    *,
    by: str,
    progress: Callable[[int], None] = lambda _: None,
) -> Recorded:
    """Record the consent events, or the appointments, of a file: all or none, with flat memory.

    Args:
        lines: what `gate.service.imports` read; it gives them in order of `effective_at`.
        by: who records; see `recorded_actor`; of appointments, the directory sync.
        progress: called with the number of lines done so far.

    Raises:
        LedgerUnavailable: the ledger cannot be written; then nothing was.
    """
    with recording(service) as tx:
        now = service.now(tx)
        actor = recorded_actor(tx, by)
        done = append_lines(tx, lines.pages(), recorded_at=now, by=actor, via="import", progress=progress)
        # A large import reports through `gate consent show`, not by re-reading all of it.
        fresh = list(tx.entries("consent", start=done.start)) if done.added <= _SHOWN else []
        unheard = _without_authority(tx, fresh)
    return Recorded(done.added, done.known, unheard)


def _without_authority(tx: Transaction, fresh: Sequence[Entry]) -> int:
    """Count, of a few new consent entries, those that nobody with authority stands behind."""
    if len(fresh) > _SHOWN:
        return 0
    places = {entry.idx for entry in fresh}
    names = tx.open_refs(entry.account_ref for entry in fresh if entry.account_ref)
    events = (recorded for name in names.values() for recorded in state.consent_events(tx, name))
    return sum(event.index in places and event.authority is not Authority.ADMIN for event in events)


def record_appointments(
    service: Service, appointments: Sequence[Appointment], *, via: str, by: str = DIRECTORY
) -> Recorded:
    """Record appointments and removals of owners and admins, as the directory's identity.

    Args:
        by: the directory sync: our own identity, or the `service:NAME` of a token with the scope `directory`.

    Raises:
        LedgerUnavailable: the ledger cannot be written; then nothing was.
    """
    ordered = sorted(appointments, key=lambda a: a.effective_at)
    with recording(service) as tx:
        now = service.now(tx)
        actor = recorded_actor(tx, by)
        results = records.record_appointments(tx, ordered, recorded_at=now, by=actor, via=via)
    return _count(results)


def record_profile(service: Service, account_id: str, profile: Profile, *, by: str, via: str) -> Recorded:
    """Record region, segment and accepted terms of an account; fields that are `None` keep what is on record."""
    with recording(service) as tx:
        now = service.now(tx)
        old = state.profile(tx, account_id)
        merged = Profile(
            region=profile.region or old.region,
            segment=profile.segment or old.segment,
            terms_version=profile.terms_version or old.terms_version,
        )
        result = records.record_profile(tx, account_id, merged, recorded_at=now, by=recorded_actor(tx, by), via=via)
    return _count([result])


def record_model(
    service: Service,
    model_id: str,
    ownership: Ownership,
    features: Sequence[str],
    evidence: str,
    *,
    by: str,
    via: str,
) -> Recorded:
    """Register who owns a model and which features it serves (`*` for any), with evidence.

    Raises:
        InputError: no feature, or no evidence.
    """
    if not features:
        raise InputError("names no feature", where="features", hint="name what the model serves, or '*'")
    if not evidence.strip():
        raise InputError("is missing", where="evidence", hint="say where the ownership can be looked up")
    with recording(service) as tx:
        now = service.now(tx)
        actor = recorded_actor(tx, by)
        result = records.record_model(
            tx, model_id, ownership, tuple(sorted(set(features))), evidence, recorded_at=now, by=actor, via=via
        )
    return _count([result])


def account_view(
    service: Service, account_id: str, *, as_of: datetime | None = None, known_at: int | None = None
) -> dict[str, Any]:
    """Return an account's profile, admins and consent events, effective at an instant as known at a ledger index."""
    with service.ledger.read() as reader:
        profile = state.profile(reader, account_id, known_at=known_at)
        events = state.consent_events(reader, account_id, effective_at=as_of, known_at=known_at)
        appointments = state.appointments(reader, account_id, known_at=known_at)
        known = reader.ref("account", account_id) is not None
    return {
        "account_id": account_id,
        "known": known,
        "profile": {"region": profile.region, "segment": profile.segment, "terms_version": profile.terms_version},
        "appointments": [_appointment(a) for a in appointments if as_of is None or a.effective_at <= as_of],
        "events": [_recorded(event) for event in events],
    }


def newest_events(service: Service, *, limit: int, action: str | None = None) -> list[dict[str, Any]]:
    """Return the newest consent events of all accounts, newest first."""
    with service.ledger.read() as reader:
        chosen: deque[str | None] = deque(maxlen=limit)
        newest: deque[int] = deque(maxlen=limit)
        for entry in reader.entries("consent"):
            if action is None or entry.body["action"] == action:
                chosen.append(entry.account_ref)
                newest.append(entry.idx)
        names = reader.open_refs(ref for ref in chosen if ref)
        events = [event for name in set(names.values()) for event in state.consent_events(reader, name)]
    wanted = set(newest)
    return sorted((_recorded(e) for e in events if e.index in wanted), key=lambda event: -int(event["index"]))


def export_events(service: Service, account_id: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield consent events as `gate consent import` reads them, in ledger order; erased accounts are left out."""
    with service.ledger.read() as reader:
        refs = {entry.account_ref for entry in reader.entries("consent") if entry.account_ref}
        names = [account_id] if account_id is not None else sorted(reader.open_refs(refs).values())
        events = [event for name in names for event in state.consent_events(reader, name)]
    for recorded in sorted(events, key=lambda event: event.index):
        yield recorded.event.to_dict()


def registered_models(service: Service, model_id: str | None = None) -> list[dict[str, Any]]:
    """Return the current registration of every model, or of one."""
    with service.ledger.read() as reader:
        ids = {entry.body["model"] for entry in reader.entries("model")} if model_id is None else {model_id}
        found = [record for name in sorted(ids) if (record := state.model_record(reader, name)) is not None]
    return [
        {
            "model_id": record.model_id,
            "ownership": record.ownership.value,
            "features": list(record.features),
            "evidence": record.evidence,
            "index": record.index,
        }
        for record in found
    ]


def _appointment(appointment: Appointment) -> dict[str, Any]:
    return {
        "person_id": appointment.person_id,
        "action": appointment.action,
        "role": appointment.role.value,
        "effective_at": format_instant(appointment.effective_at),
        "index": appointment.index,
    }


def _recorded(recorded: RecordedEvent) -> dict[str, Any]:
    return {
        "index": recorded.index,
        "recorded_at": format_instant(recorded.recorded_at),
        "authority": recorded.authority.value,
        **recorded.event.to_dict(),
    }


def _count(results: Sequence[tuple[object, bool]]) -> Recorded:
    added = sum(1 for _, new in results if new)
    return Recorded(added, len(results) - added)
