"""Two-person acts: who may propose, who may approve, what happens at once and what never does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gate.domain.instants import format_instant
from gate.errors import ActRefused, CannotDecide, CheckFailed, GateError, InputError, LedgerUnavailable
from gate.policy.table import load_policy
from gate.service.acting import Act, Person
from gate.service.acts import act_alone, approve, find_proposal, proposals, propose, withdraw
from gate.service.auditing import verify_ledger
from gate.service.core import Service
from gate.service.declassifying import declassification_of
from gate.service.modes import Mode, current_mode
from gate.service.overrides import override_for
from gate.service.tagging import tag_dataset
from gate.service.tags import dataset_key
from support.anonymity import VOUCHED
from support.world import Clock, chat_file, new_service

ALICE, BOB, CAROL = (Person("airflow", name, name.title()) for name in ("alice", "bob", "carol"))
WHY = "the regulator's feed is down, ticket 17"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        yield opened


def glass(clock: Clock, run_id: str = "manual__1", hours: int = 4) -> dict[str, Any]:
    return {"dag_id": "train", "run_id": run_id, "expires_at": format_instant(clock.now + timedelta(hours=hours))}


def size(service: Service) -> int:
    with service.ledger.read() as reader:
        return reader.size


def test_a_second_person_brings_it_about(service: Service, clock: Clock) -> None:
    index = propose(service, "break_glass", glass(clock), WHY, by=ALICE)
    effect = approve(service, index, by=BOB, act="break_glass")
    assert effect.kind == "override"
    assert (effect.body["persons"], effect.body["proposal"], effect.idx) == (2, index, index + 2)
    with service.ledger.read() as reader:
        shown = find_proposal(reader, index, clock.now)
        kinds = [entry.kind for entry in reader.entries(start=index)]
    assert kinds == ["proposal", "approval", "override"]
    assert (shown.state, shown.by, shown.name, shown.approved_by) == (
        "approved",
        "airflow|alice",
        "Alice",
        "airflow|bob",
    )
    assert (shown.reason, shown.effect) == (WHY, effect.idx)


def test_whoever_proposed_cannot_approve_whatever_they_call_themselves(service: Service, clock: Clock) -> None:
    index = propose(service, "break_glass", glass(clock), WHY, by=ALICE)
    for same in (ALICE, Person("airflow", "alice", "Somebody Else"), Person("airflow", "alice")):
        with pytest.raises(ActRefused, match="cannot approve"):
            approve(service, index, by=same)
    assert size(service) == index + 1


def test_a_log_in_is_compared_exactly(service: Service, clock: Clock) -> None:
    """Ids come from the authenticator: what differs there is another log-in, under another issuer too."""
    for number, other in enumerate(
        [Person("https://idp.example", "alice"), Person("airflow", "Alice"), Person("airflow", "alice ")]
    ):
        index = propose(service, "break_glass", glass(clock, f"run {number}"), WHY, by=ALICE)
        assert approve(service, index, by=other).kind == "override"


def test_two_log_ins_never_have_one_spelling() -> None:
    with pytest.raises(InputError):
        Person("a|b", "c")
    with pytest.raises(InputError):
        Person("service:gate", "x")
    for issuer, subject in (("", "x"), ("airflow", ""), ("airflow", "x" * 5000)):
        with pytest.raises(InputError):
            Person(issuer, subject)
    assert Person("a", "b|c").actor != Person("ab", "c").actor


def test_nothing_is_approved_twice(service: Service, clock: Clock) -> None:
    index = propose(service, "break_glass", glass(clock), WHY, by=ALICE)
    approve(service, index, by=BOB)
    before = size(service)
    for person in (BOB, CAROL):
        with pytest.raises(ActRefused, match="approved"):
            approve(service, index, by=person)
    assert size(service) == before


def test_a_proposal_lapses_after_a_day_and_no_clock_brings_it_back(service: Service, clock: Clock) -> None:
    index = propose(service, "break_glass", glass(clock, hours=24), WHY, by=ALICE)
    clock.forward(hours=24)
    with pytest.raises(ActRefused, match="lapsed"):
        approve(service, index, by=BOB)
    propose(service, "key_rotation", {}, WHY, by=ALICE)
    clock.forward(hours=-24)
    with pytest.raises(CannotDecide, match="clock"):
        approve(service, index, by=BOB)
    with service.ledger.read() as reader:
        assert find_proposal(reader, index, clock.now - timedelta(seconds=1)).state == "lapsed"


def test_the_proposer_may_withdraw_and_nobody_else(service: Service, clock: Clock) -> None:
    index = propose(service, "mode", {"mode": "enforce"}, WHY, by=ALICE)
    with pytest.raises(ActRefused, match="only whoever proposed"):
        withdraw(service, index, by=BOB)
    withdraw(service, index, by=ALICE)
    for attempt in (lambda: approve(service, index, by=BOB), lambda: withdraw(service, index, by=ALICE)):
        with pytest.raises(ActRefused, match="withdrawn"):
            attempt()
    with service.ledger.read() as reader:
        assert [p.state for p in proposals(reader, clock.now)] == ["withdrawn"]
    assert propose(service, "mode", {"mode": "enforce"}, WHY, by=ALICE) > index


def test_proposing_again_while_it_is_open_is_the_same_proposal(service: Service, clock: Clock) -> None:
    first = propose(service, "break_glass", glass(clock), WHY, by=ALICE)
    assert propose(service, "break_glass", glass(clock), "in other words", by=ALICE) == first
    assert propose(service, "break_glass", glass(clock), WHY, by=CAROL) != first
    assert propose(service, "break_glass", glass(clock, "another"), WHY, by=ALICE) != first


def test_two_who_propose_the_same_may_approve_each_other_once_each(service: Service, clock: Clock) -> None:
    mine = propose(service, "break_glass", glass(clock), WHY, by=ALICE)
    theirs = propose(service, "break_glass", glass(clock), WHY, by=BOB)
    approve(service, mine, by=BOB)
    approve(service, theirs, by=ALICE)
    with service.ledger.read() as reader:
        standing = override_for(reader, "train", "manual__1", clock.now)
    assert standing is not None
    assert standing.body["proposal"] == theirs


def test_a_wrong_number_approves_nothing_else(service: Service, clock: Clock) -> None:
    index = propose(service, "key_rotation", {}, WHY, by=ALICE)
    with pytest.raises(InputError, match="is for key_rotation"):
        approve(service, index, by=BOB, act="mode")
    for wrong in (0, index + 1, 10_000, -1):
        with pytest.raises(InputError, match="no proposal"):
            approve(service, wrong, by=BOB)
    withdraw(service, index, by=ALICE)
    with pytest.raises(InputError, match="no proposal"):
        approve(service, index + 1, by=BOB)  # the withdrawal's own entry


def test_a_proposer_who_was_erased_cannot_come_back_as_somebody_else(service: Service, clock: Clock) -> None:
    """Erased and recorded again, a person has a new reference: it must not look like a second person."""
    index = propose(service, "break_glass", glass(clock), WHY, by=ALICE)
    with service.ledger.write() as tx:
        ref = tx.ref("person", ALICE.actor)
        assert ref is not None
        assert tx.erase([ref]) == 1
    for person in (ALICE, BOB):
        with pytest.raises(ActRefused, match="erased"):
            approve(service, index, by=person)
    with pytest.raises(ActRefused, match="erased"):
        withdraw(service, index, by=ALICE)
    with service.ledger.read() as reader:
        assert find_proposal(reader, index, clock.now).by is None


def test_no_name_and_no_reason_stands_in_the_ledger(service: Service, clock: Clock) -> None:
    index = propose(service, "break_glass", glass(clock), WHY, by=ALICE)
    approve(service, index, by=BOB)
    with service.ledger.read() as reader:
        payloads = b"".join(entry.payload for entry in reader.entries(start=index))
    for secret in (b"alice", b"Alice", b"bob", b"Bob", b"regulator"):
        assert secret not in payloads
    assert not verify_ledger(service)["findings"]


def test_of_two_approvers_at_once_one_wins(service: Service, clock: Clock) -> None:
    index = propose(service, "break_glass", glass(clock), WHY, by=ALICE)
    people = [Person("airflow", f"reviewer {number}") for number in range(6)]
    barrier, said = threading.Barrier(len(people)), list[str]()

    def one(person: Person) -> None:
        barrier.wait()
        try:
            said.append(approve(service, index, by=person).kind)
        except ActRefused as refused:
            said.append(refused.message)

    threads = [threading.Thread(target=one, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["override"] + ["the proposal is approved"] * 5
    assert size(service) == index + 3


def test_approving_and_withdrawing_at_once_end_in_one_of_both(service: Service, clock: Clock) -> None:
    index = propose(service, "mode", {"mode": "enforce"}, WHY, by=ALICE)
    barrier, done = threading.Barrier(2), list[str]()

    def attempt(name: str, act: Any) -> None:
        barrier.wait()
        try:
            act()
            done.append(name)
        except ActRefused:
            pass

    threads = [
        threading.Thread(target=attempt, args=("approved", lambda: approve(service, index, by=BOB))),
        threading.Thread(target=attempt, args=("withdrawn", lambda: withdraw(service, index, by=ALICE))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with service.ledger.read() as reader:
        assert [find_proposal(reader, index, clock.now).state] == done


def test_an_effect_that_fails_leaves_no_approval(service: Service, clock: Clock) -> None:
    index = propose(service, "break_glass", glass(clock, hours=1), WHY, by=ALICE)
    clock.forward(hours=2)
    with pytest.raises(InputError, match="must end"):
        approve(service, index, by=BOB)
    assert size(service) == index + 1
    with service.ledger.read() as reader:
        assert find_proposal(reader, index, clock.now).state == "open"


@pytest.mark.parametrize(
    ("act", "params"),
    [
        ("break_glass", {}),
        ("break_glass", {"dag_id": "d", "run_id": "r", "expires_at": "2024-01-02T00:00:01Z"}),
        ("break_glass", {"dag_id": "d", "run_id": "r", "expires_at": "2024-01-01T00:00:00Z"}),
        ("break_glass", {"dag_id": "d", "run_id": "r", "expires_at": "2024-01-01T05:00:00"}),
        ("break_glass", {"dag_id": "d", "run_id": "", "expires_at": "2024-01-01T05:00:00Z"}),
        ("break_glass", {"dag_id": "d", "run_id": ["r"], "expires_at": "2024-01-01T05:00:00Z"}),
        ("break_glass", {"dag_id": "d", "run_id": "r", "expires_at": "2024-01-01T05:00:00Z", "reasons": "deny"}),
        ("mode", {"mode": "off"}),
        ("mode", {"mode": "observe"}),
        ("mode", {"mode": "observe", "until": "2024-02-01T00:00:00Z"}),
        ("mode", {"mode": "enforce", "until": "2024-01-02T00:00:00Z"}),
        ("key_rotation", {"key": "mine"}),
        ("key_revocation", {"key_id": "f" * 64}),
        ("policy_activation", {"policy": "/etc/passwd"}),
        ("policy_activation", {"policy": ["strict"]}),
        ("policy_activation", {"table": "name: x"}),
        ("policy_activation", {"table": {"name": "x"}}),
        ("policy_activation", {"policy": "strict", "table": {}}),
        ("declassification", {"uri": "/x", "digest": "d", "removes": ["chat"], "expires_at": "2024-02-01T00:00:00Z"}),
        (
            "declassification",
            {"uri": "/x", "digest": "d", "removes": ["chat"], "expires_at": "2024-02-01T00:00:00Z", **VOUCHED},
        ),
        ("grant_consent", {}),
    ],
)
def test_what_cannot_be_meant_is_not_recorded(service: Service, act: str, params: dict[str, Any]) -> None:
    before = size(service)
    with pytest.raises(InputError):
        propose(service, act, params, WHY, by=ALICE)
    assert size(service) == before


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 5000, None])
def test_an_act_needs_a_reason(service: Service, reason: Any) -> None:
    with pytest.raises(InputError, match="say why"):
        propose(service, "key_rotation", {}, reason, by=ALICE)


def test_a_policy_is_activated_as_it_was_proposed(service: Service) -> None:
    table = {**load_policy("strict").table, "name": "ours", "version": "7"}
    index = propose(service, "policy_activation", {"table": json.loads(json.dumps(table))}, WHY, by=ALICE)
    effect = approve(service, index, by=BOB)
    assert effect.body["persons"] == 2
    with service.ledger.read() as reader:
        active = service.policy(reader)
    assert (active.name, active.version, active.digest) == ("ours", "7", effect.body["digest"])
    again = propose(service, "policy_activation", {"table": table}, WHY, by=ALICE)
    assert approve(service, again, by=BOB).idx == effect.idx


def test_a_policy_with_gaps_is_not_even_proposed(service: Service) -> None:
    table = load_policy("strict").table
    with pytest.raises(CheckFailed):
        propose(service, "policy_activation", {"table": {**table, "rows": table["rows"][:3]}}, WHY, by=ALICE)


def test_a_proposed_policy_whose_table_is_gone_is_not_activated(service: Service) -> None:
    index = propose(service, "policy_activation", {"policy": "strict"}, WHY, by=ALICE)
    with service.ledger.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM attachment")
    with pytest.raises(LedgerUnavailable):
        approve(service, index, by=BOB)
    assert size(service) == index + 1


def test_a_declassification_is_about_one_version_and_ends(service: Service, clock: Clock, tmp_path: Path) -> None:
    data = chat_file(tmp_path, ["acme"])
    version = tag_dataset(service, data, ["chat"], by="eve", via="cli").version
    params = {
        "uri": data.uri,
        "digest": version.digest,
        "removes": ["chat"],
        "expires_at": format_instant(clock.now + timedelta(days=90)),
        **VOUCHED,
    }
    index = propose(service, "declassification", params, WHY, by=ALICE)
    key = dataset_key(data)
    with service.ledger.read() as reader:
        assert declassification_of(reader, key, version.digest, clock.now) is None
    approve(service, index, by=BOB)
    with service.ledger.read() as reader:
        found = declassification_of(reader, key, version.digest, clock.now)
        assert found is not None
        assert (found.body["removes"], found.body["adds"], found.body["persons"]) == (
            ["chat"],
            "aggregated_anonymous",
            2,
        )
        assert declassification_of(reader, key, "sha256:" + "0" * 64, clock.now) is None
        assert declassification_of(reader, "sha256:" + "0" * 64, version.digest, clock.now) is None
        for at in (clock.now + timedelta(days=90), clock.now - timedelta(seconds=1)):
            assert declassification_of(reader, key, version.digest, at) is None
    for wrong in ([], ["unclassified"], ["none"], ["aggregated_anonymous"], "chat", [7]):
        with pytest.raises(InputError):
            propose(service, "declassification", {**params, "removes": wrong}, WHY, by=ALICE)


def test_one_person_alone_is_recorded_as_one(service: Service) -> None:
    done = act_alone(service, "policy_activation", {"policy": "strict"}, by="root")
    assert (done.body["persons"], done.body["proposal"], done.via) == (1, None, "cli")
    assert act_alone(service, "key_rotation", {}, "yearly", by="root").body["persons"] == 1


@pytest.mark.parametrize("act", sorted(set(Act) - {"policy_activation", "key_rotation", "key_revocation"}))
def test_alone_there_is_no_break_glass(service: Service, act: str) -> None:
    with pytest.raises(InputError, match="needs two people who log in"):
        act_alone(service, act, {}, WHY, by="root")


def test_where_people_log_in_nobody_acts_alone_any_more(service: Service, clock: Clock) -> None:
    """Otherwise whoever has a shell would go round the second person."""
    index = propose(service, "mode", {"mode": "enforce"}, WHY, by=ALICE)
    withdraw(service, index, by=ALICE)
    before = size(service)
    with service.ledger.read() as reader:
        key = next(reader.entries("key")).body["key_id"]
    for act, params in (
        ("policy_activation", {"policy": "strict"}),
        ("key_rotation", {}),
        ("key_revocation", {"key_id": key}),
    ):
        with pytest.raises(ActRefused, match="two people"):
            act_alone(service, act, params, by="root")
    assert size(service) == before


def test_without_the_signing_key_nobody_is_at_the_right_machine(service: Service) -> None:
    service.settings.key_path.unlink()
    for act, params in (("policy_activation", {"policy": "strict"}), ("key_rotation", {})):
        with pytest.raises(GateError, match="not there"):
            act_alone(service, act, params, by="root")


def test_a_change_of_mode(service: Service, clock: Clock) -> None:
    until = format_instant(clock.now + timedelta(days=30))
    index = propose(service, "mode", {"mode": "observe", "until": until}, "first two teams", by=ALICE)
    with service.ledger.read() as reader:
        assert current_mode(reader, clock.now).mode is Mode.ENFORCE
    approve(service, index, by=BOB, act="mode")
    with service.ledger.read() as reader:
        assert current_mode(reader, clock.now).mode is Mode.OBSERVE


def test_proposals_are_listed_by_act_and_state(service: Service, clock: Clock) -> None:
    one = propose(service, "break_glass", glass(clock), WHY, by=ALICE)
    two = propose(service, "key_rotation", {}, WHY, by=BOB)
    approve(service, one, by=BOB)
    with service.ledger.read() as reader:
        assert [p.index for p in proposals(reader, clock.now)] == [one, two]
        assert [p.index for p in proposals(reader, clock.now, act="break_glass")] == [one]
        assert [p.index for p in proposals(reader, clock.now, state="open")] == [two]
        shown = [p.to_dict() for p in proposals(reader, clock.now)]
    assert json.loads(json.dumps(shown)) == shown
