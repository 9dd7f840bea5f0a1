"""Break-glass: one run, a few hours, and only over what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gate.domain.consent import Profile, RecordedEvent
from gate.domain.decision import (
    AccountFacts,
    AccountGroup,
    DatasetFacts,
    Decision,
    Facts,
    RowGroup,
    Use,
    decision_from_dict,
)
from gate.domain.instants import format_instant
from gate.domain.words import Authority, Ownership, Purpose, Reason, Requirement
from gate.errors import ActRefused
from gate.policy.evaluate import evaluate
from gate.policy.rows import Policy
from gate.policy.table import load_policy
from gate.service.acting import Person
from gate.service.acts import approve, propose, withdraw
from gate.service.core import Service
from gate.service.overrides import overridable, override_for, override_stands
from support.world import Clock, event, new_service

ALICE, BOB, CAROL = (Person("airflow", name) for name in ("alice", "bob", "carol"))
NOW = datetime(2024, 1, 1, tzinfo=UTC)
ZOOM = load_policy("zoom-2023-08")
US = Profile("US", "none", "2023-08-07")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        yield opened


def break_glass(service: Service, clock: Clock, dag: str = "train", run: str = "r", hours: int = 4) -> int:
    params = {"dag_id": dag, "run_id": run, "expires_at": format_instant(clock.now + timedelta(hours=hours))}
    return propose(service, "break_glass", params, "outage", by=ALICE)


def standing(service: Service, now: datetime, dag: str = "train", run: str = "r") -> int | None:
    with service.ledger.read() as reader:
        found = override_for(reader, dag, run, now)
        assert found is None or override_stands(reader, found.idx, now)
    return None if found is None else found.idx


def test_it_stands_for_one_run_from_approval_to_its_end(service: Service, clock: Clock) -> None:
    asked = clock.now
    index = break_glass(service, clock)
    assert standing(service, clock.now) is None
    clock.forward(minutes=5)
    effect = approve(service, index, by=BOB)
    assert standing(service, clock.now) == effect.idx
    assert standing(service, asked) is None  # a clock set back does not make it older
    assert standing(service, asked + timedelta(hours=4)) is None
    for dag, run in (("train", "r2"), ("train2", "r"), ("train", ""), ('train","r', "")):
        assert standing(service, clock.now, dag, run) is None


def test_anybody_ends_it_early(service: Service, clock: Clock) -> None:
    index = break_glass(service, clock)
    effect = approve(service, index, by=BOB)
    revoked = withdraw(service, index, by=CAROL)
    assert revoked.body["revokes"] == effect.idx
    assert withdraw(service, index, by=ALICE).idx == revoked.idx
    assert standing(service, clock.now) is None
    with service.ledger.read() as reader:
        assert not override_stands(reader, effect.idx, clock.now)
        assert not override_stands(reader, revoked.idx, clock.now)
        assert not override_stands(reader, 0, clock.now)
    with pytest.raises(ActRefused):
        approve(service, index, by=CAROL)


def test_another_one_for_the_same_run_counts_by_itself(service: Service, clock: Clock) -> None:
    first = break_glass(service, clock, hours=2)
    approve(service, first, by=BOB)
    second = approve(service, break_glass(service, clock, hours=3), by=BOB)
    assert standing(service, clock.now) == second.idx
    withdraw(service, first, by=ALICE)
    assert standing(service, clock.now) == second.idx


def consent(**changes: Any) -> tuple[RecordedEvent, ...]:
    return (RecordedEvent(event("acme", **changes), 5, NOW, Authority.ADMIN),)


def decided(
    *categories: str,
    policy: Policy = ZOOM,
    purpose: str = "train",
    owner: str = "first_party",
    feature: str = "meeting_summary",
    events: tuple[RecordedEvent, ...] = (),
    profile: Profile = US,
    stale: tuple[str, ...] = (),
    **changes: Any,
) -> Decision:
    fields: dict[str, Any] = {
        "groups": (AccountGroup(AccountFacts(profile, events), {None: 1}),),
        "rows": (RowGroup((0,), 5),),
        "total_rows": 5,
    } | changes
    use = Use(Purpose(purpose), feature, "m", Ownership(owner))
    return evaluate(policy, Facts((DatasetFacts("d", frozenset(categories), **fields),), stale), use, NOW)


def test_it_is_for_what_the_policy_leaves_open_once_consent_is_there() -> None:
    scanning = consent(features=["spam_scanning"])
    assert overridable(decided("chat", feature="spam_scanning", events=scanning))
    without = decided("chat", feature="spam_scanning")
    assert Reason.POLICY_UNDECIDED in without.reasons
    assert not overridable(without)


def test_it_is_for_a_feed_that_is_behind() -> None:
    assert overridable(decided("chat", events=consent(), stale=("console",)))
    assert not overridable(decided("chat", stale=("console",)))


@pytest.mark.parametrize("said", ["withdraw", "refuse"])
def test_it_is_never_over_a_withdrawal_or_refusal(said: str) -> None:
    later = RecordedEvent(event("acme", said, effective_at="2023-12-01T00:00:00Z"), 9, NOW, Authority.ADMIN)
    assert not overridable(decided("chat", events=(*consent(), later)))
    assert not overridable(decided("chat", events=(*consent(), later), stale=("console",)))


def test_it_is_never_over_a_denial() -> None:
    for owner in ("third_party", "unknown"):
        assert not overridable(decided("chat", owner=owner, events=consent()))
    assert not overridable(decided("chat", purpose="disclose"))
    assert not overridable(decided("telemetry", profile=replace(US, region="DE")))


def test_it_is_not_for_open_questions_about_who_or_whose() -> None:
    assert not overridable(decided("chat", events=consent(), profile=replace(US, segment="therapy")))
    assert not overridable(decided("chat", events=consent(), profile=replace(US, segment=None)))
    assert not overridable(decided("telemetry", owner="third_party"))
    assert not overridable(decided("chat", owner="customer_owned", events=consent()))


@pytest.mark.parametrize(
    "problem", sorted(set(Reason) - {Reason.POLICY_UNDECIDED, Reason.STALE_FEED, Reason.CANNOT_DECIDE})
)
def test_no_other_problem_is_lifted(problem: Reason) -> None:
    assert not overridable(decided("chat", events=consent(), problems=frozenset({problem})))
    assert not overridable(decided("telemetry", problems=frozenset({problem, Reason.CANNOT_DECIDE})))


def test_an_outage_does_not_stand_in_for_consent() -> None:
    """Where nobody could be counted, nobody's consent was looked for."""
    outage = frozenset({Reason.CANNOT_DECIDE})
    assert overridable(decided("telemetry", problems=outage))
    assert overridable(decided("chat", events=consent(), problems=outage))
    assert not overridable(decided("chat", problems=outage))
    nobody = decided("chat", groups=(), rows=())
    assert nobody.reasons == (Reason.CANNOT_DECIDE,)
    assert not overridable(nobody)
    assert not overridable(decided("chat", groups=(), rows=(), unattributed={None: 5}))
    assert not overridable(evaluate(ZOOM, Facts(()), Use(Purpose.TRAIN), NOW))


def test_an_open_row_without_a_consent_row_beside_it_is_not_lifted() -> None:
    """A policy may leave content open and ask nobody: then break-glass would train without any consent."""
    only = [replace(row, terms=None) for row in ZOOM.rows if row.id in ("protection-training", "telemetry-training")]
    asks_nobody = replace(ZOOM, rows=tuple(only))
    decision = decided("chat", policy=asks_nobody, feature="spam_scanning")
    assert decision.reasons == (Reason.POLICY_UNDECIDED,)
    assert not overridable(decision)


def test_a_decision_read_back_has_lost_who_it_is_about() -> None:
    decision = decided("chat", feature="spam_scanning", events=consent(features=["spam_scanning"]))
    assert not overridable(decision_from_dict(decision.to_dict()))


def test_an_allow_needs_none() -> None:
    assert not overridable(decided("telemetry"))
    assert not overridable(replace(decided("chat"), findings=()))


def test_one_account_without_consent_is_enough(tmp_path: Path) -> None:
    scanning = consent(features=["spam_scanning"])
    groups = (AccountGroup(AccountFacts(US, scanning), {None: 3}), AccountGroup(AccountFacts(US), {None: 1}))
    decision = decided(
        "chat", feature="spam_scanning", groups=groups, rows=(RowGroup((0,), 3), RowGroup((1,), 1)), total_rows=4
    )
    assert not overridable(decision)
    assert Requirement.CONSENT in {f.requirement for f in decision.findings if f.reasons}
