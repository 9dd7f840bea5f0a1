"""Whether a permit still stands: nothing appended since its decision, nor time, touches what it rests on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gate.domain.dataset import Dataset, DatasetVersion
from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Facts, RowGroup
from gate.domain.instants import parse_instant
from gate.domain.remedies import refused
from gate.domain.words import Reason, Requirement, Verdict
from gate.errors import PermitRefused
from gate.ledger.state import TOUCHING, Feed, Touched, account_facts, feeds, touched_by, touched_since
from gate.ledger.store import Entry, Question, Reader
from gate.permits.permit import Permit
from gate.policy.evaluate import evaluate
from gate.policy.table import Policy
from gate.service.core import Service
from gate.service.decisions import decided_again, deciding_again
from gate.service.feeds import stale_feeds
from gate.service.keyring import LedgerKey, check_signed, ring_of
from gate.service.overrides import override_stands
from gate.service.tags import dataset_key

REF_BYTES = 32
MANY = 2000  # entries since a decision that are read at once


@dataclass(frozen=True, slots=True)
class Standing:
    """A permit, as it was signed, with the decision it rests on."""

    permit: Permit
    envelope: Mapping[str, Any]
    decision: Entry

    @classmethod
    def of(cls, permit: Permit, envelope: Mapping[str, Any], reader: Reader) -> Standing:
        """Look the decision up."""
        return cls(permit, envelope, reader.entry(permit.decision_index))

    @property
    def rests_on_consent(self) -> bool:
        """Whether any cell of the decision asked for consent."""
        findings = self.decision.body["decision"]["findings"]
        return any(finding["requirement"] == Requirement.CONSENT for finding in findings)

    @property
    def until(self) -> datetime | None:
        """When a consent of its accounts, or a policy row, starts or ends."""
        until = self.decision.body["stands_until"]
        return None if until is None else parse_instant(until)


@dataclass(frozen=True, slots=True)
class Found:
    """What the ledger says at one moment of everything a permit rests on, read with one statement.

    Attributes:
        ring: the ledger's keys.
        touched: what the entries since the decision's checkpoint are about.
        newer: decisions about the same run since then.
        activation: the newest activation of a policy.
        feeds: the consent sources that ever reported.
        complete: whether the list of permitted accounts is there.
        redemption: that of the try it was asked about.
    """

    ring: tuple[LedgerKey, ...]
    touched: Touched
    newer: list[Entry]
    activation: Entry | None
    feeds: tuple[Feed, ...]
    complete: bool
    redemption: Entry | None


def questions(standing: Standing, redemption: str = "") -> tuple[Question, ...]:
    """Return what must be asked about everything a permit rests on.

    Args:
        redemption: the subject of a redemption to look for as well.
    """
    return (
        Question("key"),
        Question("policy_activation", newest=True),
        Question("feed", newest=True),
        deciding_again(standing.decision),
        Question(TOUCHING, start=standing.permit.checkpoint[0], limit=MANY),
        Question(attachment=standing.decision.body["accounts"]),
        Question("redemption", subject=redemption),
    )


def found_out(reader: Reader, standing: Standing, answers: Sequence[list[Entry]]) -> Found:
    """Read the answers to `questions`.

    Args:
        reader: the state that answered and that counts: to redeem, the transaction that records it.
    """
    keys, activations, reported, newer, since, members, redeemed = answers
    start = standing.permit.checkpoint[0]
    return Found(
        ring=ring_of(keys),
        touched=touched_by(since) if len(since) < MANY else touched_since(reader, start),
        newer=newer,
        activation=next(iter(activations), None),
        feeds=feeds(reader) if reported else (),
        complete=bool(members),
        redemption=next(iter(redeemed), None),
    )


def check_nothing_happened(
    service: Service, reader: Reader, standing: Standing, now: datetime, found: Found | None = None
) -> None:
    """Refuse if an entry since the decision's checkpoint touches what it rested on (invariant 4), or time did.

    Args:
        found: what was found out in this very state, if it was asked before.

    Raises:
        PermitRefused: with the reason.
    """
    permit, decision = standing.permit, standing.decision
    found = found or found_out(reader, standing, reader.ask(*questions(standing)))
    touched = found.touched
    check_signed(standing.envelope, found.ring)
    if standing.until is not None and now >= standing.until:
        raise refused("a consent or a policy row started or ended since the decision", Reason.PERMIT_EXPIRED)
    if decided_again(decision, found.newer):
        raise refused("the gate has decided again since this permit", Reason.PERMIT_MISMATCH)
    if permit.override is not None and not override_stands(reader, permit.override, now):
        raise refused("the break-glass behind this permit is over", Reason.PERMIT_EXPIRED)
    if changed := _changed(touched, permit):
        raise refused(f"the {changed} changed after the decision", Reason.PERMIT_MISMATCH)
    if permit.override is None and standing.rests_on_consent:
        _check_feeds(service.policy(reader, found.activation), found.feeds, now)
    # Who is permitted may be a long list: without anybody who changed, it is enough that it is there.
    members = reader.attachment(decision.body["accounts"]) if touched.accounts else b""
    if members is None or not found.complete:
        raise refused("the decision's accounts were erased", Reason.CANNOT_DECIDE)
    hit = sorted(ref for ref in touched.accounts if contains(members, bytes.fromhex(ref)))
    if hit:
        reasons = _reasons_now(service, reader, permit, decision, hit, now)
        raise PermitRefused(
            f"{len(hit)} of the permitted accounts changed after the decision: {', '.join(reasons)}",
            hint="clear the gate's task: it decides again, on what stands now",
            reason=reasons[0],
        )


def _check_feeds(policy: Policy, known: Iterable[Feed], now: datetime) -> None:
    stale = stale_feeds(policy, known, now)
    if stale:
        raise refused(f"what these consent sources know may be out of date: {', '.join(stale)}", Reason.STALE_FEED)


def first_touch(reader: Reader, standing: Standing, start: int) -> Entry | None:
    """Return the first entry from `start` on that touches one of the permit's accounts."""
    members = reader.attachment(standing.decision.body["accounts"])
    if members is None:
        return None
    for entry in reader.entries(("appointment", "consent", "erasure", "profile"), start=start):
        refs = entry.body["account_refs"] if entry.kind == "erasure" else filter(None, [entry.account_ref])
        if any(contains(members, bytes.fromhex(ref)) for ref in refs):
            return entry
    return None


def _changed(touched: Touched, permit: Permit) -> str | None:
    if touched.policy:
        return "policy"
    if touched.mode:
        return "mode"
    if permit.use.model in touched.models:
        return "model's registration"
    if {dataset_key(read) for version in permit.datasets for read in _rests_on(version)} & touched.datasets:
        return "dataset's tags"
    return None


def _rests_on(version: DatasetVersion) -> tuple[Dataset, ...]:
    """Return the datasets whose tags a permitted version rests on: its own and, for a subset, its source's."""
    source = version.subset_of
    return (version.dataset,) if source is None else (version.dataset, replace(version.dataset, uri=source))


def contains(members: bytes, ref: bytes) -> bool:
    """Whether a decision's set of accounts (references of 32 bytes, sorted) holds this one."""
    view = range(0, len(members), REF_BYTES)
    at = bisect_left(view, ref, key=lambda offset: members[offset : offset + REF_BYTES])
    return at < len(view) and members[view[at] : view[at] + REF_BYTES] == ref


def _reasons_now(
    service: Service, reader: Reader, permit: Permit, decision: Entry, refs: list[str], now: datetime
) -> list[str]:
    """Say why these accounts would block today; if they would not, that the permit is out of date."""
    policy = service.policy(reader)
    categories = frozenset(c for item in decision.body["datasets"] for c in item["categories"])
    reasons: set[str] = set()
    for ref in refs:
        name = reader.open_ref(ref)
        known = AccountFacts() if name is None else account_facts(reader, name)
        group = AccountGroup(known, {None: 1})
        facts = DatasetFacts("permitted", categories, groups=(group,), rows=(RowGroup((0,), 1),), total_rows=1)
        answer = evaluate(policy, Facts((facts,)), permit.use, now)
        if answer.verdict is Verdict.BLOCK:
            reasons |= {reason.value for reason in answer.reasons}
    return sorted(reasons) or [Reason.PERMIT_MISMATCH.value]
