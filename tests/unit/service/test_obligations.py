"""A withdrawal opens exactly the obligations it must, and none is forgotten; outcomes are recorded by people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gate.domain.dataset import dataset
from gate.domain.instants import format_instant
from gate.domain.run import TaskRun
from gate.errors import InputError
from gate.lineage.store.database import LineageStore
from gate.service.acting import Person
from gate.service.acts import approve, propose
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.impact_ledger import _members
from gate.service.lineage_store import open_lineage
from gate.service.obligation_outcomes import Filter, Said, listed, record_outcome
from gate.service.obligations import obligation_days
from gate.service.outcome import Asking
from gate.service.subsetting import decide_on_subset
from gate.service.tagging import tag_dataset
from gate.service.worker import redeem
from support.impact import GATE, chats, decided, ran, trained, version_of
from support.world import START, USE, Clock, add_account, event, new_service, say

TRAIN = TaskRun("train_summary", "manual__1", "train")
PROOF = Said("deleted", "ticket 9", "ab" * 32)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock, ledger_url: str) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock, url=ledger_url) as opened:
        for account in ("acme", "zeta", "nono"):
            add_account(opened, account)
        say(opened, event("acme"), event("zeta"))
        yield opened


@pytest.fixture
def store(service: Service) -> Iterator[LineageStore]:
    with open_lineage(service.settings) as opened:
        yield opened


def withdrawn(service: Service, account: str = "acme", action: str = "withdraw", **changes: object) -> None:
    say(service, event(account, action, effective_at="2024-01-01T00:00:00Z", **changes), via="cli")


def owed(service: Service, store: LineageStore, which: Filter = Filter.ALL) -> list[dict]:
    return listed(service, store, which=which)["obligations"]


def test_a_model_trained_before_is_owed(service: Service, store: LineageStore, clock: Clock, tmp_path: Path) -> None:
    trained(service, chats(tmp_path, "mine", ["acme", "zeta"]))
    trained(service, chats(tmp_path, "others", ["zeta"]), "manual__2")
    assert owed(service, store) == []
    clock.forward(days=1)
    withdrawn(service)
    (one,) = owed(service, store)
    assert (one["kind"], one["model"], one["account"], one["action"]) == ("model", "ms-1", "acme", "withdraw")
    assert (one["run"]["run_id"], one["state"], one["how"]) == ("manual__1", "open", "held")
    assert one["due_at"] == (START + timedelta(days=31)).isoformat().replace("+00:00", "Z")
    assert one["owner"].startswith("person:")
    assert one["owner_name"] == "eve"


@pytest.mark.parametrize("action", ["withdraw", "refuse"])
def test_a_refusal_counts_as_a_withdrawal(service: Service, store: LineageStore, tmp_path: Path, action: str) -> None:
    trained(service, chats(tmp_path, "mine", ["acme"]))
    withdrawn(service, action=action)
    assert [one["action"] for one in owed(service, store)] == [action]


def test_what_was_blocked_owes_nothing(service: Service, store: LineageStore, tmp_path: Path) -> None:
    decided(service, chats(tmp_path, "all", ["acme", "nono"]))
    withdrawn(service)
    assert owed(service, store) == []


def test_what_was_allowed_and_never_trained_owes_nothing(service: Service, store: LineageStore, tmp_path: Path) -> None:
    decided(service, chats(tmp_path, "mine", ["acme"]))
    withdrawn(service)
    assert owed(service, store) == []


@pytest.mark.parametrize(
    "about",
    [
        {"toggle": "enable_feature"},
        {"categories": ["audio"]},
        {"purposes": ["test"]},
        {"features": ["other"]},
        {"principal": {"id": "mallory", "role": "admin"}},
    ],
)
def test_a_withdrawal_of_something_else_owes_nothing(
    service: Service, store: LineageStore, tmp_path: Path, about: dict
) -> None:
    trained(service, chats(tmp_path, "mine", ["acme"]))
    withdrawn(service, **about)
    assert owed(service, store) == []


def test_an_expired_consent_owes_nothing(service: Service, store: LineageStore, clock: Clock, tmp_path: Path) -> None:
    add_account(service, "brief")
    say(service, event("brief", expires_at="2024-01-10T00:00:00Z"))
    trained(service, chats(tmp_path, "mine", ["brief"]))
    clock.forward(days=60)
    assert owed(service, store) == []
    say(service, event("brief", "withdraw", effective_at="2024-02-01T00:00:00Z"), via="cli")
    assert len(owed(service, store)) == 1


def test_tries_of_one_training_owe_once(service: Service, store: LineageStore, tmp_path: Path) -> None:
    data = chats(tmp_path, "mine", ["acme"])
    trained(service, data)
    redeem(service, replace(TRAIN, try_number=2), [data], USE, by="service:airflow")
    withdrawn(service)
    (one,) = owed(service, store)
    assert len(one["starts"]) == 2


def test_a_training_after_a_new_consent_owes_only_for_what_follows(
    service: Service, store: LineageStore, clock: Clock, tmp_path: Path
) -> None:
    withdrawn(service)
    clock.forward(days=1)
    say(service, event("acme", effective_at="2024-01-02T00:00:00Z"), via="cli")
    trained(service, chats(tmp_path, "mine", ["acme"]))
    assert owed(service, store) == []
    clock.forward(days=1)
    say(service, event("acme", "withdraw", effective_at="2024-01-03T00:00:00Z"), via="cli")
    assert len(owed(service, store)) == 1


def test_a_subset_copy_is_owed_and_one_without_the_account_is_not(
    service: Service, store: LineageStore, tmp_path: Path
) -> None:
    data = chats(tmp_path, "all", ["acme", "zeta", "nono"])
    whole = decided(service, data)
    subset = decide_on_subset(service, whole, USE, Asking(GATE, ("train",), "service:airflow", "airflow"))
    ran(store, [version_of(whole)], [version_of(subset)], run=GATE)
    redeem(service, TRAIN, [data], USE, by="service:airflow")
    ran(store, [version_of(subset)], [("/models/m", "v1")], run=TRAIN, model=True)
    withdrawn(service, "nono", "refuse")
    assert owed(service, store) == []
    withdrawn(service)
    model, copy = sorted(owed(service, store), key=lambda one: one["kind"])
    assert (copy["kind"], copy["artifact"][2]) == ("subset_copy", subset.versions[0].digest)
    assert (model["kind"], model["how"]) == ("model", "held")


def test_models_of_derived_data_are_owed(service: Service, store: LineageStore, tmp_path: Path) -> None:
    mine = trained(service, chats(tmp_path, "mine", ["acme"]))
    ran(store, [version_of(mine)], [("/models/ms", "m0")], run=TRAIN, model=True)
    ran(store, [version_of(mine)], [("/lake/features", "f1")])
    ran(store, [("/lake/features", "f1")], [("/models/other", "m1")], model=True)
    withdrawn(service)
    found = sorted((one["how"], (one["artifact"] or [None, None])[1]) for one in owed(service, store))
    assert found == [("derived", "/models/other"), ("held", None)]


def test_a_gated_training_on_derived_data_is_owed_once(service: Service, store: LineageStore, tmp_path: Path) -> None:
    """The derived data is about nobody's rows any more that the ledger could name: lineage leads to it."""
    mine = trained(service, chats(tmp_path, "mine", ["acme"]))
    (tmp_path / "counts.jsonl").write_text('{"length": 3}\n{"length": 5}\n', "utf-8")
    derived = dataset(str(tmp_path / "counts.jsonl"))
    tag_dataset(service, derived, ["none"], by="service:airflow", via="airflow")
    run = replace(GATE, run_id="manual__2")
    outcome = decide(service, [derived], USE, Asking(run, ("train",), "service:airflow", "airflow"))
    assert outcome.allowed, outcome.reasons
    other = replace(TRAIN, run_id="manual__2")
    redeem(service, other, [derived], USE, by="service:airflow")
    ran(store, [version_of(mine)], [version_of(outcome)])
    ran(store, [version_of(outcome)], [("/models/ms", "m2")], run=other, model=True)
    withdrawn(service)
    assert sorted((one["how"], one["run"]["run_id"]) for one in owed(service, store)) == [
        ("derived", "manual__2"),
        ("held", "manual__1"),
    ]


def observing(service: Service, clock: Clock) -> None:
    params = {"mode": "observe", "until": format_instant(clock.now + timedelta(days=9))}
    alice, bob = Person("airflow", "alice"), Person("airflow", "bob")
    approve(service, propose(service, "mode", params, "first weeks", by=alice), by=bob)


def test_what_observe_let_start_is_owed_to_everybody_in_it(
    service: Service, store: LineageStore, clock: Clock, tmp_path: Path
) -> None:
    observing(service, clock)
    data = chats(tmp_path, "all", ["acme", "nono"])
    outcome = decided(service, data)
    assert (outcome.allowed, outcome.passes) == (False, True)
    decided(service, chats(tmp_path, "others", ["zeta", "nono"]), "manual__2")
    redeem(service, TRAIN, [data], USE, by="service:airflow")
    assert owed(service, store) == []
    clock.forward(days=1)
    withdrawn(service, "zeta")  # its data was not trained on
    withdrawn(service, "acme")
    withdrawn(service, "nono", "refuse")
    found = sorted(owed(service, store), key=lambda one: one["account"])
    assert [(one["account"], one["decision"], one["how"]) for one in found] == [
        ("acme", outcome.index, "held"),
        ("nono", outcome.index, "held"),
    ]


def test_a_block_that_stops_the_run_keeps_no_list_of_those_who_agreed(
    service: Service, clock: Clock, tmp_path: Path
) -> None:
    data = chats(tmp_path, "all", ["acme", "nono"])
    stopped = decided(service, data)
    observing(service, clock)
    passed = decided(service, data, "manual__2")
    with service.ledger.read() as reader:
        lists = [reader.attachment(outcome.record["accounts"]) for outcome in (stopped, passed)]
        both = b"".join(sorted(bytes.fromhex(reader.ref("account", name) or "") for name in ("acme", "nono")))
    assert lists == [b"", both]


def test_an_erased_account_is_not_forgotten(service: Service, store: LineageStore, tmp_path: Path) -> None:
    trained(service, chats(tmp_path, "mine", ["acme"]))
    withdrawn(service)
    (before,) = owed(service, store)
    with service.ledger.write() as tx:
        tx.erase([before["account_ref"]])
    (after,) = owed(service, store)
    assert (after["id"], after["account"], before["account"]) == (before["id"], None, "acme")


def test_an_outcome_is_appended_and_the_newest_counts(
    service: Service, store: LineageStore, clock: Clock, tmp_path: Path
) -> None:
    trained(service, chats(tmp_path, "mine", ["acme"]))
    withdrawn(service)
    (one,) = owed(service, store)
    kept = Said("kept", note="a court order")
    index, new = record_outcome(service, store, one["id"], kept, by="ada", via="cli")
    assert new
    assert record_outcome(service, store, one["id"], kept, by="ada", via="cli") == (index, False)
    assert [found["state"] for found in owed(service, store, Filter.OPEN)] == ["kept"]
    record_outcome(service, store, one["id"], PROOF, by="bob", via="cli")
    assert owed(service, store, Filter.OPEN) == []
    (done,) = owed(service, store, Filter.DONE)
    assert [(was["outcome"], was["name"]) for was in done["outcomes"]] == [("kept", "ada"), ("deleted", "bob")]
    assert done["outcomes"][1]["sha256"] == "sha256:" + "ab" * 32
    with service.ledger.read() as reader:
        entries = list(reader.entries("obligation"))
    assert len(entries) == 2
    assert b'"ada"' not in entries[0].payload  # references are hexadecimal: the bare letters may stand in one
    assert b"court" not in entries[0].payload


@pytest.mark.parametrize(
    ("said", "where"),
    [
        (Said("forgotten"), "outcome"),
        (Said("kept"), "note"),
        (Said("kept", note="  "), "note"),
        (Said("deleted"), "evidence"),
        (Said("deleted", "ticket"), "sha256"),
        (Said("deleted", "ticket", "xyz"), "sha256"),
        (Said("kept", None, "ab" * 32, "why"), "evidence"),
        (Said("kept", note="x" * 3000), "note"),
        (Said("kept", note="a\x00b"), "note"),
    ],
)
def test_an_outcome_needs_what_shows_it(service: Service, store: LineageStore, said: Said, where: str) -> None:
    with pytest.raises(InputError) as caught:
        record_outcome(service, store, "0" * 16, said, by="ada", via="cli")
    assert caught.value.where == where


@pytest.mark.parametrize("id_", ["", "0" * 16, "../../etc", "' OR 1=1", "é" * 16])
def test_an_obligation_that_is_none_cannot_be_resolved(service: Service, store: LineageStore, id_: str) -> None:
    with pytest.raises(InputError, match="no such obligation"):
        record_outcome(service, store, id_, PROOF, by="ada", via="cli")


def test_services_and_strangers_resolve_nothing(service: Service, store: LineageStore, tmp_path: Path) -> None:
    trained(service, chats(tmp_path, "mine", ["acme"]), dag="secret")
    withdrawn(service)
    (one,) = owed(service, store)
    with pytest.raises(InputError, match="by a person"):
        record_outcome(service, store, one["id"], PROOF, by="service:robot", via="api")
    with pytest.raises(InputError, match="no such"):
        record_outcome(service, store, one["id"], PROOF, by="ada", via="ui", sees=lambda dag: dag != "secret")
    assert listed(service, store, sees=lambda dag: dag != "secret")["obligations"] == []


def test_overdue_comes_first(service: Service, store: LineageStore, clock: Clock, tmp_path: Path) -> None:
    trained(service, chats(tmp_path, "mine", ["acme"]))
    trained(service, chats(tmp_path, "yours", ["zeta"]), "manual__2")
    withdrawn(service, "zeta")
    clock.forward(days=31)
    withdrawn(service, "acme")
    answer = listed(service, store)
    assert [(one["account"], one["state"]) for one in answer["obligations"]] == [("zeta", "overdue"), ("acme", "open")]
    assert (answer["counts"]["overdue"], answer["counts"]["open"]) == (1, 1)


def test_the_days_are_a_setting() -> None:
    assert obligation_days({}) == 30
    assert obligation_days({"GATE_OBLIGATION_DAYS": "7"}) == 7
    for wrong in ("0", "-1", "soon", "9999", "1.5", "²"):
        with pytest.raises(InputError):
            obligation_days({"GATE_OBLIGATION_DAYS": wrong})


def test_a_list_whose_first_reference_begins_like_json_is_read_as_a_list() -> None:
    first = b"[[" + bytes(30)
    assert _members(first + bytes(32)) == {first.hex(), bytes(32).hex()}
