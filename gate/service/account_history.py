"""Accounts as people look at them: who there is, and what one account said, as of any instant and ledger index."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gate.domain.authority import admins_at
from gate.domain.consent import Appointment, ConsentEvent, Profile, RecordedEvent
from gate.domain.decision import AccountFacts
from gate.domain.words import Action, Reason, Toggle
from gate.errors import InputError
from gate.ledger import state
from gate.ledger.browsing import count_names, names
from gate.ledger.records import ACCOUNT
from gate.ledger.store import Reader
from gate.policy.table import Policy
from gate.service.account_standing import Sheet, Toggled, effects, sheet, toggled
from gate.service.consents import record_consent_events
from gate.service.core import Service

PAGE = 50  # accounts on a page
MOST_EVENTS = 200  # of an account that are shown, the newest


@dataclass(frozen=True, slots=True)
class Listed:
    """An account in the list. `last_said` is when its newest consent event was recorded."""

    ref: str
    name: str
    profile: Profile
    toggles: tuple[Toggled, ...]
    admins: int
    last_said: datetime | None


@dataclass(frozen=True, slots=True)
class AccountList:
    """A page of accounts, by name.

    Attributes:
        total: accounts whose names were not erased; `None` where only some were searched for.
        erased: how many were erased.
        before, after: references to go on from, where there is more.
    """

    accounts: tuple[Listed, ...]
    total: int | None
    erased: int
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A consent event with what became of it.

    Attributes:
        counts: for a grant, whether it has any effect at the instant asked for; `None` for others.
        reasons: why a grant has none.
    """

    recorded: RecordedEvent
    counts: bool | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class History:
    """One account, effective at an instant, as known when the ledger held so many entries.

    Attributes:
        at: the instant.
        size: entries the ledger holds now.
        policy: name of the policy that was active then; `None`: none, and nothing can be judged.
        objections_block: by that policy a refusal by somebody who is no admin blocks until an admin answers.
        admins: owners and admins at the instant, by name, with the appointment that says so.
        events: the newest ones, the latest to take effect first; `more_events` are left out.
    """

    ref: str
    account_id: str
    at: datetime
    size: int
    profile: Profile
    policy: str | None
    objections_block: bool
    toggles: tuple[Toggled, ...]
    sheets: tuple[Sheet, ...]
    admins: tuple[Appointment, ...]
    events: tuple[Shown, ...]
    more_events: int


def list_accounts(
    service: Service, *, prefix: str = "", after: str | None = None, before: str | None = None
) -> AccountList:
    """List accounts by name, a page at a time.

    Args:
        service: where.
        prefix: only names that begin with this.
        after, before: the reference of an account: go on behind or in front of it.
    """
    with service.ledger.read() as reader:
        found = names(reader, ACCOUNT, prefix=prefix, after=after, before=before, limit=PAGE + 1)
        more = len(found) > PAGE
        found = (found[-PAGE:] if before else found[:PAGE]) if more else found
        policy, at = _policy(service, reader, None), service.now(reader)
        listed = tuple(_listed(reader, policy, ref, name, at) for ref, name in found)
        total = None if prefix else count_names(reader, ACCOUNT)
        erased = sum(len(entry.body["account_refs"]) for entry in reader.entries("erasure"))
    further, nearer = (True, more) if before else (more, bool(after))
    return AccountList(
        accounts=listed,
        total=total,
        erased=erased,
        before=listed[0].ref if listed and nearer else None,
        after=listed[-1].ref if listed and further else None,
    )


def account_name(service: Service, ref: str) -> str | None:
    """Return the account a reference stands for; `None` when there is none, or it was erased."""
    with service.ledger.read() as reader:
        name = reader.open_ref(ref)
        return name if isinstance(name, str) and reader.ref(ACCOUNT, name) == ref else None


def account_ref(service: Service, account_id: str) -> str | None:
    """Return the reference of an account the ledger knows."""
    with service.ledger.read() as reader:
        return reader.ref(ACCOUNT, account_id)


def account_history(
    service: Service, account_id: str, *, as_of: datetime | None = None, known_at: int | None = None
) -> History:
    """Return what is known of an account.

    Args:
        service: where.
        account_id: the account.
        as_of: only what took effect until then; default: everything, judged as of now.
        known_at: as the ledger was when it held this many entries.

    Raises:
        InputError: the account is not known, or the ledger never held so many entries.
    """
    with service.ledger.read() as reader:
        check_known_at(reader.size, known_at)
        ref = reader.ref(ACCOUNT, account_id)
        if ref is None:
            raise InputError("the ledger does not know this account", where="account")
        at = as_of or service.now(reader)
        facts = state.account_facts(reader, account_id, known_at)
        appointments = state.appointments(reader, account_id, known_at)
        policy, size = _policy(service, reader, known_at), reader.size
    events = [one for one in facts.events if as_of is None or one.event.effective_at <= as_of]
    newest = sorted(events, key=_latest, reverse=True)[:MOST_EVENTS]
    judged = {} if policy is None else effects(policy, facts, at)
    return History(
        ref=ref,
        account_id=account_id,
        at=at,
        size=size,
        profile=facts.profile,
        policy=policy.name if policy else None,
        objections_block=policy is not None and policy.non_admin_withdrawal == "blocks",
        toggles=_toggles(policy, facts, at),
        sheets=() if policy is None else tuple(sheet(policy, toggle, facts, at) for toggle in Toggle),
        admins=tuple(sorted(admins_at(appointments, at).values(), key=lambda one: one.person_id)),
        events=tuple(_shown(one, judged) for one in newest),
        more_events=len(events) - len(newest),
    )


def check_known_at(size: int, known_at: int | None) -> None:
    """Refuse a ledger index that never was.

    Raises:
        InputError: see above.
    """
    if known_at is not None and not 0 <= known_at <= size:
        raise InputError(
            "the ledger never held so many entries", where="known_at", hint=f"give a number from 0 to {size}"
        )


def _listed(reader: Reader, policy: Policy | None, ref: str, name: str, at: datetime) -> Listed:
    facts = state.account_facts(reader, name)
    admins = admins_at(state.appointments(reader, name), at)
    newest = max((recorded.recorded_at for recorded in facts.events), default=None)
    return Listed(ref, name, facts.profile, _toggles(policy, facts, at), len(admins), newest)


def _toggles(policy: Policy | None, facts: AccountFacts, at: datetime) -> tuple[Toggled, ...]:
    return () if policy is None else tuple(toggled(policy, toggle, facts, at) for toggle in Toggle)


def _policy(service: Service, reader: Reader, known_at: int | None) -> Policy | None:
    active = reader.latest("policy_activation", known_at=known_at)
    return None if active is None else service.policy(reader, active)


def _shown(recorded: RecordedEvent, judged: dict[int, tuple[bool, tuple[Reason, ...]]]) -> Shown:
    if recorded.event.action is not Action.GRANT or recorded.index not in judged:
        return Shown(recorded, None, ())
    return Shown(recorded, *judged[recorded.index])


def _latest(recorded: RecordedEvent) -> tuple[datetime, int]:
    return recorded.event.effective_at, recorded.index


def record_for_customer(service: Service, event: ConsentEvent, *, by: str) -> tuple[int, bool]:
    """Record, on one of our pages, what somebody of a customer said.

    Args:
        service: where.
        event: what was said.
        by: who records; see `recorded_actor`.

    Returns:
        The event's ledger index, and whether it is new: sent twice it adds nothing.
    """
    recorded = record_consent_events(service, [event], by=by, via="ui")
    with service.ledger.read() as reader:
        equal = [one.index for one in state.consent_events(reader, event.account_id) if one.event == event]
    return max(equal), recorded.added > 0
