"""The accounts a decision blocked on: what each lacks, what it said and when, and whether it would pass now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gate.domain.authority import admins_at
from gate.domain.consent import RecordedEvent
from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Facts, RowGroup, Use, decision_from_dict
from gate.domain.instants import parse_instant
from gate.domain.words import Reason, Verdict
from gate.errors import LedgerUnavailable
from gate.ledger.state import account_facts, appointments, model_record
from gate.ledger.store import Entry, Reader
from gate.policy.evaluate import evaluate
from gate.policy.rows import Policy
from gate.service.core import Service
from gate.service.steps import Concerned
from gate.service.unblocking import ACCOUNT_REASONS

SHOWN = 50  # accounts looked at in full unless all are wanted


@dataclass(frozen=True, slots=True)
class Said:
    """One consent event in short; `since` when it was recorded after the decision."""

    index: int
    action: str
    about: str
    effective_at: datetime
    expires_at: datetime | None
    recorded_at: datetime
    person: str
    authority: str
    since: bool


@dataclass(frozen=True, slots=True)
class Lacking:
    """An account that lacks something.

    Attributes:
        name: `None` when it was erased.
        rows: of the decision's datasets that are its own.
        reasons: what it lacked when it was decided; empty where that can no longer be worked out.
        passes_now: whether it would pass by now.
        admins: who may speak for it now.
        said: its consent events, newest first.
    """

    ref: str
    name: str | None
    rows: int
    reasons: tuple[str, ...]
    passes_now: bool
    admins: tuple[str, ...]
    said: tuple[Said, ...]

    def concerned(self, *, named: bool) -> Concerned:
        """Return what the steps need of it."""
        return Concerned(self.ref, self.name if named else None, frozenset(Reason(word) for word in self.reasons))


@dataclass(frozen=True, slots=True)
class LackingAccounts:
    """All of them.

    Attributes:
        total: how many there are.
        kept: how many the ledger kept by name; fewer than `total` when there are too many.
        shown: those looked at, most rows first.
        recorded: whether the list is still there.
        alike: what blocks is the same for all of them, so that it does not matter which they are.
    """

    total: int
    kept: int
    shown: tuple[Lacking, ...]
    recorded: bool = True
    alike: bool = False

    @property
    def pass_now(self) -> int:
        """How many of those looked at would pass by now."""
        return sum(one.passes_now for one in self.shown)

    @property
    def all_pass_now(self) -> bool:
        """Whether all there are would pass by now."""
        return bool(self.shown) and len(self.shown) == self.total == self.pass_now


def lacking_accounts(service: Service, reader: Reader, entry: Entry, *, everything: bool = False) -> LackingAccounts:
    """Look at the accounts that a decision found lacking, most rows first.

    Args:
        everything: all that the ledger kept, not only the first `SHOWN`.
    """
    if not ACCOUNT_REASONS.intersection(entry.body["decision"]["reasons"]):
        return LackingAccounts(entry.body["accounts_blocked"], 0, (), alike=True)
    kept = reader.attachment(entry.body["detail"])
    rows = _rows(entry, json.loads(kept) if kept else [])
    chosen = sorted(rows, key=lambda ref: (-sum(rows[ref].values()), ref))[: None if everything else SHOWN]
    names = reader.open_refs(chosen)
    judging = _Judging.of(service, reader, entry)
    shown = tuple(judging.account(ref, names.get(ref), rows[ref]) for ref in chosen)
    return LackingAccounts(entry.body["accounts_blocked"], len(rows), shown, kept is not None)


def _rows(entry: Entry, detail: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return rows by account and dataset; a row that bears two categories counts once."""
    findings = entry.body["decision"]["findings"]
    found: dict[str, dict[str, int]] = {}
    for top in detail:
        dataset = findings[top["finding"]]["dataset"]
        for ref, rows in top["accounts"]:
            mine = found.setdefault(ref, {})
            mine[dataset] = max(mine.get(dataset, 0), rows)
    return found


@dataclass(frozen=True, slots=True)
class _Judging:
    """Judges one account as it was then and as it is now, with the evaluator that decides."""

    reader: Reader
    entry: Entry
    use: Use
    use_now: Use
    then: Policy | None
    today: Policy | None
    now: datetime
    quiet: bool  # nothing was recorded of any account since

    @classmethod
    def of(cls, service: Service, reader: Reader, entry: Entry) -> _Judging:
        use = decision_from_dict(entry.body["decision"]).use
        record = model_record(reader, use.model) if use.model else None
        use_now = replace(use, ownership=record.ownership) if record else use
        size = entry.body["checkpoint"]["size"]
        then = reader.latest("policy_activation", known_at=size)
        before, today = _policy(service, reader, then), _policy(service, reader, None)
        touching = reader.entries(("appointment", "consent", "erasure", "profile"), start=size)
        return cls(reader, entry, use, use_now, before, today, service.now(reader), next(touching, None) is None)

    def account(self, ref: str, name: str | None, rows: dict[str, int]) -> Lacking:
        if name is None:
            return Lacking(ref, None, sum(rows.values()), (), False, (), ())
        size = self.entry.body["checkpoint"]["size"]
        after = account_facts(self.reader, name)
        before = after if self.quiet else account_facts(self.reader, name, size)
        decided_at = parse_instant(self.entry.body["decision"]["decided_at"])
        _, reasons = self._judge(self.then, before, self.use, decided_at, rows)
        passes, _ = self._judge(self.today, after, self.use_now, self.now, rows)
        said = tuple(_said(event, event.index >= size) for event in reversed(after.events))
        admins = tuple(sorted(admins_at(appointments(self.reader, name), self.now)))
        return Lacking(ref, name, sum(rows.values()), reasons, passes, admins, said)

    def _judge(
        self, policy: Policy | None, facts: AccountFacts, use: Use, at: datetime, rows: dict[str, int]
    ) -> tuple[bool, tuple[str, ...]]:
        if policy is None:
            return False, ()
        sets = [one for one in self.entry.body["datasets"] if _name(one) in rows]
        decision = evaluate(policy, Facts(tuple(_one_account(one, facts) for one in sets)), use, at)
        return decision.verdict is Verdict.ALLOW, tuple(reason.value for reason in decision.reasons)


def _policy(service: Service, reader: Reader, active: Entry | None) -> Policy | None:
    try:
        return service.policy(reader, active)
    except LedgerUnavailable:
        return None  # its text was removed: nobody can tell any more


def _name(recorded: dict[str, Any]) -> str:
    from gate.domain.dataset import DatasetVersion

    return DatasetVersion.from_dict(recorded["version"]).dataset.name


def _one_account(recorded: dict[str, Any], facts: AccountFacts) -> DatasetFacts:
    """Return the dataset as if one row of one account were in it."""
    sources = {tuple(pair) for pair in recorded["sources"]}
    return DatasetFacts(
        dataset=_name(recorded),
        categories=frozenset(recorded["categories"]),
        groups=(AccountGroup(facts, {None: 1}),),
        rows=(RowGroup((0,), 1),),
        declared_none=("none", "declared") in sources,
        declassified=any(source == "declassified" for _, source in sources),
        total_rows=1,
    )


def _said(recorded: RecordedEvent, since: bool) -> Said:
    event = recorded.event
    everything = event.action.value != "grant"
    parts = [event.toggle.value if event.toggle else ("everything" if everything else "nothing")]
    for values in (event.categories, event.features, event.purposes):
        if values:
            parts.append(", ".join(str(value) for value in values))
    return Said(
        recorded.index,
        event.action.value,
        " · ".join(parts).replace("_", " "),
        event.effective_at,
        event.expires_at,
        recorded.recorded_at,
        event.principal.id,
        recorded.authority.value,
        since,
    )
