"""Whether an account's data was let through rightly then, and would be now: evaluated again, each like case once."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gate.domain.consent import RecordedEvent
from gate.domain.dataset import DatasetVersion
from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Facts, RowGroup, Use
from gate.domain.instants import parse_instant
from gate.domain.words import Reason, Verdict
from gate.errors import LedgerUnavailable
from gate.ledger.state import account_facts, model_record, person_of
from gate.ledger.store import Entry, Reader
from gate.policy.evaluate import evaluate
from gate.policy.rows import Policy
from gate.service.core import Service
from gate.service.impact_ledger import NOBODY
from gate.service.standing import REF_BYTES
from gate.service.unblocking import ACCOUNT_REASONS

MOST_ACCOUNTS = 500  # judged one by one for one answer; the case of an account that is asked about is always judged

ANY_FEATURE = "*"


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict about an account's data alone; `None` where nobody can tell any more."""

    verdict: Verdict | None
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"verdict": self.verdict and self.verdict.value, "reasons": list(self.reasons)}


CANNOT_TELL = Answer(None)


@dataclass
class _Account:
    """One account: when anything about it changed, and its facts in each era between two changes."""

    name: str | None
    changes: list[int]
    erased: int | None
    eras: dict[int, AccountFacts] = field(default_factory=dict)


class Verdicts:
    """Judges accounts under recorded decisions, as of each decision's own checkpoint and as of now."""

    def __init__(self, service: Service, reader: Reader, now: datetime, stop: int) -> None:
        self._service, self._reader, self._now, self._stop = service, reader, now, stop
        self._activations = list(reader.entries("policy_activation", stop=stop))
        self._policies: dict[int, Policy | None] = {}
        self._accounts: dict[str, _Account] = {}
        self._answers: dict[Any, Answer] = {}
        self._boundaries: dict[tuple[str, int], list[datetime]] = {}  # of a policy, and facts that stay in their era
        self._uses: dict[Use, tuple[Use, frozenset[Reason]]] = {}
        self._erasures = [(entry.idx, frozenset(entry.body["account_refs"])) for entry in reader.entries("erasure")]

    def then(self, entry: Entry, ref: str) -> Answer:
        """Judge an account at a decision's checkpoint, by the policy and at the instant of the decision."""
        account, size = self._account(ref), entry.body["checkpoint"]["size"]
        if account.name is None or (account.erased is not None and account.erased >= size):
            return CANNOT_TELL  # of what was erased since, nobody can show any more what it said
        said = entry.body["decision"]
        return self._judge(
            self.policy_at(size), account, size, entry, Use.from_dict(said["use"]), parse_instant(said["decided_at"])
        )

    def now(self, entry: Entry, ref: str) -> Answer:
        """Judge an account on today's ledger, by today's policy and model registry."""
        account = self._account(ref)
        if account.name is None:
            return Answer(Verdict.BLOCK, (Reason.NO_CONSENT.value,))  # nobody can show any more who agreed
        use, problems = self._use_now(Use.from_dict(entry.body["decision"]["use"]))
        return self._judge(self.policy_at(self._stop), account, self._stop, entry, use, self._now, problems)

    def about(self, entry: Entry, ref: str | None) -> dict[str, Any]:
        """Return `then` and `now` of a decision: for one account, or for all that it names if they are not too many.

        `then.rightly` says whether evaluating again agrees with what was recorded; `None` where that cannot be said.
        """
        said = entry.body["decision"]
        lacking = self._lacking(entry)
        refs = [ref] if ref else self._affordable(entry, lacking)
        again = [self.then(entry, one) for one in refs]
        today = [self.now(entry, one) for one in refs]
        blocked = {one for one, answer in zip(refs, again, strict=True) if answer.verdict is Verdict.BLOCK}
        total = 1 if ref else len(self._members(entry) | lacking)
        complete = bool(ref) or len(refs) == total > 0
        joined = _joined(again, complete=complete)
        then = {"verdict": said["verdict"], "reasons": said["reasons"], "again": joined.to_dict()}
        then["rightly"] = _rightly(said, joined, lacking.intersection(refs), blocked)
        checked = {} if ref else {"accounts": total, "accounts_checked": len(refs)}
        return {"then": then, "now": _joined(today, complete=complete).to_dict(), **checked}

    def policy_at(self, size: int) -> Policy | None:
        """Return the policy that was active when the ledger held so many entries; `None` where nobody can tell."""
        active = next((entry for entry in reversed(self._activations) if entry.idx < size), None)
        if active is None:
            return None
        if active.idx not in self._policies:
            try:
                self._policies[active.idx] = self._service.policy(self._reader, active)
            except LedgerUnavailable:
                self._policies[active.idx] = None  # its text was removed: nobody can tell any more
        return self._policies[active.idx]

    def _judge(
        self,
        policy: Policy | None,
        account: _Account,
        size: int,
        entry: Entry,
        use: Use,
        at: datetime,
        problems: frozenset[Reason] = frozenset(),
    ) -> Answer:
        if policy is None:
            return CANNOT_TELL
        era = bisect_left(account.changes, size)
        if era not in account.eras:
            account.eras[era] = account_facts(self._reader, str(account.name), size)
        facts = account.eras[era]
        what = tuple((tuple(item["categories"]), tuple(map(tuple, item["sources"]))) for item in entry.body["datasets"])
        if (policy.digest, id(facts)) not in self._boundaries:
            self._boundaries[policy.digest, id(facts)] = _boundaries(policy, facts)
        period = bisect_right(self._boundaries[policy.digest, id(facts)], at)
        key = (policy.digest, id(account), era, what, use, problems, period)
        if key not in self._answers:
            self._answers[key] = judged(policy, facts, entry, use, at, problems)
        return self._answers[key]

    def _account(self, ref: str) -> _Account:
        if ref not in self._accounts:
            name = self._reader.open_ref(ref)
            own = list(self._reader.entries(("consent", "profile", "appointment"), account_ref=ref, stop=self._stop))
            persons = {person_of(entry) for entry in own if entry.kind == "consent"}
            held = [
                entry.idx
                for person in persons
                for entry in self._reader.entries("appointment", subject_prefix=person + "/", stop=self._stop)
            ]
            erased = max((index for index, refs in self._erasures if ref in refs), default=None)
            changes = sorted({*(entry.idx for entry in own), *held})
            self._accounts[ref] = _Account(name if isinstance(name, str) else None, changes, erased)
        return self._accounts[ref]

    def _use_now(self, use: Use) -> tuple[Use, frozenset[Reason]]:
        if use not in self._uses:
            record = model_record(self._reader, use.model, self._stop) if use.model else None
            serves = record is None or ANY_FEATURE in record.features or use.feature in record.features
            owned = replace(use, ownership=record.ownership) if record else use
            self._uses[use] = owned, frozenset() if serves else frozenset({Reason.WRONG_FEATURE})
        return self._uses[use]

    def _members(self, entry: Entry) -> frozenset[str]:
        name = entry.body["accounts"]
        members = b"" if name == NOBODY else self._reader.attachment(name) or b""
        return frozenset(members[at : at + REF_BYTES].hex() for at in range(0, len(members), REF_BYTES))

    def _lacking(self, entry: Entry) -> frozenset[str]:
        if entry.body["decision"]["verdict"] == Verdict.ALLOW:
            return frozenset()
        detail = json.loads(self._reader.attachment(entry.body["detail"]) or b"[]")
        return frozenset(ref for top in detail for ref, _ in top["accounts"])

    def _affordable(self, entry: Entry, lacking: frozenset[str]) -> list[str]:
        everybody = sorted(lacking) + sorted(self._members(entry) - lacking)
        fresh = [ref for ref in everybody if ref not in self._accounts]
        left = max(0, MOST_ACCOUNTS - len(self._accounts))
        dropped = set(fresh[left:])
        return [ref for ref in everybody if ref not in dropped]


def judged(
    policy: Policy,
    facts: AccountFacts,
    entry: Entry,
    use: Use,
    at: datetime,
    problems: frozenset[Reason] = frozenset(),
) -> Answer:
    """Judge the datasets of a decision as if one row of one account were in each."""
    sets = tuple(_one_row(item, facts, problems) for item in entry.body["datasets"])
    decision = evaluate(policy, Facts(sets), use, at)
    return Answer(decision.verdict, tuple(reason.value for reason in decision.reasons))


def applies(policy: Policy, event: RecordedEvent, facts: AccountFacts, entry: Entry, use: Use, at: datetime) -> bool:
    """Whether a refusal or withdrawal, by itself, stands against a use of a decision's datasets."""
    alone = AccountFacts(facts.profile, (event,))
    return not _REVOKED.isdisjoint(judged(policy, alone, entry, use, at).reasons)


_REVOKED = frozenset({Reason.CONSENT_WITHDRAWN.value, Reason.CONSENT_REFUSED.value})


def _one_row(item: Mapping[str, Any], facts: AccountFacts, problems: frozenset[Reason]) -> DatasetFacts:
    sources = {tuple(pair) for pair in item["sources"]}
    return DatasetFacts(
        dataset=DatasetVersion.from_dict(item["version"]).dataset.name,
        categories=frozenset(item["categories"]),
        groups=(AccountGroup(facts, {None: 1}),),
        rows=(RowGroup((0,), 1),),
        problems=problems,
        declared_none=("none", "declared") in sources,
        declassified=any(source == "declassified" for _, source in sources),
        total_rows=1,
    )


def _boundaries(policy: Policy, facts: AccountFacts) -> list[datetime]:
    """Return the instants between which the same facts get the same answer."""
    events = [recorded.event for recorded in facts.events]
    own = {at for event in events for at in (event.effective_at, event.expires_at) if at is not None}
    return sorted({*own, *policy.boundaries, *(terms.since for terms in policy.terms_versions)})


def _joined(answers: Iterable[Answer], *, complete: bool) -> Answer:
    """Return one answer for several accounts: one that is blocked blocks, and all have to pass."""
    listed = list(answers)
    reasons = tuple(sorted({reason for answer in listed for reason in answer.reasons}))
    if any(answer.verdict is Verdict.BLOCK for answer in listed):
        return Answer(Verdict.BLOCK, reasons)
    told = complete and listed and all(answer.verdict is Verdict.ALLOW for answer in listed)
    return Answer(Verdict.ALLOW) if told else CANNOT_TELL


def _rightly(said: Mapping[str, Any], again: Answer, named: frozenset[str], blocked: set[str]) -> bool | None:
    if said["verdict"] == Verdict.ALLOW:
        return None if again.verdict is None else again.verdict is Verdict.ALLOW
    if blocked:
        return True
    by_account = ACCOUNT_REASONS.issuperset(map(Reason, said["reasons"]))
    return False if named and by_account and again.verdict is Verdict.ALLOW else None
