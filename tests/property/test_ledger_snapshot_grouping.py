"""Grouping loses nothing: `evaluate` answers the same for an account and for its group's representative."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.domain.consent import Profile, RecordedEvent, parse_consent_event
from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Facts, RowGroup, Use
from gate.domain.instants import format_instant, parse_instant
from gate.domain.words import Authority, Category, Ownership, Purpose
from gate.ledger import records, state
from gate.ledger.snapshots import current_snapshot, read_groups
from gate.policy.evaluate import evaluate
from gate.policy.rows import Policy
from gate.policy.table import load_policy
from support.grouping import same_group
from support.ledgers import COMMON, NOW, appointment, at, fresh, sqlite_url

# Instants around everything a shipped policy compares with: the terms' dates, and now.
INSTANTS = [at("2023-06-01"), at("2023-08-07"), at("2023-08-08"), at("2024-01-01"), at("2024-01-02"), NOW]
INSTANTS += [NOW + timedelta(microseconds=1), NOW - timedelta(days=1), NOW + timedelta(days=30)]

profiles = st.builds(
    Profile,
    region=st.sampled_from([None, "US", "DE"]),
    segment=st.sampled_from([None, "none", "education"]),
    terms_version=st.sampled_from([None, "2023-03", "2023-08-07"]),
)


def subset(*values: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), unique=True, max_size=len(values))


GOOD: dict[str, Any] = {
    "account_id": "acme",
    "action": "grant",
    "toggle": "share_for_training",
    "categories": ["audio", "chat"],
    "features": "*",
    "purposes": ["train", "tune"],
    "principal": {"id": "ada", "role": "owner"},
    "notice": {"terms_version": "2023-08-07", "text_sha256": "a" * 64},
    "withdrawal_channel": "console",
    "evidence": "form 1",
    "effective_at": "2024-01-01T00:00:00Z",
}
OTHERWISE: dict[str, st.SearchStrategy[Any]] = {
    "action": st.sampled_from(["refuse", "withdraw"]),
    "toggle": st.just("enable_feature"),
    "categories": st.none() | subset("audio", "chat", "phi"),
    "features": st.sampled_from([None, ["meeting_summary"], ["captions"]]),
    "purposes": st.none() | subset("train", "tune"),
    "ownership": st.sampled_from([["first_party"], ["third_party"]]),
    "principal": st.just({"id": "ada", "role": "member"}),
    "notice": st.sampled_from([None, {"terms_version": "2023-08-07"}, {**GOOD["notice"], "terms_version": "2023-03"}]),
    "instrument": st.just("hipaa_authorization"),
    "bundled_with_service": st.just(True),
    "withdrawal_channel": st.sampled_from([None, "letter"]),
    "evidence": st.sampled_from([None, "form 2"]),
    "effective_at": st.sampled_from(INSTANTS).map(format_instant),
    "expires_at": st.sampled_from(INSTANTS[-4:]).map(format_instant),
}


FIELDS = [*sorted(OTHERWISE), *["action", "effective_at"] * 4]  # what overtakes what is the hard part


@st.composite
def events(draw: st.DrawFn) -> RecordedEvent:
    """A grant that would do, but for a few of its fields."""
    changed = draw(st.lists(st.sampled_from(FIELDS), unique=True, max_size=2))
    fields = {**GOOD, **{name: draw(OTHERWISE[name]) for name in changed}}
    if "expires_at" in fields and parse_instant(fields["expires_at"]) <= parse_instant(fields["effective_at"]):
        del fields["expires_at"]
    authority = draw(st.sampled_from([Authority.ADMIN, Authority.ADMIN, Authority.NOT_ADMIN, Authority.WRONG_ACCOUNT]))
    return RecordedEvent(parse_consent_event(fields), 0, NOW, authority)


@st.composite
def neighbour(draw: st.DrawFn, original: AccountFacts) -> AccountFacts:
    """The same account but for one thing about one event, or about its profile."""
    if not original.events or draw(st.integers(0, 9)) == 0:
        return replace(original, profile=draw(profiles))
    changed = list(original.events)
    at_ = draw(st.integers(0, len(changed) - 1))
    old, new = changed[at_], draw(events())
    name = draw(st.sampled_from(["authority", "index", *FIELDS]))
    if name == "authority":
        changed[at_] = replace(old, authority=new.authority)
    elif name == "index":
        changed[at_] = replace(old, index=draw(st.integers(0, 20)))
    elif name in ("effective_at", "expires_at") and old.event.expires_at:
        changed[at_] = replace(old, event=replace(old.event, expires_at=new.event.expires_at))
    else:
        changed[at_] = replace(old, event=replace(old.event, **{name: getattr(new.event, name)}))
    if len({e.index for e in changed}) < len(changed):
        return original
    return AccountFacts(original.profile, tuple(sorted(changed, key=lambda e: e.index)))


@st.composite
def facts(draw: st.DrawFn) -> AccountFacts:
    recorded = draw(st.lists(events(), max_size=4))
    return AccountFacts(draw(profiles), tuple(replace(e, index=7 + 3 * i) for i, e in enumerate(recorded)))


@st.composite
def disguised(draw: st.DrawFn, original: AccountFacts, boundaries: list[datetime]) -> AccountFacts:
    """The same account under other ids, other texts and other times that keep their order and periods."""
    fixed = sorted({*boundaries, NOW, NOW + timedelta(microseconds=1)})

    def moved(instant: datetime) -> datetime:
        if instant in fixed:
            return instant
        below = max((f for f in fixed if f < instant), default=at("2001-01-01"))
        above = min((f for f in fixed if f > instant), default=at("2099-01-01"))
        return instant - (instant - below) / 2 if shrink else instant + (above - instant) / 2

    shrink, offset = draw(st.booleans()), draw(st.integers(1, 1000))
    changed = []
    for recorded in original.events:
        event = recorded.event
        changed.append(
            replace(
                recorded,
                index=recorded.index + offset,
                event=replace(
                    event,
                    account_id="bolt",
                    principal=replace(event.principal, id="bob"),
                    evidence=event.evidence and "another form",
                    withdrawal_channel=event.withdrawal_channel and "another channel",
                    jurisdiction=draw(st.sampled_from([None, "FR"])),
                    effective_at=moved(event.effective_at),
                    expires_at=event.expires_at and moved(event.expires_at),
                ),
            )
        )
    return AccountFacts(original.profile, tuple(changed))


@cache
def policies() -> tuple[Policy, ...]:
    return tuple(load_policy(name) for name in ("zoom-2023-08", "strict"))


def boundaries_of(policy: Policy) -> list[datetime]:
    return [terms.since for terms in policy.terms_versions]


USES = [
    Use(Purpose.TRAIN, "meeting_summary", "m", Ownership.FIRST_PARTY),
    Use(Purpose.TUNE, None, "m", Ownership.THIRD_PARTY),
    Use(Purpose.INFER, "captions", "m", Ownership.FIRST_PARTY),
]


def answers(policy: Policy, account: AccountFacts) -> list[Any]:
    """Everything a decision says about one account, for several uses and categories."""
    said = []
    for use in USES:
        for category in (Category.AUDIO, Category.CHAT, Category.PHI, Category.TELEMETRY):
            group = AccountGroup(account, {None: 1})
            row = RowGroup((0,), 3)
            dataset = DatasetFacts("d", frozenset({category.value}), groups=(group,), rows=(row,), total_rows=3)
            decision = evaluate(policy, Facts((dataset,)), use, NOW)
            said.append((decision.verdict, decision.reasons, decision.findings, decision.passing))
    return said


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_disguised_account_has_the_same_group_and_answers(data: st.DataObject) -> None:
    policy = data.draw(st.sampled_from(policies()))
    boundaries = boundaries_of(policy)
    original = data.draw(facts())
    other = data.draw(disguised(original, boundaries))
    assert same_group(original, other, NOW, boundaries)
    assert answers(policy, original) == answers(policy, other)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([0, 1]))
def test_one_group_means_equal_answers(data: st.DataObject, which: int) -> None:
    policy = policies()[which]
    one = data.draw(facts())
    other = data.draw(neighbour(one))
    if same_group(one, other, NOW, boundaries_of(policy)):
        assert answers(policy, one) == answers(policy, other)


def told(index: int, authority: Authority = Authority.ADMIN, **changes: Any) -> RecordedEvent:
    return RecordedEvent(parse_consent_event({**GOOD, **changes}), index, NOW, authority)


def revoked(index: int, since: str) -> RecordedEvent:
    return told(index, action="withdraw", effective_at=since)


PHI = {"categories": ["phi"], "instrument": "hipaa_authorization"}
LATER = {"expires_at": "2025-01-01T00:00:00Z"}
BEFORE, SAME, AFTER = "2023-12-01T00:00:00Z", GOOD["effective_at"], "2024-02-01T00:00:00Z"

TELLING = {
    "a withdrawal before or after the grant": ([revoked(3, BEFORE), told(7)], [revoked(3, AFTER), told(7)]),
    "a withdrawal before the grant or with it": ([revoked(3, BEFORE), told(7)], [revoked(3, SAME), told(7)]),
    "a withdrawal recorded before or after": ([revoked(3, BEFORE), told(7)], [revoked(9, BEFORE), told(7)]),
    "a grant under other terms": ([told(7)], [told(7, effective_at="2023-06-01T00:00:00Z")]),
    "a grant to come": ([told(7)], [told(7, effective_at="2024-07-01T00:00:00Z")]),
    "a grant that expired": ([told(7, **LATER)], [told(7, expires_at="2024-05-01T00:00:00Z")]),
    "a grant with an end": ([told(7, **PHI)], [told(7, **PHI, **LATER)]),
    "authority": ([told(7)], [told(7, Authority.NOT_ADMIN)]),
    "whose admin": ([told(7, Authority.WRONG_ACCOUNT)], [told(7, Authority.NOT_ADMIN)]),
    "action": ([told(7, action="refuse")], [told(7, action="withdraw")]),
    "toggle": ([told(7)], [told(7, toggle="enable_feature")]),
    "categories": ([told(7)], [told(7, categories=["video"])]),
    "features": ([told(7)], [told(7, features=["captions"])]),
    "purposes": ([told(7)], [told(7, purposes=["tune"])]),
    "ownership": ([told(7)], [told(7, ownership=["customer_owned"])]),
    "notice": ([told(7)], [told(7, notice={"terms_version": "2023-08-07"})]),
    "terms": ([told(7)], [told(7, notice={**GOOD["notice"], "terms_version": "2023-03"})]),
    "evidence": ([told(7)], [told(7, evidence=None)]),
    "channel": ([told(7)], [told(7, withdrawal_channel=None)]),
    "bundled": ([told(7)], [told(7, bundled_with_service=True)]),
    "instrument": ([told(7, **PHI, **LATER)], [told(7, categories=["phi"], **LATER)]),
}


@pytest.mark.parametrize("what", TELLING)
def test_what_a_policy_can_tell_tells_groups_apart(what: str) -> None:
    one, other = (AccountFacts(events=tuple(sorted(e, key=lambda r: r.index))) for e in TELLING[what])
    assert any(answers(policy, one) != answers(policy, other) for policy in policies()), "the example shows nothing"
    for policy in policies():
        assert not same_group(one, other, NOW, boundaries_of(policy))


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(profiles, st.lists(events(), max_size=3), st.booleans()), min_size=1, max_size=12))
def test_every_account_of_a_ledger_gets_its_own_answer(
    recorded: list[tuple[Profile, list[RecordedEvent], bool]],
) -> None:
    policy = policies()[1]
    with TemporaryDirectory() as folder, fresh(sqlite_url(Path(folder) / "l.db")) as ledger:
        with ledger.write() as tx:
            for number, (profile, said, admin) in enumerate(recorded):
                account, person = f"account-{number}", f"person-{number}"
                if admin:
                    records.record_appointments(tx, [appointment(account, person)], **COMMON)
                records.record_profile(tx, account, profile, **COMMON)
                mine = [
                    replace(e.event, account_id=account, principal=replace(e.event.principal, id=person)) for e in said
                ]
                records.record_consents(tx, mine, **COMMON)
        with ledger.read() as reader:
            snapshot = current_snapshot(reader, NOW, boundaries_of(policy), Path(folder) / "kept")
            found = read_groups(snapshot)
            assert sorted(found) == sorted(f"account-{n}" for n in range(len(recorded)))
            for account, group in found.items():
                own = state.account_facts(reader, account)
                assert answers(policy, own) == answers(policy, snapshot.facts(group))
