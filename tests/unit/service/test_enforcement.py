"""What enforcement rests on beside the permit: who runs, modes, break-glass, feeds, keys, permits across DAGs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gate.domain.dataset import Dataset
from gate.domain.instants import format_instant
from gate.domain.run import Confirmed, TaskRun
from gate.domain.words import Ownership
from gate.errors import CannotDecide, PermitRefused
from gate.permits.permit import verify_permit
from gate.service.acting import Person
from gate.service.acts import approve, propose
from gate.service.consents import record_model
from gate.service.core import Service, open_service
from gate.service.deciding import decide
from gate.service.feeds import report_watermark
from gate.service.outcome import Outcome
from gate.service.ports import Redeemed
from gate.service.redeeming import refusal_of_run
from gate.service.tagging import tag_dataset
from gate.service.worker import check_still_standing, redeem
from support.anonymity import VOUCHED
from support.world import ASKING, RUN, TRAIN, USE, Clock, add_account, chat_file, event, new_service, say, use

ALICE, BOB = Person("airflow", "alice"), Person("airflow", "bob")
ELSEWHERE = TaskRun("train_elsewhere", "asset__1", "fit")
GATE_RUN = (RUN.dag_id, RUN.run_id)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        for account in ("acme", "zeta"):
            add_account(opened, account)
        say(opened, event("acme"))
        yield opened


@pytest.fixture
def data(service: Service, tmp_path: Path) -> Dataset:
    return tagged(service, chat_file(tmp_path, ["acme"] * 3))


@pytest.fixture
def unconsented(service: Service, tmp_path: Path) -> Dataset:
    return tagged(service, chat_file(tmp_path, ["acme", "zeta"], "unconsented.jsonl"))


def tagged(service: Service, data: Dataset) -> Dataset:
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    return data


def redeemed(service: Service, data: Dataset, run: TaskRun = TRAIN, wanted=USE) -> Redeemed:
    return redeem(service, run, [data], wanted, by="service:airflow")


def refused(service: Service, data: Dataset, run: TaskRun = TRAIN, wanted=USE) -> str:
    with pytest.raises(PermitRefused) as caught:
        redeemed(service, data, run, wanted)
    recorded = refusal_of_run(service, run.dag_id, run.run_id)
    assert recorded is not None
    assert recorded.body["reason"] == caught.value.reason
    return str(caught.value.reason)


def agree(service: Service, act: str, **params: Any) -> int:
    """Two people, two log-ins."""
    return approve(service, propose(service, act, params, "ticket 17", by=ALICE), by=BOB).idx


def kinds(service: Service) -> list[str]:
    with service.ledger.read() as reader:
        return [entry.kind for entry in reader.entries()]


class TestWhoRuns:
    def test_a_task_that_airflow_does_not_run_is_refused(self, service: Service, data: Dataset) -> None:
        assert decide(service, [data], USE, ASKING).allowed

        def not_running(run: TaskRun) -> Confirmed:
            raise PermitRefused("Airflow says it is not running", reason="permit_mismatch")

        service.confirm = not_running
        assert refused(service, data) == "permit_mismatch"
        assert "redemption" not in kinds(service)

    def test_nobody_to_ask_means_no(self, service: Service, data: Dataset) -> None:
        decide(service, [data], USE, ASKING)
        with open_service(service.settings, clock=service.clock) as alone, pytest.raises(CannotDecide, match="confirm"):
            redeemed(alone, data)
        assert "redemption" not in kinds(service)


class TestAcrossDags:
    def decided(self, service: Service, data: Dataset) -> Outcome:
        return decide(service, [data], USE, replace(ASKING, consumers=(), elsewhere=(("train_elsewhere", "fit"),)))

    def test_a_run_that_the_gates_run_triggered_may_train(self, service: Service, data: Dataset) -> None:
        outcome = self.decided(service, data)
        assert list(outcome.permits) == ["train_elsewhere:fit"]
        service.confirm = lambda run: Confirmed((GATE_RUN,))
        assert redeemed(service, data, ELSEWHERE).decision_index == outcome.index

    @pytest.mark.parametrize("source", [(), (("other", RUN.run_id),), ((RUN.dag_id, "manual__0"),)])
    def test_a_run_that_something_else_triggered_may_not(self, service: Service, data: Dataset, source) -> None:
        self.decided(service, data)
        service.confirm = lambda run: Confirmed(source)
        assert refused(service, data, ELSEWHERE) == "permit_missing"

    def test_it_is_good_for_one_run(self, service: Service, data: Dataset) -> None:
        self.decided(service, data)
        service.confirm = lambda run: Confirmed((GATE_RUN,))
        redeemed(service, data, ELSEWHERE)
        redeemed(service, data, replace(ELSEWHERE, try_number=2))
        assert refused(service, data, replace(ELSEWHERE, run_id="asset__2")) == "permit_mismatch"

    def test_another_task_or_dag_gets_nothing_of_it(self, service: Service, data: Dataset) -> None:
        self.decided(service, data)
        service.confirm = lambda run: Confirmed((GATE_RUN,))
        for other in (replace(ELSEWHERE, task_id="fit2"), replace(ELSEWHERE, dag_id="copy"), TRAIN):
            assert refused(service, data, other) == "permit_missing"


class TestObserve:
    @pytest.fixture(autouse=True)
    def observe(self, service: Service, clock: Clock) -> int:
        until = format_instant(clock.now + timedelta(days=7))
        return agree(service, "mode", mode="observe", until=until)

    def test_a_block_passes_without_a_permit_and_says_so(self, service: Service, unconsented: Dataset) -> None:
        outcome = decide(service, [unconsented], USE, ASKING)
        assert (outcome.allowed, outcome.passes, outcome.observed) == (False, True, True)
        assert outcome.permits == {}
        right = redeemed(service, unconsented)
        assert (right.permit, right.observed) == (None, True)
        entry = refusal_of_run(service, TRAIN.dag_id, TRAIN.run_id)
        assert entry is not None
        assert (entry.idx, entry.body["observed"], entry.body["reasons"]) == (right.index, True, ["no_consent"])
        assert not {"permit", "redemption"} & set(kinds(service))

    def test_even_an_allow_issues_no_permit(self, service: Service, data: Dataset) -> None:
        outcome = decide(service, [data], USE, ASKING)
        assert (outcome.allowed, outcome.passes, outcome.observed) == (True, True, False)
        assert outcome.permits == {}
        assert redeemed(service, data).observed

    def test_a_deny_row_still_blocks(self, service: Service, data: Dataset) -> None:
        third_party = use(model="llm-x")
        assert not decide(service, [data], third_party, ASKING).passes
        assert refused(service, data, wanted=third_party) == "permit_missing"

    def test_without_a_decision_nothing_starts(self, service: Service, data: Dataset) -> None:
        assert refused(service, data) == "permit_missing"

    def test_a_decision_for_another_use_or_task_does_not_help(self, service: Service, data: Dataset) -> None:
        decide(service, [data], USE, ASKING)
        assert refused(service, data, wanted=use("tune")) == "permit_missing"
        assert refused(service, data, replace(TRAIN, task_id="train2")) == "permit_missing"

    def test_it_ends_by_itself(self, service: Service, unconsented: Dataset, clock: Clock) -> None:
        decide(service, [unconsented], USE, ASKING)
        clock.forward(days=8)
        assert refused(service, unconsented) == "permit_missing"
        again = replace(ASKING, run=replace(RUN, try_number=2))
        assert not decide(service, [unconsented], USE, again).passes

    def test_a_permit_of_before_is_worth_nothing_while_it_lasts(self, tmp_path: Path, clock: Clock) -> None:
        with new_service(tmp_path / "other", clock) as service:
            add_account(service, "acme")
            say(service, event("acme"))
            data = tagged(service, chat_file(tmp_path, ["acme"]))
            decide(service, [data], USE, ASKING)
            agree(service, "mode", mode="observe", until=format_instant(clock.now + timedelta(days=1)))
            assert refused(service, data) == "permit_mismatch"


class TestBreakGlass:
    SCAN = use(feature="spam_scanning", model="ss-1")

    @pytest.fixture(autouse=True)
    def scanner(self, service: Service) -> None:
        record_model(service, "ss-1", Ownership.FIRST_PARTY, ["spam_scanning"], "registry", by="eve", via="cli")
        say(service, event("acme", features=["spam_scanning"]))

    def glass(self, service: Service, clock: Clock, hours: int = 4) -> int:
        until = format_instant(clock.now + timedelta(hours=hours))
        return agree(service, "break_glass", dag_id=RUN.dag_id, run_id=RUN.run_id, expires_at=until)

    def test_it_lifts_what_is_undecided_and_marks_everything(
        self, service: Service, data: Dataset, clock: Clock
    ) -> None:
        assert decide(service, [data], self.SCAN, ASKING).reasons == ["policy_undecided"]
        index = self.glass(service, clock)
        outcome = decide(service, [data], self.SCAN, replace(ASKING, run=replace(RUN, try_number=2)))
        assert (outcome.allowed, outcome.passes, outcome.override) == (False, True, index)
        permit = verify_permit(outcome.permits["train"], service.pinned_keys, now=clock.now)
        assert (permit.override, permit.offline) == (index, False)
        with service.ledger.read() as reader:
            assert reader.entry(outcome.index).body["decision"]["verdict"] == "block"
        assert f'"override": {index}' in str(service.ledger.outbox_event(f"decision/{outcome.index}"))
        assert redeemed(service, data, wanted=self.SCAN).permit == permit

    def test_another_run_gets_nothing_of_it(self, service: Service, data: Dataset, clock: Clock) -> None:
        self.glass(service, clock)
        other = replace(RUN, run_id="manual__2")
        assert not decide(service, [data], self.SCAN, replace(ASKING, run=other)).passes

    def test_it_lifts_no_missing_consent(self, service: Service, unconsented: Dataset, clock: Clock) -> None:
        self.glass(service, clock)
        for wanted in (USE, self.SCAN):
            run = replace(RUN, try_number=2 if wanted == USE else 3)
            assert not decide(service, [unconsented], wanted, replace(ASKING, run=run)).passes

    def test_it_lifts_no_deny(self, service: Service, data: Dataset, clock: Clock) -> None:
        self.glass(service, clock)
        assert not decide(service, [data], use(model="llm-x"), ASKING).passes

    def test_a_withdrawal_still_wins(self, service: Service, data: Dataset, clock: Clock) -> None:
        self.glass(service, clock)
        assert decide(service, [data], self.SCAN, ASKING).passes
        say(service, event("acme", "withdraw", effective_at=format_instant(clock.now)))
        assert refused(service, data, wanted=self.SCAN) == "consent_withdrawn"

    def test_its_permit_ends_with_it(self, service: Service, data: Dataset, clock: Clock) -> None:
        until = format_instant(clock.now + timedelta(minutes=10))
        agree(service, "break_glass", dag_id=RUN.dag_id, run_id=RUN.run_id, expires_at=until)
        decide(service, [data], self.SCAN, ASKING)
        clock.forward(minutes=11)
        assert refused(service, data, wanted=self.SCAN) == "permit_expired"


class TestFeeds:
    def test_a_source_that_is_behind_blocks_the_gate(self, service: Service, data: Dataset, clock: Clock) -> None:
        report_watermark(service, "console", clock.now, by="service:console", via="api")
        clock.forward(hours=25)
        assert decide(service, [data], USE, ASKING).reasons == ["stale_feed"]

    def test_and_a_permit_that_is_still_young(self, service: Service, data: Dataset, clock: Clock) -> None:
        report_watermark(service, "console", clock.now, by="service:console", via="api")
        clock.forward(hours=23, minutes=30)
        assert decide(service, [data], USE, ASKING).allowed
        clock.forward(minutes=31)
        assert refused(service, data) == "stale_feed"
        report_watermark(service, "console", clock.now, by="service:console", via="api")
        assert redeemed(service, data, replace(TRAIN, try_number=2)).permit is not None


class TestKeys:
    def test_what_a_retired_key_signed_is_redeemed(self, service: Service, data: Dataset) -> None:
        decide(service, [data], USE, ASKING)
        agree(service, "key_rotation")
        assert redeemed(service, data).permit is not None

    def test_what_a_revoked_key_signed_is_not(self, service: Service, data: Dataset) -> None:
        decide(service, [data], USE, ASKING)
        agree(service, "key_revocation", key_id=service.key.key_id)
        assert refused(service, data) == "permit_mismatch"
        decide(service, [data], USE, replace(ASKING, run=replace(RUN, try_number=2)))
        assert redeemed(service, data, replace(TRAIN, try_number=2)).permit is not None


class TestDeclassification:
    def test_two_people_vouch_for_a_version_until_it_ends(
        self, service: Service, unconsented: Dataset, clock: Clock, tmp_path: Path
    ) -> None:
        blocked = decide(service, [unconsented], USE, ASKING)
        assert not blocked.allowed
        until = format_instant(clock.now + timedelta(minutes=30))
        digest = blocked.versions[0].digest
        agree(
            service,
            "declassification",
            uri=unconsented.uri,
            digest=digest,
            removes=["chat"],
            expires_at=until,
            **VOUCHED,
        )
        outcome = decide(service, [unconsented], USE, replace(ASKING, run=replace(RUN, try_number=2)))
        assert outcome.allowed
        assert outcome.record["datasets"][0]["categories"] == ["aggregated_anonymous"]
        assert outcome.record["stands_until"] == until
        clock.forward(minutes=30)
        assert refused(service, unconsented) == "permit_expired"
        ended = decide(service, [unconsented], USE, replace(ASKING, run=replace(RUN, try_number=3)))
        assert not ended.allowed
        assert ended.record["datasets"][0]["categories"] == ["chat"]

    def test_other_bytes_are_not_covered(self, service: Service, unconsented: Dataset, clock: Clock, tmp_path) -> None:
        digest = decide(service, [unconsented], USE, ASKING).versions[0].digest
        until = format_instant(clock.now + timedelta(days=30))
        agree(
            service,
            "declassification",
            uri=unconsented.uri,
            digest=digest,
            removes=["chat"],
            expires_at=until,
            **VOUCHED,
        )
        tagged(service, chat_file(tmp_path, ["zeta"], "unconsented.jsonl"))
        other = decide(service, [unconsented], USE, replace(ASKING, run=replace(RUN, try_number=2)))
        assert not other.allowed
        assert other.record["datasets"][0]["categories"] == ["chat"]

    def test_a_declassification_after_the_permit_ends_it(self, service: Service, data: Dataset, clock: Clock) -> None:
        digest = decide(service, [data], USE, ASKING).versions[0].digest
        until = format_instant(clock.now + timedelta(days=30))
        agree(service, "declassification", uri=data.uri, digest=digest, removes=["chat"], expires_at=until, **VOUCHED)
        assert refused(service, data) == "permit_mismatch"


class TestExposure:
    def test_a_withdrawal_during_training_is_recorded_with_its_window(
        self, service: Service, data: Dataset, clock: Clock
    ) -> None:
        decide(service, [data], USE, ASKING)
        right = redeemed(service, data)
        clock.forward(minutes=5)
        say(service, event("acme", "withdraw", effective_at=format_instant(clock.now)))
        since = clock.now
        clock.forward(minutes=7)
        for _ in range(2):
            with pytest.raises(PermitRefused) as caught:
                check_still_standing(service, right)
        assert caught.value.reason == "consent_withdrawn"
        with service.ledger.read() as reader:
            (exposure,) = reader.entries("exposure")
        body = exposure.body
        assert (body["redemption"], body["reason"]) == (right.index, "consent_withdrawn")
        assert (body["since"], body["noticed"]) == (format_instant(since), format_instant(clock.now))
        assert "acme" not in exposure.payload.decode()

    def test_a_policy_may_let_it_go_on(self, service: Service, data: Dataset, clock: Clock) -> None:
        from gate.policy.table import parse_policy
        from gate.service.core import activate_policy

        with service.ledger.read() as reader:
            table = service.policy(reader).table
        going_on = parse_policy(json.dumps({**table, "on_withdrawal": "continue"}), "going-on")
        activate_policy(service, going_on, by="eve", via="cli")
        decide(service, [data], USE, ASKING)
        right = redeemed(service, data)
        say(service, event("acme", "withdraw", effective_at=format_instant(clock.now)))
        check_still_standing(service, right)
        assert kinds(service).count("exposure") == 1

    def test_a_try_that_goes_on_after_a_deferral_outlasts_its_permit_but_not_its_consents(
        self, service: Service, data: Dataset, clock: Clock
    ) -> None:
        decide(service, [data], USE, ASKING)
        right = redeemed(service, data)
        clock.forward(hours=3)
        assert redeemed(service, data).index == right.index
        assert refused(service, data, replace(TRAIN, try_number=2)) == "permit_expired"
        say(service, event("acme", "withdraw", effective_at=format_instant(clock.now)))
        with pytest.raises(PermitRefused) as caught:
            redeemed(service, data)
        assert caught.value.reason == "consent_withdrawn"
        assert kinds(service).count("exposure") == 1
