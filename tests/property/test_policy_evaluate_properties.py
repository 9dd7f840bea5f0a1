"""What must hold of every decision, whatever the facts: nothing that takes away consent can ever allow."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from gate.domain.consent import ConsentEvent, Notice, Principal, Profile, RecordedEvent
from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Decision, Facts, RowGroup, Use
from gate.domain.words import Action, Authority, Category, Instrument, Ownership, Purpose, Role, Toggle, Verdict
from gate.policy.evaluate import evaluate
from gate.policy.rows import RANK
from gate.policy.table import Policy, load_policy, parse_policy

NOW = datetime(2023, 9, 1, tzinfo=UTC)
POLICIES = ("zoom-2023-08", "strict")
FORM = Notice("2023-08-07", "a" * 64)
SOME = settings(max_examples=120, deadline=None)


def mostly(*values: object) -> st.SearchStrategy:
    """Draw the first value nine times out of ten, so that consents often stand."""
    return st.sampled_from((*values[:1] * (9 * len(values)), *values))


instants = st.integers(-6, 2).map(lambda days: NOW + timedelta(days=days))
principal = Principal("ada", Role.ADMIN)
grants = st.builds(
    ConsentEvent,
    account_id=st.just("acme"),
    action=st.just(Action.GRANT),
    principal=st.just(principal),
    effective_at=instants,
    toggle=mostly(Toggle.SHARE_FOR_TRAINING, Toggle.ENABLE_FEATURE),
    categories=mostly(tuple(Category), (Category.AUDIO,), (Category.CHAT, Category.PHI), None),
    features=mostly(("*",), ("meeting_summary",), ("other",), None),
    purposes=mostly(tuple(Purpose), (Purpose.TRAIN,), (Purpose.INFER,), None),
    ownership=mostly(None, (Ownership.FIRST_PARTY,), (Ownership.THIRD_PARTY,)),
    notice=mostly(FORM, Notice(), Notice("2023-03", "b" * 64)),
    instrument=mostly(*Instrument, None),
    bundled_with_service=mostly(False, True),
    withdrawal_channel=mostly("console", None),
    evidence=mostly("form", None),
    expires_at=mostly(None, NOW, NOW + timedelta(days=9), NOW - timedelta(days=1)),
)
revocations = st.builds(
    ConsentEvent,
    account_id=st.just("acme"),
    action=st.sampled_from([Action.REFUSE, Action.WITHDRAW]),
    principal=st.just(principal),
    effective_at=instants,
    toggle=mostly(None, *Toggle),
    categories=mostly(None, (Category.AUDIO,), ()),
    features=mostly(None, ("*",), ("meeting_summary",), ("other",)),
    purposes=mostly(None, (Purpose.TRAIN,), (Purpose.TEST,)),
)
authorities = mostly(Authority.ADMIN, Authority.NOT_ADMIN, Authority.WRONG_ACCOUNT)


@st.composite
def histories(draw: st.DrawFn, max_size: int = 5) -> tuple[RecordedEvent, ...]:
    """Recorded events of one account with distinct indices, in any order of time."""
    events = draw(st.lists(st.one_of(grants, grants, revocations), max_size=max_size))
    order = draw(st.permutations(range(len(events))))
    return tuple(
        RecordedEvent(e, 10 * i, e.effective_at, draw(authorities)) for e, i in zip(events, order, strict=True)
    )


profiles = st.builds(
    Profile,
    region=mostly("US", "DE", "CH", None, "Europe"),
    segment=mostly("none", "retail", "k12", "therapy", "children", None),
    terms_version=mostly("2023-08-07", "2023-03", "unheard of", None),
)
uses = st.builds(
    Use,
    purpose=mostly(*(Purpose.TRAIN, *Purpose)),
    feature=mostly("meeting_summary", "spam_scanning", None),
    model=st.just("m"),
    ownership=mostly(Ownership.FIRST_PARTY, *Ownership),
)
words = st.frozensets(
    mostly("audio", "chat", "telemetry", "phi", "none", "transcript", "unknown"), min_size=1, max_size=2
)
names = st.sampled_from(POLICIES)


def facts_of(events: tuple[RecordedEvent, ...], profile: Profile, categories: frozenset[str]) -> Facts:
    group = AccountGroup(AccountFacts(profile, events), {None: 1})
    found = DatasetFacts("d", categories, groups=(group,), rows=(RowGroup((0,), 3),), declared_none=True)
    return Facts((found,))


def verdict(
    name: str, events: tuple[RecordedEvent, ...], profile: Profile, categories: frozenset[str], use: Use
) -> Verdict:
    return evaluate(load_policy(name), facts_of(events, profile, categories), use, NOW).verdict


@SOME
@given(names, histories(), revocations, authorities, profiles, words, uses, st.data())
def test_adding_a_refusal_never_turns_block_into_allow(name, events, refusal, who, profile, categories, use, data):
    index = data.draw(st.integers(-5, 60).filter(lambda i: i % 10))
    more = (*events, RecordedEvent(refusal, index, refusal.effective_at, who))
    if verdict(name, events, profile, categories, use) is Verdict.BLOCK:
        assert verdict(name, more, profile, categories, use) is Verdict.BLOCK


@SOME
@given(names, histories(), profiles, words, uses)
def test_removing_all_consent_never_turns_block_into_allow(name, events, profile, categories, use):
    without = tuple(e for e in events if e.event.action is not Action.GRANT)
    if verdict(name, events, profile, categories, use) is Verdict.BLOCK:
        assert verdict(name, without, profile, categories, use) is Verdict.BLOCK


@SOME
@given(names, histories(), profiles, words, uses, st.data())
def test_removing_one_faultless_consent_never_turns_block_into_allow(name, events, profile, categories, use, data):
    # A later grant that expired or lacks its form *does* hide an earlier good one, so those are made good here.
    good = {
        "expires_at": NOW + timedelta(days=9),
        "notice": FORM,
        "evidence": "form",
        "withdrawal_channel": "console",
        "bundled_with_service": False,
        "instrument": Instrument.PARENTAL_CONSENT,
        "effective_at": NOW - timedelta(days=1),
    }
    events = tuple(replace(e, event=replace(e.event, **good)) if e.event.action is Action.GRANT else e for e in events)
    grants_only = [e for e in events if e.event.action is Action.GRANT]
    if grants_only and verdict(name, events, profile, categories, use) is Verdict.BLOCK:
        gone = data.draw(st.sampled_from(grants_only))
        without = tuple(e for e in events if e is not gone)
        assert verdict(name, without, profile, categories, use) is Verdict.BLOCK


@SOME
@given(names, histories(), profiles, words, uses, st.randoms())
def test_the_order_of_events_in_memory_means_nothing(name, events, profile, categories, use, rng):
    shuffled = list(events)
    rng.shuffle(shuffled)
    policy = load_policy(name)
    assert evaluate(policy, facts_of(events, profile, categories), use, NOW) == evaluate(
        policy, facts_of(tuple(shuffled), profile, categories), use, NOW
    )


@SOME
@given(histories(), profiles, words, uses)
def test_an_empty_policy_blocks_everything(events, profile, categories, use):
    empty = parse_policy("name: empty\nversion: '1'\nrows: []\n")
    assert evaluate(empty, facts_of(events, profile, categories), use, NOW).verdict is Verdict.BLOCK


@SOME
@given(histories(), profiles, words, uses)
def test_strict_never_allows_what_zoom_blocks(events, profile, categories, use):
    if verdict("zoom-2023-08", events, profile, categories, use) is Verdict.BLOCK:
        assert verdict("strict", events, profile, categories, use) is Verdict.BLOCK


@cache
def tightened(row: int, requirement: str) -> Policy:
    """Return zoom-2023-08 with one row's requirement raised."""
    table = copy.deepcopy(dict(load_policy("zoom-2023-08").table))
    found = table["rows"][row]
    if RANK[requirement] > RANK[found["requirement"]]:
        found["requirement"] = requirement
        for field in ("toggle", "conditions", "offline"):
            found.pop(field, None)
        if requirement == "consent":
            found["toggle"] = "share_for_training"
            found.pop("account_required", None)
    return parse_policy(json.dumps(table))  # JSON is YAML


@SOME
@given(st.integers(0, 25), st.sampled_from(["consent", "undecided", "deny"]), histories(), profiles, words, uses)
def test_a_more_restrictive_row_never_loosens(row, requirement, events, profile, categories, use):
    facts = facts_of(events, profile, categories)
    if evaluate(load_policy("zoom-2023-08"), facts, use, NOW).verdict is Verdict.BLOCK:
        assert evaluate(tightened(row, requirement), facts, use, NOW).verdict is Verdict.BLOCK


@SOME
@given(names, st.lists(st.tuples(histories(3), profiles, st.integers(1, 4)), min_size=1, max_size=4), uses, st.data())
def test_groups_decide_as_their_accounts_do_one_by_one(name, found, use, data):
    policy = load_policy(name)
    categories = data.draw(words)
    groups = tuple(AccountGroup(AccountFacts(p, e), {None: n}) for e, p, n in found)
    members = st.lists(st.integers(0, len(groups) - 1), min_size=1, max_size=3, unique=True).map(tuple)
    rows = tuple(
        RowGroup(m, data.draw(st.integers(1, 9))) for m in data.draw(st.lists(members, min_size=1, max_size=4))
    )
    whole = DatasetFacts("d", categories, groups=groups, rows=rows, declared_none=True)
    decision = evaluate(policy, Facts((whole,)), use, NOW)

    one_by_one = [verdict(name, e, p, categories, use) for e, p, _ in found]
    named = {i for row in rows for i in row.groups}
    conflict = "none" in categories and len(categories) > 1
    blocked = sum(row.rows for row in rows if any(one_by_one[i] is Verdict.BLOCK for i in row.groups))
    assert (decision.verdict is Verdict.BLOCK) == bool(blocked)
    assert decision.rows_blocked == blocked
    if not conflict:
        assert decision.passing == (frozenset(i for i in named if one_by_one[i] is Verdict.ALLOW),)
    assert_counts_add_up(decision, sum(row.rows for row in rows), sum(found[i][2] for i in named))


def assert_counts_add_up(decision: Decision, rows: int, accounts: int) -> None:
    """Every policy row's findings share out all rows and accounts that it speaks about, and no more."""
    for coverage in decision.coverage:
        assert coverage.rows == rows
        assert coverage.accounts in (accounts, 0)
        assert 0 <= coverage.rows_blocked <= rows
    shares: dict[tuple[str, str | None], tuple[int, int]] = {}
    for finding in decision.findings:
        if finding.row is not None:
            key = (finding.category, finding.row)
            seen_rows, seen_accounts = shares.get(key, (0, 0))
            shares[key] = (seen_rows + finding.rows, seen_accounts + finding.accounts)
    assert all(n <= rows and m <= accounts for n, m in shares.values())


@SOME
@given(st.integers(0, 2**32))
def test_deciding_twice_gives_the_same_decision(seed):
    rng = random.Random(seed)
    categories = frozenset(rng.sample(["audio", "chat", "telemetry", "phi"], 2))
    facts = facts_of((), Profile("US", "none", "2023-08-07"), categories)
    use = Use(rng.choice(list(Purpose)), "meeting_summary", "m", rng.choice(list(Ownership)))
    policy = load_policy("strict")
    assert evaluate(policy, facts, use, NOW) == evaluate(policy, facts, use, NOW)
