"""The consent snapshot: every account's group in Parquet, and one representative's facts per group."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from gate.domain.consent import UNKNOWN_PROFILE, Appointment, RecordedEvent
from gate.domain.decision import AccountFacts
from gate.errors import LedgerUnavailable
from gate.ledger.reading import Entry, Reader
from gate.ledger.state import Appointments, appointment_of, profile_of, recorded_event, refs_of

_BATCH = 1000  # accounts whose references are opened at once

Signature = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Who stands where at one state of the ledger and one instant.

    Attributes:
        path: Parquet with `account_id` (string), `group` (int32) and `changes_at` (timestamp, null: never), when an
            event of the account next takes effect or expires; accounts not in it are in group 0.
        size, root: the state of the ledger.
        as_of: the instant.
        valid_until: the next instant at which some event takes effect or expires; `None` if there is none.
        groups: per group the facts of one of its accounts; group 0 is the unknown account.
    """

    path: Path
    size: int
    root: bytes
    as_of: datetime
    valid_until: datetime | None
    groups: tuple[AccountFacts, ...]


@dataclass
class _Grouping:
    """Numbers the signatures as they appear, and remembers the next change of any event's state."""

    now: datetime
    boundaries: tuple[datetime, ...] | None
    numbers: dict[Signature, int] = field(default_factory=dict)
    groups: list[AccountFacts] = field(default_factory=list)
    valid_until: datetime | None = None

    def number(self, facts: AccountFacts) -> int:
        number = self.numbers.setdefault(signature(facts, self.now, self.boundaries), len(self.groups))
        if number == len(self.groups):
            self.groups.append(facts)
        return number

    def changes_at(self, facts: AccountFacts) -> datetime | None:
        """Return when one of the account's events next takes effect or expires."""
        instants = (i for r in facts.events for i in (r.event.effective_at, r.event.expires_at))
        change = min((instant for instant in instants if instant is not None and instant > self.now), default=None)
        if change is not None and (self.valid_until is None or change < self.valid_until):
            self.valid_until = change
        return change


def build_snapshot(
    reader: Reader, now: datetime, path: Path, boundaries: Collection[datetime] | None = None
) -> Snapshot:
    """Group all accounts by what a policy can tell apart, and write the groups down.

    One pass over the entries about accounts; memory holds the appointments and one facts value per group.

    Args:
        reader: the ledger.
        now: the instant to decide for.
        path: where to write; replaced at once or not at all, readable by the owner only.
        boundaries: the instants a policy compares `effective_at` with (when terms came into force). Without them
            accounts whose events took effect at different instants stay apart: right for any policy, more groups.

    Raises:
        LedgerUnavailable: the file cannot be written.
    """
    held: dict[str, list[Appointment]] = {}
    for entry in reader.entries("appointment"):
        appointment = appointment_of(entry)
        held.setdefault(appointment.person_id, []).append(appointment)
    grouping = _Grouping(now, None if boundaries is None else tuple(sorted(boundaries)))
    grouping.number(AccountFacts())
    with _replacing(path) as temporary:
        _write(
            temporary,
            (
                [
                    (account, grouping.number(facts), grouping.changes_at(facts))
                    for account, facts in _facts(reader, batch, held)
                ]
                for batch in _batches(reader.entries_by_account())
            ),
        )
    head = reader.head()
    return Snapshot(path, head.size, head.root, now, grouping.valid_until, tuple(grouping.groups))


def signature(facts: AccountFacts, now: datetime, boundaries: Sequence[datetime] | None) -> Signature:
    """Return what a policy can tell of an account: equal signatures get equal answers at `now`.

    Times count only by their order among each other, relative to `now` and to `boundaries`; ids not at all; of texts
    (evidence, withdrawal channel, hash of the notice) only whether they are there. `jurisdiction` never decides.
    """
    starts = sorted({recorded.event.effective_at for recorded in facts.events})
    ranks = {instant: rank for rank, instant in enumerate(starts)}
    return facts.profile, tuple(
        (
            *_terms(recorded),
            ranks[recorded.event.effective_at],
            _period(recorded.event.effective_at, boundaries),
            recorded.event.effective_at <= now,
            recorded.event.expires_at is not None and recorded.event.expires_at <= now,
        )
        for recorded in sorted(facts.events, key=lambda recorded: recorded.index)
    )


def _terms(recorded: RecordedEvent) -> Signature:
    event = recorded.event
    return (
        recorded.authority,
        event.action,
        event.toggle,
        event.categories,
        event.features,
        event.purposes,
        event.ownership,
        event.principal.role,
        event.principal.evidence is not None,
        event.notice.terms_version,
        event.notice.text_sha256 is not None,
        event.notice.language,
        event.instrument,
        event.channel,
        event.bundled_with_service,
        event.withdrawal_channel is not None,
        event.evidence is not None,
        event.expires_at is not None,
    )


def _period(instant: datetime, boundaries: Sequence[datetime] | None) -> int | datetime:
    return instant if boundaries is None else sum(boundary <= instant for boundary in boundaries)


def _facts(reader: Reader, accounts: Sequence[list[Entry]], held: Appointments) -> Iterator[tuple[str, AccountFacts]]:
    """Yield id and facts of accounts; one whose id was erased cannot be found in data, and is left out."""
    wanted = {str(entries[0].account_ref) for entries in accounts}
    wanted.update(ref for entries in accounts for e in entries if e.kind == "consent" for ref in refs_of(e))
    opened = reader.open_refs(wanted)
    for entries in accounts:
        account_id = opened.get(str(entries[0].account_ref))
        if account_id is None:
            continue
        profiles = [entry for entry in entries if entry.kind == "profile"]
        events = tuple(recorded_event(entry, held, opened) for entry in entries if entry.kind == "consent")
        yield account_id, AccountFacts(profile_of(profiles[-1]) if profiles else UNKNOWN_PROFILE, events)


def _batches(accounts: Iterator[list[Entry]]) -> Iterator[list[list[Entry]]]:
    while batch := list(islice(accounts, _BATCH)):
        yield batch


def next_change(snapshot: Snapshot, accounts: Collection[str]) -> datetime | None:
    """Return when an event of one of these accounts next takes effect or expires, as of the snapshot's instant."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(snapshot.path, columns=["account_id", "changes_at"])
    among = pc.is_in(table["account_id"], value_set=pa.array(list(accounts), pa.string()))
    change: datetime | None = pc.min(table["changes_at"].filter(among)).as_py()
    return change


def _write(path: Path, batches: Iterable[list[tuple[str, int, datetime | None]]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    instant = pa.timestamp("us", tz="UTC")
    schema = pa.schema([("account_id", pa.string()), ("group", pa.int32()), ("changes_at", instant)])
    with pq.ParquetWriter(str(path), schema) as writer:
        for batch in batches:
            columns = list(zip(*batch, strict=True)) if batch else [()] * len(schema)
            writer.write_table(pa.table(columns, schema=schema))


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a private temporary file that takes the place of `path` once all of it is on disk."""
    try:
        handle, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # mode 0600
        try:
            yield Path(name)
            os.fsync(handle)
            Path(name).replace(path)
        finally:
            os.close(handle)
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise LedgerUnavailable(
            f"the consent snapshot cannot be written: {error.strerror or error}",
            where=str(path),
            hint="check the folder and its free space",
            reason="cannot_decide",
        ) from None
