"""Reads what the ledger says about accounts into rows of the mirror."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import select

from gate.domain.authority import authority
from gate.domain.consent import UNKNOWN_PROFILE, Appointment, ConsentEvent
from gate.domain.instants import parse_instant
from gate.domain.words import Authority
from gate.errors import InputError
from gate.ledger import tables
from gate.ledger.mirror.coding import NEVER, Codes, microseconds
from gate.ledger.reading import PAGE, Entry, Reader, chunks
from gate.ledger.state import LIVE, appointment_of, person_of, profile_of, recorded_event, refs_of

_KINDS = ("appointment", "consent", "profile")
_BATCH = 1000  # accounts whose references are looked up at once
_RECORDED = "recorded"  # stands for every personal value
_LEFT_OUT = ("account_ref", "effective_at", "evidence_ref", "expires_at", "jurisdiction", "notice", "principal")


@dataclass(frozen=True, slots=True)
class Row:
    """One account as the mirror keeps it.

    Attributes:
        ref: the account's reference (64 hex digits).
        account_id: the account.
        shape: see `coding.Codes`.
        starts, ends: per event, in the ledger's order, when it takes effect and when it expires (`NEVER`).
        strangers: references of people who spoke for it without being its admin: what is recorded of them elsewhere
            counts too.
    """

    ref: str
    account_id: str
    shape: int
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    strangers: tuple[str, ...] = ()


@dataclass
class Coder:
    """Turns accounts' entries into rows; remembers the forms of events it has met, for most are alike."""

    reader: Reader
    codes: Codes
    _forms: dict[tuple[Any, ...], ConsentEvent] = field(default_factory=dict)
    _held: dict[str, list[Appointment]] = field(default_factory=dict)

    def everybody(self) -> Iterator[Row]:
        """Yield every account of the ledger, by reference, with flat memory."""
        return self._rows(self.reader.entries_by_account())

    def these(self, refs: Collection[str]) -> Iterator[Row]:
        """Yield some accounts; one whose id was erased is nowhere in data, and is left out."""
        return self._rows(_entries_of(self.reader, refs))

    def _rows(self, accounts: Iterator[list[Entry]]) -> Iterator[Row]:
        while some := list(islice(accounts, _BATCH)):
            told = [[entry for entry in entries if entry.kind in _KINDS] for entries in some]
            told = [entries for entries in told if entries]
            refs = [str(entries[0].account_ref) for entries in told]
            names = self.reader.open_refs(refs)
            mentioned = {ref for entries in told for e in entries if e.kind == "consent" for ref in refs_of(e)}
            there = _there(self.reader, mentioned - set(refs)) | names.keys()
            for ref, entries in zip(refs, told, strict=True):
                if ref in names:
                    yield self._row(ref, names[ref], entries, there)

    def _row(self, ref: str, account_id: str, entries: Sequence[Entry], there: Collection[str]) -> Row:
        profile, here = UNKNOWN_PROFILE, dict[str, list[Appointment]]()
        for entry in entries:
            if entry.kind == "profile":
                profile = profile_of(entry)
            elif entry.kind == "appointment":
                appointment = appointment_of(entry)
                here.setdefault(appointment.person_id, []).append(appointment)
        terms, starts, ends, strangers = list[int](), list[int](), list[int](), set[str]()
        for entry in entries:
            if entry.kind == "consent":
                answer, event = self._judged(entry, here, there)
                terms.append(self.codes.term(answer, event))
                starts.append(microseconds(event.effective_at))
                ends.append(NEVER if event.expires_at is None else microseconds(event.expires_at))
                if answer is not Authority.ADMIN:
                    strangers.add(person_of(entry))
        shape = self.codes.shape(profile, terms, starts)
        return Row(ref, account_id, shape, tuple(starts), tuple(ends), tuple(sorted(strangers)))

    def _judged(
        self, entry: Entry, here: dict[str, list[Appointment]], there: Collection[str]
    ) -> tuple[Authority, ConsentEvent]:
        """Return an event and its authority, as `state.recorded_event` does; ids and texts do not count."""
        if not all(ref in there for ref in refs_of(entry)):
            held = {person_of(entry): self._everywhere(person_of(entry))}
            recorded = recorded_event(entry, held, self.reader.open_refs(refs_of(entry)))
            return recorded.authority, recorded.event
        event = self._event(entry)
        index, recorded_at, live = entry.idx, entry.recorded_at, entry.via in LIVE

        def asked(appointments: Sequence[Appointment]) -> Authority:
            return authority(event, index=index, recorded_at=recorded_at, live=live, appointments=appointments)

        answer = asked(here.get(event.principal.id, ()))
        return (answer if answer is Authority.ADMIN else asked(self._everywhere(event.principal.id))), event

    def _event(self, entry: Entry) -> ConsentEvent:
        """Read an event, references in the place of ids; parsed with all checks only if none of its form was before."""
        form, person, account = _form(entry), person_of(entry), str(entry.account_ref)
        known = self._forms.get(form)
        if known is not None:
            starts, ends = _times(entry)
            if starts is not None and (ends is None or ends > starts):
                principal = replace(known.principal, id=person)
                return replace(known, account_id=account, principal=principal, effective_at=starts, expires_at=ends)
        read = recorded_event(entry, {}, dict.fromkeys(refs_of(entry), _RECORDED)).event
        self._forms[form] = read
        return replace(read, account_id=account, principal=replace(read.principal, id=person))

    def _everywhere(self, person: str) -> list[Appointment]:
        if person not in self._held:
            entries = self.reader.entries("appointment", subject_prefix=person + "/")
            self._held[person] = [appointment_of(entry) for entry in entries]
        return self._held[person]


def _form(entry: Entry) -> tuple[Any, ...]:
    """Return all of an event but ids, texts and times; of these only whether they are there."""
    body = entry.body
    principal, notice = body.get("principal") or {}, body.get("notice") or {}
    plain = {name: value for name, value in body.items() if name not in _LEFT_OUT}
    plain.pop("withdrawal_channel_ref", None)
    return (
        repr(plain),
        repr({name: value for name, value in principal.items() if name not in ("person_ref", "evidence_ref")}),
        "person_ref" in principal,
        "evidence_ref" in principal,
        repr({name: value for name, value in notice.items() if name != "text_sha256"}),
        "text_sha256" in notice,
        "evidence_ref" in body,
        "withdrawal_channel_ref" in body,
        "expires_at" in body,
    )


def _times(entry: Entry) -> tuple[datetime | None, datetime | None]:
    """Return when an event takes effect and expires; no start where they cannot be read."""
    body = entry.body
    try:
        ends = body.get("expires_at")
        return parse_instant(body.get("effective_at")), None if ends is None else parse_instant(ends)
    except InputError:
        return None, None


def _there(reader: Reader, refs: Iterable[str]) -> set[str]:
    """Return the references whose opening was not erased."""
    ref, found = tables.opening.c.ref, set[str]()
    for some in chunks(sorted(refs)):
        found.update(reader.connection.execute(select(ref).where(ref.in_(some))).scalars())
    return found


def _entries_of(reader: Reader, refs: Collection[str]) -> Iterator[list[Entry]]:
    """Yield the entries about each of some accounts, in the ledger's order."""
    entry = tables.entry
    for some in chunks(sorted(refs), PAGE // 4):
        by_account: dict[str, list[Entry]] = {}
        wanted = select(entry).where(entry.c.account_ref.in_(some), entry.c.kind.in_(_KINDS))
        for row in reader.connection.execute(wanted):
            by_account.setdefault(row.account_ref, []).append(Entry(*row))
        for entries in by_account.values():
            yield sorted(entries, key=lambda item: item.idx)
