"""Enforce and observe: which is in force when, and what observe lets go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gate.domain.consent import Profile
from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Decision, Facts, RowGroup, Use
from gate.domain.instants import format_instant
from gate.domain.words import Ownership, Purpose, Reason
from gate.policy.evaluate import evaluate
from gate.policy.rows import Policy
from gate.policy.table import load_policy
from gate.service.acting import Person
from gate.service.acts import approve, propose
from gate.service.core import Service
from gate.service.modes import Mode, ModeState, current_mode, observable
from support.world import Clock, new_service

ALICE, BOB = Person("airflow", "alice"), Person("airflow", "bob")
NOW = datetime(2024, 1, 1, tzinfo=UTC)
ZOOM = load_policy("zoom-2023-08")
US = AccountFacts(Profile("US", "none", "2023-08-07"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        yield opened


def change(service: Service, mode: str, until: datetime | None = None) -> int:
    params = {"mode": mode} if until is None else {"mode": mode, "until": format_instant(until)}
    return approve(service, propose(service, "mode", params, "roll-out", by=ALICE), by=BOB).idx


def mode_at(service: Service, now: datetime) -> ModeState:
    with service.ledger.read() as reader:
        return current_mode(reader, now)


def test_without_an_entry_it_enforces(service: Service, clock: Clock) -> None:
    assert mode_at(service, clock.now) == ModeState(Mode.ENFORCE)


def test_observe_begins_with_the_approval_and_ends_by_itself(service: Service, clock: Clock) -> None:
    began, until = clock.now, clock.now + timedelta(days=3)
    index = change(service, "observe", until)
    assert mode_at(service, began) == ModeState(Mode.OBSERVE, index, began, until)
    assert mode_at(service, until - timedelta(seconds=1)).mode is Mode.OBSERVE
    assert mode_at(service, until) == ModeState(Mode.ENFORCE, index, until)
    assert mode_at(service, began - timedelta(seconds=1)).mode is Mode.ENFORCE  # a clock set back


def test_two_people_end_it_early_and_may_begin_again(service: Service, clock: Clock) -> None:
    change(service, "observe", clock.now + timedelta(days=3))
    clock.forward(hours=1)
    index = change(service, "enforce")
    assert mode_at(service, clock.now) == ModeState(Mode.ENFORCE, index, clock.now)
    clock.forward(hours=1)
    change(service, "observe", clock.now + timedelta(days=3))
    assert mode_at(service, clock.now).mode is Mode.OBSERVE


def test_the_state_is_json(service: Service, clock: Clock) -> None:
    index = change(service, "observe", clock.now + timedelta(days=1))
    assert mode_at(service, clock.now).to_dict() == {
        "mode": "observe",
        "since_index": index,
        "since": "2024-01-01T00:00:00Z",
        "until": "2024-01-02T00:00:00Z",
    }


def decided(
    *categories: str,
    purpose: str = "train",
    owner: str = "first_party",
    facts: AccountFacts = US,
    policy: Policy = ZOOM,
    **changes: Any,
) -> Decision:
    fields: dict[str, Any] = {
        "groups": (AccountGroup(facts, {None: 1}),),
        "rows": (RowGroup((0,), 5),),
        "total_rows": 5,
    } | changes
    data = DatasetFacts("d", frozenset(categories), **fields)
    use = Use(Purpose(purpose), "meeting_summary", "m", Ownership(owner))
    return evaluate(policy, Facts((data,)), use, NOW)


def test_observe_lets_missing_consent_and_open_questions_go_on() -> None:
    assert observable(decided("chat"))
    assert observable(decided("chat", groups=(), rows=(), unattributed={None: 5}))
    assert observable(decided("chat", owner="customer_owned"))
    assert observable(decided("telemetry", facts=AccountFacts(Profile("US", "k12", "2023-08-07"))))
    assert observable(decided("chat", problems=frozenset({Reason.TAG_CONFLICT})))


def test_observe_stops_what_is_denied() -> None:
    assert not observable(decided("chat", owner="third_party"))
    assert not observable(decided("chat", owner="unknown"))
    assert not observable(decided("chat", purpose="disclose"))
    assert not observable(decided("telemetry", facts=AccountFacts(Profile("DE", "none", "2023-08-07"))))


def test_observe_stops_what_may_be_denied() -> None:
    nowhere = AccountFacts(Profile(None, "none", "2023-08-07"))
    assert not observable(decided("telemetry", facts=nowhere))


def test_one_denied_dataset_stops_all_of_them() -> None:
    mixed = decided("chat", "telemetry", facts=AccountFacts(Profile("DE", "none", "2023-08-07")))
    assert {Reason.POLICY_DENIED, Reason.NO_CONSENT} <= set(mixed.reasons)
    assert not observable(mixed)


def test_leaving_data_untagged_hides_no_denial() -> None:
    for policy in (ZOOM, replace(ZOOM, rows=tuple(row for row in ZOOM.rows if row.id != "unclassified"))):
        for words in ((), ("no such word",), ("chat", "no such word")):
            decision = decided(*words, policy=policy)
            assert Reason.UNCLASSIFIED_DATA in decision.reasons
            assert not observable(decision)


def test_observe_stops_where_nothing_was_looked_at() -> None:
    empty = evaluate(ZOOM, Facts(()), Use(Purpose.TRAIN, ownership=Ownership.FIRST_PARTY), NOW)
    assert empty.reasons == (Reason.CANNOT_DECIDE,)
    assert not observable(empty)
    assert not observable(decided("chat", groups=(), rows=()))


def test_an_allow_is_nothing_to_observe() -> None:
    assert not observable(decided("telemetry"))
