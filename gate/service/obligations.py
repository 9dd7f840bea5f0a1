"""Obligations: what must be done about models and copies when somebody withdraws or refuses after a training.

They are worked out from the ledger each time, so that none can be forgotten; what came of each is an entry of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from gate.domain.canonical import digest
from gate.domain.consent import RecordedEvent
from gate.domain.decision import AccountFacts, Use
from gate.domain.instants import format_instant
from gate.domain.words import Action, Authority
from gate.errors import InputError
from gate.ledger.state import appointment_of, model_record, person_of, profile_of, recorded_event
from gate.ledger.store import Entry, Reader
from gate.lineage.store.database import LineageStore
from gate.service.actors import PERSON
from gate.service.core import Service
from gate.service.impact_derived import Made, Reached, models, reach
from gate.service.impact_ledger import Decisions, Start, Whose, by_decision, training
from gate.service.impact_verdicts import Verdicts, applies

KIND = "obligation"  # of the ledger entries that hold outcomes
UNASSIGNED = "unassigned"
DAYS, MOST_DAYS = 30, 3650
ID_LENGTH = 16  # hex digits
MODEL, COPY = "model", "subset_copy"


@dataclass(frozen=True, slots=True)
class Settled:
    """What somebody says was done about an obligation: a ledger entry.

    Attributes:
        by: who recorded it, as the ledger names them; `name` when it may still be told.
        evidence, note: `None` when there is none, or it was erased.
    """

    index: int
    outcome: str
    at: datetime
    by: str
    name: str | None
    evidence: str | None
    sha256: str | None
    note: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**fields, "at": format_instant(self.at)}


@dataclass(frozen=True, slots=True)
class Obligation:
    """Something must be done about a model, or a copy, that holds data of somebody who said no since.

    Attributes:
        id: the same whenever it is worked out.
        kind: `model` or `subset_copy`.
        consent: ledger index of the withdrawal or refusal.
        run: the training, without its try; of a model that only lineage knows, the run that wrote it, if told.
        artifact: namespace, name and digest of the copy, or of a model that only lineage knows.
        starts: ledger indices of the trainings' starts.
        decision: ledger index of the decision behind it.
        how: `held`: a decision names the account; `derived`: through data made from it.
        owner: who registered the model, as the ledger names them, or `unassigned`.
        outcomes: oldest first; the newest counts.
    """

    id: str
    kind: str
    consent: int
    action: str
    account_ref: str
    account: str | None
    model: str | None
    run: Mapping[str, Any] | None
    artifact: tuple[str, str, str] | None
    starts: tuple[int, ...]
    decision: int | None
    how: str
    owner: str
    owner_name: str | None
    opened_at: datetime
    due_at: datetime
    outcomes: tuple[Settled, ...] = ()

    @property
    def outcome(self) -> str | None:
        """What came of it in the end."""
        return self.outcomes[-1].outcome if self.outcomes else None

    def state(self, now: datetime) -> str:
        """Return the outcome, else `overdue` or `open`."""
        return self.outcome or ("overdue" if now > self.due_at else "open")

    def to_dict(self, now: datetime) -> dict[str, Any]:
        """Return JSON-ready fields."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            **fields,
            "artifact": self.artifact and list(self.artifact),
            "starts": list(self.starts),
            "opened_at": format_instant(self.opened_at),
            "due_at": format_instant(self.due_at),
            "outcomes": [one.to_dict() for one in self.outcomes],
            "outcome": self.outcome,
            "state": self.state(now),
        }


def obligation_days(environ: Mapping[str, str] = os.environ) -> int:
    """Return how many days there are to do something: `GATE_OBLIGATION_DAYS`.

    Raises:
        InputError: no such number.
    """
    text = environ.get("GATE_OBLIGATION_DAYS", "").strip() or str(DAYS)
    if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= MOST_DAYS:
        raise InputError(f"is no number of days from 1 to {MOST_DAYS}", where="GATE_OBLIGATION_DAYS")
    return int(text)


def obligations(
    service: Service,
    reader: Reader,
    store: LineageStore,
    *,
    sees: Callable[[str], bool] | None = None,
    account_ref: str | None = None,
) -> list[Obligation]:
    """Work out all obligations, the first to be due first.

    Args:
        service: whose policies and clock count.
        reader: the ledger.
        store: lineage, for what was made from the data.
        sees: whether the caller may see a DAG's runs; obligations about others are left out.
        account_ref: only those of one account.
    """
    withdrawals = _withdrawals(reader, account_ref)
    decisions = Decisions(reader)
    found: dict[str, Obligation] = {}
    working = _Working(service, reader, store, decisions, obligation_days())
    for ref, held in decisions.holders(withdrawals).items():
        if not held:
            continue
        for one in _of_account(working, ref, withdrawals[ref], held):
            known = found.get(one.id)
            found[one.id] = one if known is None else _both(known, one)
    settled = _settled(reader, account_ref)
    seen = (one for one in found.values() if sees is None or not _dag(one) or sees(_dag(one)))
    listed = (working.named(replace(one, outcomes=settled.get(one.id, ()))) for one in seen)
    return sorted(listed, key=lambda one: (one.due_at, one.consent, one.id))


def _dag(one: Obligation) -> str:
    return str((one.run or {}).get("dag_id") or "")


def _both(one: Obligation, other: Obligation) -> Obligation:
    """Return one obligation for two ways that lead to the same target; what the ledger names itself comes first."""
    first, second = (one, other) if one.how == "held" else (other, one)
    return replace(first, starts=tuple(sorted({*first.starts, *second.starts})))


class _Working:
    """What working obligations out needs, each read once."""

    def __init__(self, service: Service, reader: Reader, store: LineageStore, decisions: Decisions, days: int) -> None:
        self.reader, self.store, self.decisions = reader, store, decisions
        self.verdicts = Verdicts(service, reader, service.now(reader), reader.size)
        self.days = timedelta(days=days)
        self._reached: dict[frozenset[int], Reached] = {}
        self._owners: dict[str | None, str] = {}
        self._concerns: dict[Any, bool] = {}

    @cached_property
    def starts(self) -> dict[int, list[Start]]:
        """The trainings, by decision."""
        return by_decision(self.decisions.starts)

    def reached(self, held: dict[int, Entry]) -> Reached:
        """Return what came of data; accounts that were in the same data share the answer."""
        key = frozenset(held)
        if key not in self._reached:
            whose = Whose(self.decisions, held, by_account=True)
            self._reached[key] = reach(self.store, self.decisions, held, whose, lambda _: True)
        return self._reached[key]

    def concerns(self, said: RecordedEvent, ref: str, entry: Entry, use: Use | None = None) -> bool:
        """Whether a withdrawal is about data as a decision took it, for its use or another one."""
        wanted = use or Use.from_dict(entry.body["decision"]["use"])
        key = said.index, entry.idx, wanted
        if key not in self._concerns:
            policy = self.verdicts.policy_at(entry.body["checkpoint"]["size"])
            at = max(said.event.effective_at, said.recorded_at)
            newest = self.reader.latest("profile", ref + "/", said.index)
            facts = AccountFacts() if newest is None else AccountFacts(profile_of(newest))
            # Without the policy's text nobody can tell: then it is better to ask than to forget.
            self._concerns[key] = policy is None or applies(policy, said, facts, entry, wanted, at)
        return self._concerns[key]

    def owner(self, model: str | None) -> str:
        """Return who registered a model last."""
        if model not in self._owners:
            record = model_record(self.reader, model) if model else None
            self._owners[model] = UNASSIGNED if record is None else self.reader.entry(record.index).by
        return self._owners[model]

    def named(self, one: Obligation) -> Obligation:
        """Return an obligation with the names of its account and owner, as far as they may still be told."""
        owner = one.owner.removeprefix(PERSON)
        names = self.reader.open_refs([one.account_ref, *([owner] if owner != one.owner else [])])
        return replace(one, account=names.get(one.account_ref), owner_name=names.get(owner, one.owner_name))


def _withdrawals(reader: Reader, account_ref: str | None) -> dict[str, list[RecordedEvent]]:
    """Return what admins refused and withdrew, by account; erased accounts too, for references are enough."""
    found: dict[str, list[RecordedEvent]] = {}
    for entry in reader.entries("consent", account_ref=account_ref):
        if entry.body["action"] == Action.GRANT or entry.account_ref is None:
            continue
        person = person_of(entry)
        held = [appointment_of(one) for one in reader.entries("appointment", subject_prefix=person + "/")]
        said = recorded_event(entry, {person: held}, {})
        if said.authority is Authority.ADMIN:
            found.setdefault(entry.account_ref, []).append(said)
    return found


def _of_account(
    working: _Working, ref: str, withdrawals: Collection[RecordedEvent], held: dict[int, Entry]
) -> Iterator[Obligation]:
    reached = working.reached(held)
    for said in withdrawals:
        concerned = {index for index, entry in held.items() if working.concerns(said, ref, entry)}
        about = _About(working, ref, said)
        yield from _trained(about, concerned)
        yield from _copied(about, held, concerned)
        yield from _derived(about, reached, held)


@dataclass(frozen=True, slots=True)
class _About:
    """Makes the obligations that one withdrawal opens."""

    working: _Working
    ref: str
    said: RecordedEvent

    def owes(self, kind: str, target: Collection[Any], **fields: Any) -> Obligation:
        """Return an obligation; its id follows from the withdrawal and the target alone."""
        since = max(self.said.recorded_at, self.said.event.effective_at)
        given = {"run": None, "artifact": None, "starts": (), "decision": None, "how": "held"} | fields
        return Obligation(
            id=digest([self.said.index, kind, list(target)]).rpartition(":")[2][:ID_LENGTH],
            kind=kind,
            consent=self.said.index,
            action=self.said.event.action.value,
            account_ref=self.ref,
            account=None,
            owner=self.working.owner(given["model"]),
            owner_name=None,
            opened_at=self.said.recorded_at,
            due_at=since + self.working.days,
            **given,
        )

    def trained(self, start: Start, how: str) -> Obligation:
        """Return the obligation about the model of a training, whichever of its tries produced it."""
        model = self.working.decisions.entries[start.decision].body["decision"]["use"]["model"]
        run = {name: value for name, value in start.run.to_dict().items() if name != "try_number"}
        return self.owes(
            MODEL,
            training(start.run),
            model=model,
            run=run,
            starts=(start.index,),
            decision=start.decision,
            how=how,
        )


def _trained(about: _About, concerned: Collection[int]) -> Iterator[Obligation]:
    tries: dict[str, Obligation] = {}
    for index in sorted(concerned):
        for start in about.working.starts.get(index, ()):
            if start.index < about.said.index:
                one = about.trained(start, "held")
                tries[one.id] = _both(tries[one.id], one) if one.id in tries else one
    yield from tries.values()


def _copied(about: _About, held: Mapping[int, Entry], concerned: Collection[int]) -> Iterator[Obligation]:
    whose = Whose(about.working.decisions, held, by_account=True)
    chosen = [held[index] for index in sorted(concerned) if index < about.said.index]
    for key, version, entry in whose.keys(chosen):
        if version["subset_of"] is not None:
            use, run = entry.body["decision"]["use"], dict(entry.body["run"])
            run["task_id"] = run["task_id"].partition("#")[0]
            yield about.owes(COPY, key, model=use["model"], artifact=key, decision=entry.idx, run=run)


def _derived(about: _About, reached: Reached, held: Mapping[int, Entry]) -> Iterator[Obligation]:
    """Yield what is owed for models of data that was made from it, whenever: no gate could have known."""
    working = about.working
    known: set[tuple[Any, ...]] = set()
    for index in reached.decisions:
        known.update(training(start.run) for start in working.starts.get(index, ()))
    for index, entry in reached.derived.items():
        use = Use.from_dict(entry.body["decision"]["use"])
        if any(working.concerns(about.said, about.ref, source, use) for source in held.values()):
            yield from (about.trained(start, "derived") for start in working.starts.get(index, ()))
    if not any(working.concerns(about.said, about.ref, source) for source in held.values()):
        return
    for made in models(reached):
        tries = [run.key[:4] for run in made.runs if run.key is not None]
        if not any(one in known for one in tries):
            yield _known_to_lineage(about, made)


def _known_to_lineage(about: _About, made: Made) -> Obligation:
    said = made.runs[0].airflow if made.runs else {}
    run = {name: said[name] for name in ("dag_id", "run_id", "task_id") if isinstance(said.get(name), str)} or None
    return about.owes(MODEL, ["lineage", *made.key], model=made.model, artifact=made.key, run=run, how="derived")


def _settled(reader: Reader, account_ref: str | None) -> dict[str, tuple[Settled, ...]]:
    """Return all outcomes by obligation."""
    entries = [e for e in reader.entries(KIND) if account_ref in (None, e.account_ref)]
    refs = [ref for e in entries for ref in (e.body["evidence_ref"], e.body["note_ref"]) if ref]
    opened = reader.open_refs([*refs, *(e.by.removeprefix(PERSON) for e in entries)])
    found: dict[str, tuple[Settled, ...]] = {}
    for entry in entries:
        body = entry.body
        one = Settled(
            index=entry.idx,
            outcome=body["outcome"],
            at=entry.recorded_at,
            by=entry.by,
            name=opened.get(entry.by.removeprefix(PERSON)),
            evidence=opened.get(body["evidence_ref"]),
            sha256=body["evidence_sha256"],
            note=opened.get(body["note_ref"]),
        )
        found[body["obligation"]] = (*found.get(body["obligation"], ()), one)
    return found
