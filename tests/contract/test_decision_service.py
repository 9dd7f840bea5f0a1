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
from gate.ledger.store import Entry
from gate.ledger.verify import verify
from gate.permits import verify_attestation
from gate.permits.attestation import Artifact
from gate.service.acting import Person
from gate.service.acts import approve, propose
from gate.service.answers import Answer, ReviewAnswer, offered
from gate.service.attesting import check_attestation
from gate.service.core import Service
from gate.service.deciding import decide, preview
from gate.service.decisions import SUBSET, checked_run
from gate.service.outcome import Outcome
from gate.service.ports import Attested, DecisionService, Produced, Redeemed
from gate.service.reviewing import decide_again, decide_subset_again
from gate.service.settings import read_settings
from gate.service.subsetting import decide_on_subset
from gate.service.tagging import tag_dataset
from gate.service.tags import Tagged
from gate.service.worker import check_still_standing, measure_model, redeem
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


class TestReviews:
    """What a person answers to a block: recorded, confirmed by Airflow, and nothing but a question to decide anew."""

    @pytest.fixture
    def blocked(self, world: World) -> Outcome:
        world.service.confirm_review = lambda answer: None
        return world.decide(world.data("acme", "zeta"))

    def test_an_answer_is_recorded_without_a_name_and_once(self, world: World, blocked: Outcome) -> None:
        answer = answered(world, blocked, note="waiting for zeta's lawyer")
        index = record(world, answer)
        assert record(world, answer) == index
        entry = reviews(world)[0]
        assert (entry.idx, entry.body["answer"], entry.body["round"]) == (index, "check_again", 1)
        assert (entry.body["run"], entry.body["decision"]) == (RUN.to_dict(), blocked.index)
        assert b"|ada" not in entry.payload  # no hex digest holds that
        assert b"lawyer" not in entry.payload
        with world.service.ledger.read() as reader:
            assert reader.open_ref(entry.body["responder"].removeprefix("person:")) == "airflow|ada"
            assert reader.open_ref(entry.body["note_ref"]) == answer.note
        assert len(reviews(world)) == 1

    @pytest.mark.parametrize(
        "other", [{"answer": Answer.KEEP_BLOCKED}, {"responder": "airflow|eve"}, {"note": "no"}], ids=repr
    )
    def test_another_answer_to_the_same_question_is_refused(self, world: World, blocked: Outcome, other) -> None:
        record(world, answered(world, blocked))
        with pytest.raises(PermitRefused, match="otherwise"):
            record(world, answered(world, blocked, **other))
        assert [entry.body["answer"] for entry in reviews(world)] == ["check_again"]
        record(world, answered(world, blocked, **{"round": 2, **other}))
        assert len(reviews(world)) == 2

    def test_an_answer_that_airflow_does_not_know_is_refused(self, world: World, blocked: Outcome) -> None:
        def invented(answer: ReviewAnswer) -> None:
            raise PermitRefused("Airflow knows no such answer", reason="permit_mismatch")

        def silent(answer: ReviewAnswer) -> None:
            raise CannotDecide("Airflow does not answer", reason="cannot_decide")

        for says, error in ((invented, PermitRefused), (silent, CannotDecide)):
            world.service.confirm_review = says
            with pytest.raises(error):
                record(world, answered(world, blocked))
        assert reviews(world) == []

    def test_without_an_airflow_to_ask_no_answer_counts(self, world: World, blocked: Outcome) -> None:
        world.service.confirm_review = Service.confirm_review
        with pytest.raises(CannotDecide, match="nobody can confirm"):
            record(world, answered(world, blocked))

    def test_what_was_confirmed_once_is_not_asked_again(self, world: World, blocked: Outcome) -> None:
        index = record(world, answered(world, blocked))
        world.service.confirm_review = Service.confirm_review
        assert record(world, answered(world, blocked)) == index

    @pytest.mark.parametrize(
        "wrong",
        [
            {"round": 0},
            {"options": ()},
            {"options": (Answer.KEEP_BLOCKED,)},
            {"responder": None},
            {"answered_at": None},
            {"answer": Answer.TIMED_OUT},
            {"note": "n" * 2001},
        ],
        ids=repr,
    )
    def test_answers_that_contradict_themselves(self, world: World, blocked: Outcome, wrong) -> None:
        with pytest.raises(InputError):
            record(world, answered(world, blocked, **wrong))
        assert reviews(world) == []

    @pytest.mark.parametrize(
        "wrong",
        [
            {"decision": 0},
            {"decision": 10_000},
            {"run": replace(RUN, task_id="other_gate")},
            {"run": replace(RUN, try_number=2)},
            {"run": replace(RUN, run_id="manual__2")},
        ],
        ids=repr,
    )
    def test_answers_about_what_this_gate_did_not_decide(self, world: World, blocked: Outcome, wrong) -> None:
        with pytest.raises(PermitRefused, match="no decision of this gate"):
            record(world, answered(world, blocked, **wrong))

    def test_nobody_is_asked_about_what_passes(self, world: World) -> None:
        world.service.confirm_review = lambda answer: None
        with pytest.raises(PermitRefused, match="did not block"):
            record(world, answered(world, world.decide(world.data("acme"))))

    def test_checking_again_passes_once_consent_is_there(self, world: World, blocked: Outcome) -> None:
        data = blocked.versions[0].dataset
        still = decide_again(world.gate, [data], USE, ASKING, 1)
        assert (still.passes, still.task_id) == (False, "consent_gate#check-1")
        assert decide_again(world.gate, [data], USE, ASKING, 1) == still
        assert world.refused(data) == "permit_missing"
        say(world.service, event("zeta"))
        assert decide_again(world.gate, [data], USE, ASKING, 1) == still  # that question has its answer
        passed = decide_again(world.gate, [data], USE, ASKING, 2)
        assert passed.allowed
        assert world.redeem(data, replace(TRAIN, try_number=2)).decision_index == passed.index

    def test_an_answer_is_no_consent(self, world: World, blocked: Outcome) -> None:
        before = of_kind(world, "consent")
        data = blocked.versions[0].dataset
        for number, answer in enumerate(Answer, 1):
            nobody = {"responder": None, "answered_at": None} if answer is Answer.TIMED_OUT else {}
            record(world, answered(world, blocked, round=number, answer=answer, **nobody))
            assert not decide_again(world.gate, [data], USE, ASKING, number).passes
        assert of_kind(world, "consent") == before
        assert of_kind(world, "permit") == []
        assert world.refused(data) == "permit_missing"

    def test_the_subset_after_an_answer(self, world: World, blocked: Outcome) -> None:
        data = blocked.versions[0].dataset
        assert Answer.SUBSET in offered(blocked.decision)
        whole = decide_again(world.gate, [data], USE, ASKING, 1)
        subset = decide_subset_again(world.gate, whole, USE, ASKING, 1, None)
        assert (subset.allowed, subset.task_id) == (True, "consent_gate#check-1#subset")
        assert decide_subset_again(world.gate, whole, USE, ASKING, 1, None) == subset
        assert world.redeem(data).versions == subset.versions

    def test_a_subset_of_nothing_can_be_asked_about_again(self, world: World) -> None:
        data = world.data("zeta")
        whole = decide_again(world.gate, [data], USE, ASKING, 1)
        with pytest.raises(CannotDecide):
            decide_subset_again(world.gate, whole, USE, ASKING, 1, None)

    @pytest.mark.parametrize("later", [RUN, checked_run(RUN, 1), checked_run(RUN, 12)], ids=lambda run: run.task_id)
    @pytest.mark.parametrize("suffix", ["", SUBSET])
    def test_any_newer_decision_of_the_gate_ends_its_older_permits(self, world: World, later: TaskRun, suffix) -> None:
        data = world.data("acme")
        first = decide_again(world.gate, [data], USE, ASKING, 3)
        assert first.allowed
        world.clock.forward(minutes=1)
        newer = replace(later, task_id=later.task_id + suffix, try_number=2)
        assert not world.decide(data, use("tune"), replace(ASKING, run=newer)).passes
        assert world.refused(data) == "permit_mismatch"

    @pytest.mark.parametrize(
        "other", [{"task_id": "consent_gate2"}, {"task_id": "consent"}, {"map_index": 7}], ids=repr
    )
    def test_another_gates_decision_does_not(self, world: World, other) -> None:
        data = world.data("acme")
        world.decide(data)
        asking = replace(ASKING, run=checked_run(replace(RUN, **other), 1), consumers=())
        assert not world.decide(data, use("tune"), asking).passes
        assert world.redeem(data).permit is not None


class TestAttestations:
    """What a training says it produced: bound to its redemption, signed, kept, and said by nobody else."""

    @pytest.fixture
    def right(self, world: World) -> Redeemed:
        data = world.data("acme")
        world.decide(data)
        return world.redeem(data)

    def test_a_model_is_bound_to_everything_that_let_it(self, world: World, right: Redeemed) -> None:
        attested = attest(world, right)
        said = verify_attestation(attested.envelope, world.gate.pinned_keys)
        assert right.permit is not None
        assert (said.model, said.run, said.use) == (Artifact.of(attested.model), TRAIN, right.use)
        assert said.datasets == tuple(map(Artifact.of, right.versions))
        assert (said.permit_id, said.redemption.name) == (right.permit.permit_id, right.index)
        assert (said.decision.name, said.decision.digest) == (right.decision_index, right.permit.decision_digest)
        assert said.policy.digest == right.permit.policy_digest
        [entry] = of_kind(world, "attestation")
        assert (entry.idx, entry.via, entry.body["unpermitted"]) == (attested.index, "airflow", False)
        assert said.checkpoint[0] == entry.idx
        with world.service.ledger.read() as reader:
            assert said.checkpoint[1] == reader.root_at(entry.idx).hex()
            assert verify(reader).ok
            checked = check_attestation(world.service, reader, entry)
        assert (checked.signature, checked.ledger, checked.problems) == (True, True, ())

    def test_saying_it_again_adds_nothing_even_when_the_task_has_ended(self, world: World, right: Redeemed) -> None:
        first = attest(world, right)
        world.service.confirm = not_running
        assert attest(world, right) == first
        assert len(of_kind(world, "attestation")) == 1

    def test_each_model_and_each_version_of_it_is_an_entry(self, world: World, right: Redeemed) -> None:
        said = [attest(world, right), attest(world, right, b"better"), attest(world, right, name="adapter.bin")]
        assert [entry.idx for entry in of_kind(world, "attestation")] == [one.index for one in said]
        assert len({one.model.digest for one in said}) == 3

    def test_only_a_try_that_runs_speaks(self, world: World, right: Redeemed) -> None:
        world.service.confirm = not_running
        with pytest.raises(PermitRefused, match="not running"):
            attest(world, right)
        assert of_kind(world, "attestation") == []

    @pytest.mark.parametrize(
        "other",
        [{"try_number": 2}, {"run_id": "manual__2"}, {"task_id": "train2"}, {"dag_id": "copy"}, {"map_index": 0}],
        ids=repr,
    )
    def test_another_try_does_not_speak_for_it(self, world: World, right: Redeemed, other) -> None:
        with pytest.raises(PermitRefused, match="no redemption of this try"):
            attest(world, replace(right, run=replace(TRAIN, **other)))
        assert of_kind(world, "attestation") == []

    def test_what_is_no_redemption_attests_nothing(self, world: World, right: Redeemed) -> None:
        for index in (0, right.decision_index, right.index - 1, right.index + 1, 10_000):
            with pytest.raises(PermitRefused, match="no redemption of this try"):
                attest(world, replace(right, index=index))

    def test_a_refused_start_attests_nothing(self, world: World) -> None:
        data = world.data("zeta")
        world.decide(data)
        world.refused(data)
        [refusal] = of_kind(world, "refusal")
        produced = Produced(refusal.idx, TRAIN, measure_model(model_file(world)))
        with pytest.raises(PermitRefused, match="no redemption of this try"):
            world.gate.record_attestation(produced, by="service:airflow")

    def test_what_observe_let_start_is_unpermitted_for_ever(self, world: World) -> None:
        world.agree("mode", mode="observe", until=format_instant(world.clock.now + timedelta(days=1)))
        data = world.data("acme", "zeta")
        world.decide(data)
        said = verify_attestation(attest(world, world.redeem(data)).envelope, world.gate.pinned_keys)
        assert (said.unpermitted, said.permit_id) == (True, None)
        assert of_kind(world, "attestation")[0].body["unpermitted"] is True

    def test_a_subset_is_what_it_was_trained_on(self, world: World) -> None:
        data = world.data("acme", "zeta")
        outcome = decide_on_subset(world.gate, world.decide(data), USE, ASKING)
        said = verify_attestation(attest(world, world.redeem(data)).envelope, world.gate.pinned_keys)
        assert [(one.digest, one.subset_of) for one in said.datasets] == [(outcome.versions[0].digest, data.uri)]


def not_running(run: TaskRun) -> Confirmed:
    raise PermitRefused("Airflow says it is not running", reason="permit_mismatch")


def model_file(world: World, content: bytes = b"weights", name: str = "ms-1.bin") -> Path:
    path = world.lake.parent / name
    path.write_bytes(content)
    return path


def attest(world: World, right: Redeemed, content: bytes = b"weights", name: str = "ms-1.bin") -> Attested:
    produced = Produced(right.index, right.run, measure_model(model_file(world, content, name)))
    return world.gate.record_attestation(produced, by="service:airflow")


def answered(world: World, blocked: Outcome, **changes) -> ReviewAnswer:
    fields = {
        "run": RUN,
        "decision": blocked.index,
        "round": 1,
        "answer": Answer.CHECK_AGAIN,
        "options": (Answer.CHECK_AGAIN, Answer.SUBSET, Answer.KEEP_BLOCKED),
        "responder": "airflow|ada",
        "answered_at": world.clock.now,
    }
    return ReviewAnswer(**(fields | changes))


def record(world: World, answer: ReviewAnswer) -> int:
    return world.gate.record_review(answer, **BY)


def of_kind(world: World, kind: str) -> list[Entry]:
    with world.service.ledger.read() as reader:
        return list(reader.entries(kind))


def reviews(world: World) -> list[Entry]:
    return of_kind(world, "review")
