"""Deciding: exact counts, what is reported, what a subset may keep, and how long it takes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gate.domain.consent import Profile, RecordedEvent, parse_consent_event
from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Decision, Facts, RowGroup, Use
from gate.domain.words import Authority, Ownership, Purpose, Reason, Requirement, Verdict
from gate.errors import InputError
from gate.policy.evaluate import evaluate
from gate.policy.table import Policy, load_policy, parse_policy

NOW = datetime(2023, 9, 1, tzinfo=UTC)
GRANTED_AT = datetime(2023, 8, 15, tzinfo=UTC)
TRAIN = Use(Purpose.TRAIN, "meeting_summary", "ms-1", Ownership.FIRST_PARTY)
HERE = Profile("US", "none", "2023-08-07")


@pytest.fixture
def policy() -> Policy:
    return load_policy("zoom-2023-08")


def grant(index: int = 1, authority: Authority = Authority.ADMIN, **fields: Any) -> RecordedEvent:
    event = parse_consent_event(
        {
            "account_id": "acme",
            "action": "grant",
            "toggle": "share_for_training",
            "categories": ["audio", "video", "chat"],
            "features": ["meeting_summary"],
            "purposes": ["train"],
            "principal": {"id": "ada", "role": "admin"},
            "notice": {"terms_version": "2023-08-07", "text_sha256": "a" * 64},
            "evidence": "form",
            "withdrawal_channel": "console",
            "effective_at": "2023-08-15T00:00:00Z",
            **fields,
        }
    )
    return RecordedEvent(event, index, event.effective_at, authority)


def withdrawal(index: int = 2, authority: Authority = Authority.ADMIN, **fields: Any) -> RecordedEvent:
    raw = {
        "account_id": "acme",
        "action": "withdraw",
        "principal": {"id": "ada", "role": "admin"},
        "effective_at": "2023-08-20T00:00:00Z",
        **fields,
    }
    event = parse_consent_event(raw)
    return RecordedEvent(event, index, event.effective_at, authority)


def group(*events: RecordedEvent, accounts: int = 1, profile: Profile = HERE) -> AccountGroup:
    return AccountGroup(AccountFacts(profile, events), {None: accounts})


def dataset(
    *groups: AccountGroup, rows: list[tuple[tuple[int, ...], int]], categories: str = "audio", **more: Any
) -> DatasetFacts:
    found = tuple(RowGroup(members, n) for members, n in rows)
    return DatasetFacts("meetings", frozenset(categories.split()), groups=groups, rows=found, **more)


def decide(policy: Policy, *datasets: DatasetFacts, use: Use = TRAIN, now: datetime = NOW) -> Decision:
    return evaluate(policy, Facts(datasets), use, now)


def test_rows_and_accounts_are_counted_exactly(policy: Policy) -> None:
    facts = dataset(
        group(grant(), accounts=10),
        group(accounts=3),
        group(withdrawal(), accounts=2),
        rows=[((0,), 1000), ((1,), 50), ((2,), 7)],
        unattributed={None: 5},
        total_rows=1062,
    )
    decision = decide(policy, facts)
    assert decision.verdict is Verdict.BLOCK
    assert decision.reasons == (Reason.CONSENT_WITHDRAWN, Reason.NO_CONSENT, Reason.UNATTRIBUTED_ROWS)
    found = {(f.row, f.verdict): (f.accounts, f.rows, f.groups) for f in decision.findings}
    assert found == {
        (None, Verdict.BLOCK): (0, 5, ()),
        ("content-training", Verdict.BLOCK): (5, 57, (1, 2)),
        ("content-training", Verdict.ALLOW): (10, 1000, (0,)),
    }
    (coverage,) = decision.coverage
    assert (coverage.rows, coverage.rows_blocked, coverage.rows_unattributed) == (1062, 62, 5)
    assert (coverage.accounts, coverage.accounts_blocked) == (15, 5)
    assert (decision.rows_blocked, decision.accounts_blocked) == (62, 5)
    assert decision.passing == (frozenset({0}),)
    assert decision.subset_possible


def test_a_shared_row_passes_only_if_every_account_does_and_counts_once(policy: Policy) -> None:
    facts = dataset(group(grant()), group(), group(), rows=[((0,), 1), ((0, 1), 20), ((1, 2), 300)])
    decision = decide(policy, facts)
    found = {f.verdict: (f.accounts, f.rows) for f in decision.findings}
    assert found == {Verdict.BLOCK: (2, 320), Verdict.ALLOW: (1, 1)}
    assert decision.coverage[0].rows == 321
    assert decision.rows_blocked == 320
    assert decision.passing == (frozenset({0}),)


def test_blocked_rows_of_several_categories_count_once(policy: Policy) -> None:
    facts = dataset(group(grant(categories=["audio"])), rows=[((0,), 40)], categories="audio video chat")
    decision = decide(policy, facts)
    assert [(c.category, c.rows, c.rows_blocked) for c in decision.coverage] == [
        ("audio", 40, 0),
        ("video", 40, 40),
        ("chat", 40, 40),
    ]
    assert decision.rows_blocked == 40
    assert decision.passing == (frozenset(),)
    assert not decision.subset_possible  # nothing would be left


def column_facts(**more: Any) -> DatasetFacts:
    only_chat = AccountGroup(AccountFacts(HERE, (grant(categories=["chat"]),)), {"chat": 2, "audio": 1})
    nothing = AccountGroup(AccountFacts(HERE), {"telemetry": 4})
    rows = (RowGroup((0,), 10, "chat"), RowGroup((0,), 3, "audio"), RowGroup((1,), 8, "telemetry"))
    fields: dict[str, Any] = {"groups": (only_chat, nothing), "rows": rows, **more}
    return DatasetFacts("mixed", fields.pop("categories", frozenset({"chat", "audio", "telemetry"})), **fields)


def test_with_a_category_column_only_the_rows_own_category_counts(policy: Policy) -> None:
    decision = decide(policy, column_facts())
    assert {(c.category, c.rows, c.rows_blocked, c.accounts, c.accounts_blocked) for c in decision.coverage} == {
        ("chat", 10, 0, 2, 0),
        ("audio", 3, 3, 1, 1),
        ("telemetry", 8, 0, 4, 0),
    }
    assert decision.reasons == (Reason.WRONG_CATEGORY,)
    assert decision.passing == (frozenset({1}),)


def test_unknown_and_null_row_categories_are_unclassified(policy: Policy) -> None:
    facts = column_facts(null_categories=6)
    facts = replace(facts, rows=(*facts.rows, RowGroup((1,), 2, "smell")))
    decision = decide(policy, facts)
    unclassified = [f for f in decision.findings if f.category == "unclassified"]
    assert [(f.rows, f.reasons) for f in unclassified] == [(8, (Reason.POLICY_DENIED, Reason.UNCLASSIFIED_DATA))]
    assert not decision.subset_possible


def test_a_category_no_row_admits_to_concerns_all_rows(policy: Policy) -> None:
    facts = column_facts(categories=frozenset({"chat", "audio", "telemetry", "phi"}))
    decision = decide(policy, facts)
    (phi,) = [c for c in decision.coverage if c.category == "phi"]
    assert (phi.rows, phi.rows_blocked) == (21, 21)


def test_a_column_cannot_hide_content_behind_none(policy: Policy) -> None:
    hiding = AccountGroup(AccountFacts(HERE), {"none": 1})
    facts = DatasetFacts(
        "meetings",
        frozenset({"audio", "none"}),
        groups=(hiding,),
        rows=(RowGroup((0,), 9, "none"),),
        declared_none=True,
    )
    assert decide(policy, facts).reasons == (Reason.NO_CONSENT,)


@pytest.mark.parametrize("empty", [{}, {"unattributed": {None: 0}}, {"total_rows": 7}])
def test_a_dataset_without_rows_cannot_be_decided(policy: Policy, empty: dict[str, Any]) -> None:
    decision = decide(policy, dataset(rows=[], **empty))
    assert decision.reasons == (Reason.CANNOT_DECIDE,)
    assert not decision.subset_possible


def test_data_of_nobody_needs_no_rows(policy: Policy) -> None:
    decision = decide(policy, dataset(rows=[], categories="none", declared_none=True, total_rows=12))
    assert decision.verdict is Verdict.ALLOW
    assert decision.coverage[0].rows == 12


def test_no_datasets_cannot_be_decided(policy: Policy) -> None:
    decision = evaluate(policy, Facts(()), TRAIN, NOW)
    assert (decision.verdict, decision.reasons) == (Verdict.BLOCK, (Reason.CANNOT_DECIDE,))


def test_rows_of_nobody_still_meet_denials(policy: Policy) -> None:
    use = replace(TRAIN, ownership=Ownership.THIRD_PARTY)
    decision = decide(policy, dataset(rows=[], unattributed={None: 4}), use=use)
    assert set(decision.reasons) == {Reason.UNATTRIBUTED_ROWS, Reason.THIRD_PARTY_MODEL, Reason.POLICY_DENIED}
    assert decision.rows_blocked == 4


def test_a_row_group_without_groups_is_unattributed(policy: Policy) -> None:
    decision = decide(policy, dataset(group(grant()), rows=[((), 2), ((0,), 5)]))
    assert decision.reasons == (Reason.UNATTRIBUTED_ROWS,)
    assert decision.coverage[0].rows_unattributed == 2
    assert decision.subset_possible


def test_problems_block_everything_and_no_subset_helps(policy: Policy) -> None:
    facts = dataset(group(grant()), rows=[((0,), 5)], problems=frozenset({Reason.STALE_TAG, Reason.CONTRACT_ERRORED}))
    decision = decide(policy, facts)
    assert decision.reasons == (Reason.CONTRACT_ERRORED, Reason.STALE_TAG)
    assert decision.rows_blocked == 5
    assert decision.accounts_blocked == 1
    assert not decision.subset_possible


def test_none_beside_content_is_a_conflict(policy: Policy) -> None:
    facts = dataset(group(grant()), rows=[((0,), 5)], categories="none audio", declared_none=True)
    decision = decide(policy, facts)
    assert decision.reasons == (Reason.TAG_CONFLICT,)
    assert not decision.subset_possible


@pytest.mark.parametrize(
    ("profile", "use", "categories"),
    [
        (replace(HERE, segment="education"), TRAIN, "audio"),
        (replace(HERE, segment=None), TRAIN, "audio"),
        (replace(HERE, terms_version=None), TRAIN, "audio"),
        (replace(HERE, region="DE"), TRAIN, "telemetry"),
        (HERE, replace(TRAIN, ownership=Ownership.THIRD_PARTY), "audio"),
        (HERE, replace(TRAIN, ownership=Ownership.CUSTOMER_OWNED), "audio"),
        (HERE, TRAIN, "unclassified"),
    ],
)
def test_no_subset_unless_consent_is_all_that_is_missing(
    policy: Policy, profile: Profile, use: Use, categories: str
) -> None:
    good = group(grant())
    facts = dataset(good, group(grant(), profile=profile), rows=[((0,), 5), ((1,), 5)], categories=categories)
    decision = decide(policy, facts, use=use)
    assert decision.verdict is Verdict.BLOCK
    assert not decision.subset_possible


def test_a_subset_must_leave_something_of_every_dataset(policy: Policy) -> None:
    some = dataset(group(grant()), group(), rows=[((0,), 5), ((1,), 5)])
    nothing = dataset(group(), rows=[((0,), 5)])
    fine = dataset(group(grant()), rows=[((0,), 5)])
    assert decide(policy, some, fine).subset_possible
    assert not decide(policy, some, nothing).subset_possible
    assert not decide(policy, fine).subset_possible  # allowed: nothing to subset


def test_every_finding_is_reported_and_the_most_restrictive_wins(policy: Policy) -> None:
    account = group(grant(categories=["telemetry"]), profile=replace(HERE, region="DE", segment="education"))
    decision = decide(policy, dataset(account, rows=[((0,), 5)], categories="telemetry"))
    assert [(f.row, f.requirement, f.verdict) for f in decision.findings] == [
        ("telemetry-training", Requirement.ALLOW, Verdict.ALLOW),
        ("telemetry-training-region", Requirement.DENY, Verdict.BLOCK),
        ("segment-training", Requirement.UNDECIDED, Verdict.BLOCK),
    ]
    assert decision.verdict is Verdict.BLOCK


def test_terms_of_consent_and_of_decision_are_both_recorded(policy: Policy) -> None:
    old = grant(effective_at="2023-08-01T00:00:00Z", notice={"terms_version": "2023-07-27", "text_sha256": "b" * 64})
    decision = decide(policy, dataset(group(old), group(grant()), rows=[((0,), 1), ((1,), 1)]))
    assert decision.verdict is Verdict.ALLOW
    assert decision.findings[0].terms == ("2023-07-27", "2023-08-07")
    assert decision.terms_version == "2023-08-07"
    assert decision.content_owner == "customer"


def test_a_strangers_withdrawal_is_reported_on_the_allow(policy: Policy) -> None:
    facts = dataset(group(grant(), withdrawal(authority=Authority.NOT_ADMIN)), rows=[((0,), 1)])
    decision = decide(policy, facts)
    assert decision.verdict is Verdict.ALLOW
    assert decision.findings[0].reasons == (Reason.NOT_ADMIN,)
    assert decide(load_policy("strict"), facts).reasons == (Reason.NOT_ADMIN,)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (grant(3), Verdict.ALLOW),  # recorded later, effective before the withdrawal
        (grant(1, effective_at="2023-08-25T00:00:00Z"), Verdict.ALLOW),  # recorded before, effective later
        (grant(1), Verdict.BLOCK),  # neither
        (grant(3, features=["other"]), Verdict.BLOCK),  # about something else
        (grant(3, authority=Authority.NOT_ADMIN), Verdict.BLOCK),
    ],
)
def test_under_strict_an_admin_must_answer_a_strangers_withdrawal(answer: RecordedEvent, verdict: Verdict) -> None:
    stranger = withdrawal(2, authority=Authority.NOT_ADMIN)
    account = group(grant(0), stranger, answer)
    assert decide(load_policy("strict"), dataset(account, rows=[((0,), 1)])).verdict is verdict


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ((grant(1), withdrawal(2)), Verdict.BLOCK),
        ((withdrawal(1), grant(2, effective_at="2023-08-25T00:00:00Z")), Verdict.ALLOW),
        # Predated: recorded after the withdrawal, but effective before it.
        ((withdrawal(1), grant(2)), Verdict.BLOCK),
        # Imported late: effective before the grant, but recorded after it.
        ((grant(1), withdrawal(2, effective_at="2023-08-01T00:00:00Z")), Verdict.BLOCK),
        # Recorded and effective before the grant: answered by it.
        ((withdrawal(1, effective_at="2023-08-01T00:00:00Z"), grant(2)), Verdict.ALLOW),
        # At the same instant the withdrawal wins, whatever the order.
        ((withdrawal(1, effective_at="2023-08-15T00:00:00Z"), grant(2)), Verdict.BLOCK),
    ],
)
def test_neither_predating_nor_late_import_revives_consent(
    policy: Policy, events: tuple[RecordedEvent, ...], verdict: Verdict
) -> None:
    assert decide(policy, dataset(group(*events), rows=[((0,), 1)])).verdict is verdict


@pytest.mark.parametrize(
    ("offset", "verdict"), [(-1, Verdict.BLOCK), (0, Verdict.ALLOW), (9, Verdict.ALLOW), (10, Verdict.BLOCK)]
)
def test_consent_stands_from_effective_until_just_before_expiry(policy: Policy, offset: int, verdict: Verdict) -> None:
    account = group(grant(expires_at="2023-08-15T00:00:10Z"))
    moment = GRANTED_AT + timedelta(seconds=offset)
    assert decide(policy, dataset(account, rows=[((0,), 1)]), now=moment).verdict is verdict


@pytest.mark.parametrize(
    ("offset", "verdict"), [(-1, Verdict.BLOCK), (0, Verdict.ALLOW), (4, Verdict.ALLOW), (5, Verdict.BLOCK)]
)
def test_rows_apply_from_effective_until_just_before_the_end(offset: int, verdict: Verdict) -> None:
    table = """
name: windowed
version: "1"
terms_versions: [{version: 2023-08-07, from: 2023-08-07}]
sources: {S: {title: t, statements: []}}
rows:
  - {id: open, categories: [audio], purposes: [train], ownership: any, requirement: allow, status: stated,
     effective: {from: "2023-08-15T00:00:00Z", until: "2023-08-15T00:00:05Z"},
     citations: [{source: S, authority: terms, quote: q}]}
"""
    moment = GRANTED_AT + timedelta(seconds=offset)
    decision = decide(parse_policy(table), dataset(group(), rows=[((0,), 1)]), now=moment)
    assert decision.verdict is verdict
    assert verdict is Verdict.ALLOW or decision.reasons == (Reason.NO_MATCHING_ROW,)


def test_an_unknown_segment_that_asks_for_more_blocks_only_if_it_would(policy: Policy) -> None:
    strict = load_policy("strict")
    unknown = replace(HERE, segment=None)
    named = {"categories": ["education_record"], "expires_at": "2024-08-15T00:00:00Z"}
    parent = group(grant(instrument="parental_consent", **named), profile=unknown)
    school = group(grant(instrument="ferpa_consent", **named), profile=unknown)
    for account, children_row in ((parent, False), (school, True)):
        decision = decide(strict, dataset(account, rows=[((0,), 1)], categories="education_record"))
        rows = {f.row for f in decision.findings if Reason.SEGMENT_RULE in f.reasons}
        assert ("children-training" in rows) is children_row
        assert "sensitive-segment-training" in rows


def test_now_must_have_a_zone(policy: Policy) -> None:
    with pytest.raises(InputError, match="zone"):
        evaluate(policy, Facts(()), TRAIN, datetime(2023, 9, 1))  # noqa: DTZ001


def test_a_decision_is_json_ready_and_names_no_groups(policy: Policy) -> None:
    decision = decide(policy, dataset(group(grant()), group(), rows=[((0,), 1), ((1,), 1)]))
    found = decision.to_dict()
    assert found["policy"] == {"name": "zoom-2023-08", "digest": policy.digest}
    assert found["findings"][0]["citations"][0]["authority"] == "terms"
    assert "groups" not in found["findings"][0]
