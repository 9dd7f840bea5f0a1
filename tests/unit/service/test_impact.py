"""What an account, a dataset, a consent or a policy row concerns, then and now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gate.domain.run import TaskRun
from gate.domain.words import Ownership
from gate.errors import InputError
from gate.lineage.store.database import LineageStore
from gate.service.anchors import recording
from gate.service.consents import record_model
from gate.service.core import Service
from gate.service.impact import Subject, impact, subject_of
from gate.service.lineage_store import open_lineage
from gate.service.outcome import Asking
from gate.service.subsetting import decide_on_subset
from support.impact import GATE, chats, decided, ran, trained, version_of
from support.world import START, USE, Clock, add_account, event, new_service, say

TRAIN = TaskRun("train_summary", "manual__1", "train")


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


def asked(service: Service, store: LineageStore, **subject: str) -> dict:
    return impact(service, store, subject_of(**subject))


def names(answer: dict, part: str = "versions") -> list[str]:
    return [Path(one["name"]).stem for one in answer[part] if one["name"]]


def test_an_account_concerns_the_data_that_holds_it(service: Service, store: LineageStore, tmp_path: Path) -> None:
    mine = trained(service, chats(tmp_path, "mine", ["acme", "zeta"]))
    trained(service, chats(tmp_path, "others", ["zeta"]), "manual__2")
    answer = asked(service, store, account="acme")
    assert names(answer) == ["mine"]
    assert [one["index"] for one in answer["decisions"]] == [mine.index]
    assert [(one["dag_id"], one["task_id"], one["how"]) for one in answer["runs"]] == [
        ("train_summary", "train", "held")
    ]
    assert [one["model"] for one in answer["models"]] == ["ms-1"]
    assert answer["counts"]["versions"] == 1


def test_what_blocked_it_is_told_too(service: Service, store: LineageStore, tmp_path: Path) -> None:
    outcome = decided(service, chats(tmp_path, "all", ["acme", "nono"]))
    answer = asked(service, store, account="nono")
    assert [(one["index"], one["verdict"]) for one in answer["decisions"]] == [(outcome.index, "block")]
    assert answer["decisions"][0]["then"]["rightly"] is True
    assert answer["runs"] == answer["models"] == []


def test_then_stays_right_when_now_would_block(
    service: Service, store: LineageStore, clock: Clock, tmp_path: Path
) -> None:
    trained(service, chats(tmp_path, "mine", ["acme"]))
    clock.forward(days=1)
    before = asked(service, store, account="acme")["decisions"][0]
    assert (before["then"]["rightly"], before["now"]["verdict"]) == (True, "allow")
    say(service, event("acme", "withdraw", effective_at="2024-01-02T00:00:00Z"), via="cli")
    after = asked(service, store, account="acme")["decisions"][0]
    assert after["then"] == {
        "verdict": "allow",
        "reasons": [],
        "again": {"verdict": "allow", "reasons": []},
        "rightly": True,
    }
    assert after["now"]["verdict"] == "block"
    assert "consent_withdrawn" in after["now"]["reasons"]


def test_time_alone_may_change_now(service: Service, store: LineageStore, clock: Clock, tmp_path: Path) -> None:
    add_account(service, "brief")
    say(service, event("brief", expires_at="2024-01-10T00:00:00Z"))
    trained(service, chats(tmp_path, "mine", ["brief"]))
    clock.forward(days=30)
    (one,) = asked(service, store, account="brief")["decisions"]
    assert (one["then"]["rightly"], one["now"]["reasons"]) == (True, ["consent_expired"])


def test_now_follows_the_model_registry(service: Service, store: LineageStore, tmp_path: Path) -> None:
    trained(service, chats(tmp_path, "mine", ["acme"]))
    record_model(service, "ms-1", Ownership.THIRD_PARTY, ["*"], "sold", by="eve", via="cli")
    (one,) = asked(service, store, account="acme")["decisions"]
    assert (one["then"]["rightly"], one["now"]["verdict"]) == (True, "block")
    assert "third_party_model" in one["now"]["reasons"]


def test_a_subset_without_the_account_is_not_concerned(
    service: Service, store: LineageStore, clock: Clock, tmp_path: Path
) -> None:
    whole = decided(service, chats(tmp_path, "all", ["acme", "nono"]))
    subset = decide_on_subset(service, whole, USE, Asking(GATE, ("train",), "service:airflow", "airflow"))
    ran(store, [version_of(whole)], [version_of(subset)], run=GATE)
    ran(store, [version_of(subset)], [("/models/m", "v1")], run=TRAIN, model=True)
    answer = asked(service, store, account="nono")
    assert [one["version"] for one in answer["versions"]] == [whole.versions[0].digest]
    assert answer["models"] == []
    kept = asked(service, store, account="acme")
    assert {one["version"] for one in kept["versions"]} >= {subset.versions[0].digest, "v1"}
    assert [one["subset_of"] for one in kept["versions"] if one["version"] == subset.versions[0].digest] == [
        whole.versions[0].dataset.uri
    ]


def test_what_was_made_from_its_data_is_found_through_lineage(
    service: Service, store: LineageStore, tmp_path: Path
) -> None:
    mine = trained(service, chats(tmp_path, "mine", ["acme"]))
    ran(store, [version_of(mine)], [("/lake/features", "f1")])
    ran(store, [("/lake/features", "f1")], [("/models/other", "m1")], model=True)
    ran(store, [("/models/other", "m1")], [("/models/tuned", "m2")], model=True)
    answer = asked(service, store, account="acme")
    assert [(one["name"], one["how"]) for one in answer["versions"] if one["name"].startswith("/lake/f")] == [
        ("/lake/features", "derived")
    ]
    assert {one["name"] for one in answer["models"]} == {None, "/models/other", "/models/tuned"}


def test_a_model_belongs_to_the_try_that_wrote_it(service: Service, store: LineageStore, tmp_path: Path) -> None:
    mine = trained(service, chats(tmp_path, "mine", ["acme"]))
    ran(store, [version_of(mine)], [("/models/ms", "m1")], run=TRAIN, model=True)
    answer = asked(service, store, account="acme")
    (model,) = answer["models"]
    assert (model["name"], model["model"], model["how"]) == ("/models/ms", "ms-1", "held")
    (run,) = answer["runs"]
    assert run["start"] == model["start"]
    assert run["lineage_run"]


def test_a_decision_about_derived_data_is_found_by_its_digest(
    service: Service, store: LineageStore, tmp_path: Path
) -> None:
    """Another account locator says whose derived data is; then the ledger knows better than lineage."""
    mine = trained(service, chats(tmp_path, "mine", ["acme", "zeta"]))
    ours = trained(service, chats(tmp_path, "ours", ["zeta"]), "manual__2")
    ran(store, [version_of(mine)], [version_of(ours)])
    assert names(asked(service, store, account="acme")) == ["mine"]
    assert names(asked(service, store, dataset=mine.versions[0].dataset.uri)) == ["mine", "ours"]


def test_a_dataset_is_asked_for_by_address_and_by_digest(service: Service, store: LineageStore, tmp_path: Path) -> None:
    data = chats(tmp_path, "mine", ["acme"])
    one = trained(service, data)
    chats(tmp_path, "mine", ["acme", "zeta"])
    two = trained(service, data, "manual__2")
    by_address = asked(service, store, dataset=data.uri)
    assert [one["index"] for one in by_address["decisions"]] == [one.index, two.index]
    by_digest = asked(service, store, dataset=two.versions[0].digest)
    assert [one["index"] for one in by_digest["decisions"]] == [two.index]
    assert by_digest["decisions"][0]["then"]["rightly"] is True
    assert by_digest["decisions"][0]["accounts_checked"] == by_digest["decisions"][0]["accounts"] == 2


def test_a_consent_leads_to_its_account(service: Service, store: LineageStore, tmp_path: Path) -> None:
    trained(service, chats(tmp_path, "mine", ["acme"]))
    with service.ledger.read() as reader:
        index = next(entry.idx for entry in reader.entries("consent"))
    answer = asked(service, store, consent=str(index))
    assert (answer["question"]["name"], answer["counts"]["decisions"]) == ("acme", 1)


def test_a_policy_row_leads_to_the_decisions_that_cite_it(
    service: Service, store: LineageStore, tmp_path: Path
) -> None:
    outcome = trained(service, chats(tmp_path, "mine", ["acme"]))
    row = outcome.record["decision"]["findings"][0]["row"]
    answer = asked(service, store, policy_row=row)
    assert [one["index"] for one in answer["decisions"]] == [outcome.index]
    assert answer["decisions"][0]["rows"] == [row]


@pytest.mark.parametrize(
    "subject",
    [
        {"account": "nobody"},
        {"account": "ab" * 32},
        {"account": "<script>\x00\ud800"},
        {"dataset": "/nowhere"},
        {"dataset": "relative"},
        {"dataset": "sha256:" + "0" * 64},
        {"consent": "0"},
        {"consent": "-1"},
        {"consent": "9" * 40},
        {"consent": "x"},
        {"policy_row": "'; DROP TABLE entry; --"},
    ],
)
def test_what_nobody_knows_is_no_subject(service: Service, store: LineageStore, subject: dict[str, str]) -> None:
    with pytest.raises(InputError):
        asked(service, store, **subject)


def test_one_subject_at_a_time() -> None:
    with pytest.raises(InputError, match="one thing"):
        subject_of(account="acme", dataset="/x")
    with pytest.raises(InputError, match="one thing"):
        subject_of(account=None)


def test_a_persons_reference_is_no_account(service: Service, store: LineageStore) -> None:
    with service.ledger.read() as reader:
        person = next(reader.entries("appointment")).body["person_ref"]
    with pytest.raises(InputError):
        asked(service, store, account=person)


def test_as_of_leaves_out_what_came_later(service: Service, store: LineageStore, clock: Clock, tmp_path: Path) -> None:
    first = trained(service, chats(tmp_path, "one", ["acme"]))
    size = service.ledger_size()
    clock.forward(days=2)
    second = trained(service, chats(tmp_path, "two", ["acme"]), "manual__2")
    for as_of in (START, size):
        answer = impact(service, store, Subject("account", "acme"), as_of=as_of)
        assert [one["index"] for one in answer["decisions"]] == [first.index]
        assert len(answer["runs"]) == 1
    answer = impact(service, store, Subject("account", "acme"))
    assert [one["index"] for one in answer["decisions"]] == [first.index, second.index]


def test_runs_of_dags_that_may_not_be_seen_are_left_out(service: Service, store: LineageStore, tmp_path: Path) -> None:
    mine = trained(service, chats(tmp_path, "one", ["acme"]))
    hidden = trained(service, chats(tmp_path, "two", ["acme"]), dag="secret")
    ran(store, [version_of(mine)], [("/lake/f", "f1")], run=replace(TRAIN, dag_id="secret"))
    ran(store, [("/lake/f", "f1")], [("/models/m", "m1")], model=True)
    answer = impact(service, store, Subject("account", "acme"), sees=lambda dag: dag != "secret")
    assert hidden.index not in [one["index"] for one in answer["decisions"]]
    assert names(answer) == ["one"]
    assert "secret" not in str(answer)


def test_a_verdict_that_does_not_hold_again_is_told(service: Service, store: LineageStore, tmp_path: Path) -> None:
    """As if a decision had let data through that its own checkpoint does not allow."""
    outcome = decided(service, chats(tmp_path, "mine", ["nono"]))
    with recording(service) as tx:
        ref = tx.commit_ref("account", "nono")
        wrong = {**outcome.record, "decision": {**outcome.record["decision"], "verdict": "allow", "reasons": []}}
        wrong["accounts"] = tx.attach(bytes.fromhex(ref), "application/octet-stream")
        tx.append("decision", "forged", wrong, recorded_at=service.clock(), by="service:x", via="x")
    answer = asked(service, store, account="nono")
    assert [one["then"]["rightly"] for one in answer["decisions"]] == [True, False]
    assert answer["counts"]["not_rightly"] == 1
