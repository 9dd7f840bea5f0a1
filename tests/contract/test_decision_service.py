"""One suite over both modes: the embedded service and a remote one answer alike, on both databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from gate.domain.dataset import Dataset
from gate.domain.instants import format_instant
from gate.domain.run import Confirmed, TaskRun
from gate.errors import Blocked, CannotDecide, DatasetError, InputError, PermitRefused
from gate.service.acting import Person
from gate.service.acts import approve, propose
from gate.service.core import Service
from gate.service.deciding import decide, preview
from gate.service.outcome import Outcome
from gate.service.ports import DecisionService, Redeemed
from gate.service.settings import read_settings
from gate.service.subsetting import decide_on_subset
from gate.service.tagging import Tagged, tag_dataset
from gate.service.worker import check_still_standing, redeem
from support.served import served
from support.world import ASKING, RUN, TRAIN, USE, Clock, add_account, chat_file, event, new_service, say, use

BY = {"by": "service:airflow", "via": "airflow"}


@dataclass
class World:
    """A service, and the same thing as a worker reaches it."""

    service: Service
    gate: DecisionService
    clock: Clock
    lake: Path

    def tag(self, data: Dataset, *declare: str) -> Tagged:
        return tag_dataset(self.gate, data, declare or ("chat",), **BY)

    def data(self, *accounts: str | None, name: str = "chat.jsonl") -> Dataset:
        data = chat_file(self.lake, accounts, name)
        self.tag(data)
        return data

    def decide(self, data: Dataset, wanted=USE, asking=ASKING) -> Outcome:
        return decide(self.gate, [data], wanted, asking)

    def redeem(self, data: Dataset, run: TaskRun = TRAIN, wanted=USE) -> Redeemed:
        return redeem(self.gate, run, [data], wanted, by="service:airflow")

    def refused(self, data: Dataset, run: TaskRun = TRAIN, wanted=USE) -> str:
        with pytest.raises(PermitRefused) as caught:
            self.redeem(data, run, wanted)
        with self.service.ledger.read() as reader:
            assert reader.find("refusal", run.key) is not None
        return str(caught.value.reason)

    def agree(self, act: str, **params: str) -> None:
        people = Person("airflow", "alice"), Person("airflow", "bob")
        approve(self.service, propose(self.service, act, params, "ticket 17", by=people[0]), by=people[1])


@pytest.fixture(params=["embedded", "remote"])
def world(request: pytest.FixtureRequest, ledger_url: str, tmp_path: Path) -> Iterator[World]:
    clock, lake = Clock(), tmp_path / "lake"
    lake.mkdir()
    with new_service(tmp_path / "home", clock, url=ledger_url) as service:
        add_account(service, "acme")
        add_account(service, "zeta")
        say(service, event("acme"))
        if request.param == "embedded":
            yield World(service, service, clock, lake)
            return
        worker = read_settings({"GATE_HOME": str(tmp_path / "worker")})
        with served(service) as there, there.remote(settings=worker) as gate:
            yield World(service, gate, clock, lake)


def test_consented_data_is_permitted_and_redeemed_once_per_try(world: World) -> None:
    data = world.data("acme", "acme")
    outcome = world.decide(data)
    assert (outcome.allowed, list(outcome.permits)) == (True, ["train"])
    right = world.redeem(data)
    assert right.permit is not None
    assert (right.decision_index, right.versions) == (outcome.index, outcome.versions)
    assert right.version_for(data).digest == outcome.versions[0].digest
    assert world.redeem(data).index == right.index
    assert world.redeem(data, replace(TRAIN, try_number=2)).index > right.index
    check_still_standing(world.gate, right)


def test_asking_again_gets_the_recorded_answer(world: World) -> None:
    data = world.data("acme")
    first = world.decide(data)
    say(world.service, event("acme", "withdraw", effective_at=format_instant(world.clock.now)))
    assert world.decide(data) == first
    assert world.gate.recorded_decision(RUN) == first
    assert world.gate.decision_of_run(RUN.dag_id, RUN.run_id) == first
    assert world.gate.recorded_decision(replace(RUN, try_number=9)) is None
    assert world.gate.decision_of_run(RUN.dag_id, "another") is None


def test_missing_consent_blocks_row_exact(world: World) -> None:
    outcome = world.decide(world.data("acme", "zeta", "zeta", None))
    assert (outcome.passes, outcome.permits) == (False, {})
    assert outcome.reasons == ["no_consent", "unattributed_rows"]
    assert (outcome.record["rows_blocked"], outcome.record["accounts_blocked"]) == (3, 1)


def test_a_preview_records_nothing(world: World) -> None:
    data = world.data("acme", "zeta")
    before = world.gate.ledger_size()
    size, decision = preview(world.gate, [data], USE)
    assert (size, [reason.value for reason in decision.reasons]) == (before, ["no_consent"])
    assert world.gate.ledger_size() == before


def test_tags_come_back_with_what_is_wrong(world: World) -> None:
    tagged = world.tag(chat_file(world.lake, ["acme"]), "chat", "phi")
    assert {category.value for category in tagged.categories} == {"chat", "phi"}
    assert tagged == world.tag(chat_file(world.lake, ["acme"]), "chat", "phi")
    with pytest.raises(InputError, match="category"):
        world.tag(chat_file(world.lake, ["acme"]), "gossip")


def test_the_consented_subset_is_permitted(world: World) -> None:
    blocked = world.decide(world.data("acme", "zeta", "acme", "zeta"))
    assert not blocked.allowed
    outcome = decide_on_subset(world.gate, blocked, USE, ASKING)
    assert outcome.allowed
    (version,) = outcome.versions
    lines = Path(version.dataset.name).read_text("utf-8").splitlines()
    assert [json.loads(line)["account_id"] for line in lines] == ["acme", "acme"]


def test_no_subset_where_more_than_consent_is_missing(world: World) -> None:
    data = world.data("acme", "zeta")
    blocked = world.decide(data, use(model="llm-x"))
    with pytest.raises(Blocked):
        decide_on_subset(world.gate, blocked, use(model="llm-x"), ASKING)


@pytest.mark.parametrize(
    ("run", "wanted", "reason"),
    [
        (replace(TRAIN, run_id="manual__2"), USE, "permit_missing"),
        (replace(TRAIN, task_id="train2"), USE, "permit_missing"),
        (replace(TRAIN, dag_id="copy"), USE, "permit_missing"),
        (TRAIN, use("tune"), "permit_mismatch"),
        (TRAIN, use(feature="x"), "permit_mismatch"),
        (TRAIN, use("infer"), "permit_mismatch"),
    ],
)
def test_a_permit_is_for_one_thing(world: World, run: TaskRun, wanted, reason: str) -> None:
    data = world.data("acme")
    world.decide(data)
    assert world.refused(data, run, wanted) == reason


def test_other_data_than_permitted_is_refused(world: World) -> None:
    data = world.data("acme")
    world.decide(data)
    other = world.data("acme", name="other.jsonl")
    assert world.refused(other) == "permit_mismatch"
    chat_file(world.lake, ["acme", "acme"])
    assert world.refused(data, replace(TRAIN, try_number=2)) == "dataset_changed"
    Path(data.name).unlink()
    assert world.refused(data, replace(TRAIN, try_number=3)) == "dataset_changed"


def test_a_withdrawal_in_between_wins(world: World) -> None:
    data = world.data("acme")
    world.decide(data)
    right = world.redeem(data)
    say(world.service, event("acme", "withdraw", effective_at=format_instant(world.clock.now)))
    assert world.refused(data, replace(TRAIN, try_number=2)) == "consent_withdrawn"
    with pytest.raises(PermitRefused) as caught:
        check_still_standing(world.gate, right)
    assert caught.value.reason == "consent_withdrawn"
    with world.service.ledger.read() as reader:
        assert len(list(reader.entries("exposure"))) == 1


def test_a_permit_ends(world: World) -> None:
    data = world.data("acme")
    world.decide(data)
    world.clock.forward(hours=1)
    assert world.refused(data) == "permit_expired"


def test_a_task_that_is_not_running_is_refused(world: World) -> None:
    data = world.data("acme")
    world.decide(data)

    def not_running(run: TaskRun) -> Confirmed:
        raise PermitRefused("Airflow says it is not running", reason="permit_mismatch")

    world.service.confirm = not_running
    assert world.refused(data) == "permit_mismatch"


def test_an_airflow_that_does_not_answer_starts_nothing(world: World) -> None:
    data = world.data("acme")
    world.decide(data)

    def silent(run: TaskRun) -> Confirmed:
        raise CannotDecide("Airflow does not answer", reason="cannot_decide")

    world.service.confirm = silent
    with pytest.raises(CannotDecide, match="does not answer"):
        world.redeem(data)


def test_a_triggered_run_redeems_the_permit_of_the_dag_that_triggered_it(world: World) -> None:
    data = world.data("acme")
    outcome = world.decide(data, asking=replace(ASKING, consumers=(), elsewhere=(("fit", "train"),)))
    assert list(outcome.permits) == ["fit:train"]
    there = TaskRun("fit", "asset__1", "train")
    assert world.refused(data, there) == "permit_missing"
    world.service.confirm = lambda run: Confirmed(((RUN.dag_id, RUN.run_id),))
    assert world.redeem(data, replace(there, try_number=2)).permit is not None
    assert world.refused(data, replace(there, run_id="asset__2")) == "permit_mismatch"


def test_observe_lets_a_block_pass_without_a_permit(world: World) -> None:
    world.agree("mode", mode="observe", until=format_instant(world.clock.now + timedelta(days=1)))
    data = world.data("acme", "zeta")
    outcome = world.decide(data)
    assert (outcome.allowed, outcome.passes, outcome.observed, outcome.permits) == (False, True, True, {})
    right = world.redeem(data)
    assert (right.observed, right.permit) == (True, None)
    assert right.versions == outcome.versions
    check_still_standing(world.gate, right)


def test_data_that_cannot_be_read_cannot_be_decided(world: World) -> None:
    data = world.data("acme")
    Path(data.name).write_text("{ not json\n", "utf-8")
    with pytest.raises(DatasetError):
        world.decide(data)
    with pytest.raises(InputError):
        decide(world.gate, [], USE, ASKING)
