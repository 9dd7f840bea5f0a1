"""The lock: what a permit is worth when training starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gate.domain.consent import Profile
from gate.domain.words import Ownership
from gate.errors import PermitRefused
from gate.ledger.references import known_refs
from gate.policy.table import load_policy
from gate.service import deciding
from gate.service.consents import record_model, record_profile
from gate.service.core import Service, activate_policy
from gate.service.deciding import decide
from gate.service.redeeming import refusal_of_run
from gate.service.tagging import tag_dataset
from gate.service.worker import check_still_standing, redeem
from support.world import ASKING, RUN, TRAIN, USE, Clock, add_account, chat_file, event, new_service, say, use


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        for account in ("acme", "zeta"):
            add_account(opened, account)
            say(opened, event(account))
        yield opened


@pytest.fixture
def data(service: Service, tmp_path: Path):
    data = chat_file(tmp_path, ["acme"] * 3)
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    assert decide(service, [data], USE, ASKING).allowed
    return data


def redeemed(service: Service, data, run=TRAIN, wanted=USE):
    return redeem(service, run, [data], wanted, by="service:airflow")


def refused(service: Service, data, **changes) -> str:
    with pytest.raises(PermitRefused) as caught:
        redeemed(service, data, **changes)
    return str(caught.value.reason)


def test_a_permit_is_redeemed_once_per_try(service: Service, data) -> None:
    first = redeemed(service, data)
    assert redeemed(service, data).index == first.index
    assert redeemed(service, data, run=replace(TRAIN, try_number=2)).index > first.index
    assert redeemed(service, data, run=replace(TRAIN, map_index=0)).index > first.index


def test_no_permit_for_another_run_task_or_dag(service: Service, data) -> None:
    for change in ({"run_id": "manual__2"}, {"task_id": "train2"}, {"dag_id": "copy"}):
        assert refused(service, data, run=replace(TRAIN, **change)) == "permit_missing"


def test_another_use_or_dataset_is_refused(service: Service, data, tmp_path: Path) -> None:
    assert refused(service, data, wanted=use("tune")) == "permit_mismatch"
    assert refused(service, data, wanted=use(feature="x")) == "permit_mismatch"
    assert refused(service, data, wanted=use("infer")) == "permit_mismatch"
    assert refused(service, chat_file(tmp_path, ["acme"], "other.jsonl")) == "permit_mismatch"


def test_a_withdrawal_in_between_wins_and_is_named(service: Service, data) -> None:
    say(service, event("acme", "withdraw", effective_at="2023-12-31T00:00:00Z"), via="cli")
    assert refused(service, data) == "consent_withdrawn"
    entry = refusal_of_run(service, TRAIN.dag_id, TRAIN.run_id)
    assert entry is not None
    assert entry.body["reason"] == "consent_withdrawn"


def test_a_pre_dated_withdrawal_wins_too(service: Service, data) -> None:
    say(service, event("acme", "withdraw", effective_at="2023-08-20T00:00:00Z"))
    assert refused(service, data) == "consent_withdrawn"


def test_a_withdrawal_is_found_though_the_account_was_erased_while_it_was_decided(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision names accounts by references that it looked up before its turn; one of them stands no more."""

    def looked_up(reader, kind, values):
        known = known_refs(reader, kind, values)
        with service.ledger.write() as tx:
            assert tx.erase([known.refs["acme"]]) == 1
        return known

    data = chat_file(tmp_path, ["acme"] * 3)
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    monkeypatch.setattr(deciding, "known_refs", looked_up)
    assert decide(service, [data], USE, ASKING).allowed
    monkeypatch.undo()
    say(service, event("acme", "withdraw", effective_at="2023-12-31T00:00:00Z"), via="cli")
    refused(service, data)  # for one of several reasons: nothing of what was erased counts


def test_another_account_does_not_matter(service: Service, data) -> None:
    say(service, event("zeta", "withdraw"))
    assert redeemed(service, data)


@pytest.mark.parametrize(
    ("touch", "reason"),
    [
        (lambda s: record_profile(s, "acme", Profile(region="DE"), by="eve", via="cli"), "permit_mismatch"),
        (lambda s: say(s, event("acme", effective_at="2023-11-01T00:00:00Z")), "permit_mismatch"),
        (
            lambda s: record_model(s, "ms-1", Ownership.THIRD_PARTY, ["*"], "sold", by="eve", via="cli"),
            "permit_mismatch",
        ),
        (lambda s: _activate(s, "strict"), "permit_mismatch"),
    ],
    ids=["profile", "grant", "model", "policy"],
)
def test_whatever_the_decision_rested_on(
    service: Service, data, touch: Callable[[Service], object], reason: str
) -> None:
    touch(service)
    assert refused(service, data) == reason


def _activate(service: Service, name: str) -> None:
    activate_policy(service, load_policy(name), by="eve", via="cli")


def test_new_tags_of_the_dataset(service: Service, data) -> None:
    tag_dataset(service, data, ["chat", "phi"], by="service:airflow", via="airflow")
    assert refused(service, data) == "permit_mismatch"


def test_changed_swapped_or_missing_data(service: Service, data, tmp_path: Path) -> None:
    chat_file(tmp_path, ["acme"] * 4)
    assert refused(service, data) == "dataset_changed"
    Path(data.name).unlink()
    assert refused(service, data) == "dataset_changed"


def test_an_expired_permit(service: Service, data, clock: Clock) -> None:
    clock.forward(minutes=61)
    assert refused(service, data) == "permit_expired"


def test_a_foreign_ledgers_permit(service: Service, data, tmp_path: Path) -> None:
    with new_service(tmp_path / "elsewhere") as other:
        add_account(other, "acme")
        with service.ledger.read() as reader:
            permit = reader.latest("permit")
        assert permit is not None
        with other.ledger.write() as tx:
            tx.append("permit", permit.subject, permit.body, recorded_at=other.clock(), by="service:x", via="airflow")
        assert refused(other, data) == "permit_mismatch"


def test_standing_is_looked_at_again_during_training(service: Service, data) -> None:
    permit = redeemed(service, data)
    check_still_standing(service, permit)
    say(service, event("acme", "withdraw", effective_at="2023-12-31T00:00:00Z"))
    with pytest.raises(PermitRefused) as caught:
        check_still_standing(service, permit)
    assert caught.value.reason == "consent_withdrawn"


def test_a_gate_that_decided_again_ends_its_older_permits(service: Service, data, clock: Clock) -> None:
    with service.ledger.read() as reader:
        older = reader.latest("permit")
    assert older is not None
    clock.forward(minutes=1)
    decide(service, [data], use("tune"), replace(ASKING, run=replace(RUN, try_number=2)))
    assert refused(service, data) == "permit_mismatch"


def test_training_may_outlast_its_permit_but_not_its_consent(service: Service, data, clock: Clock) -> None:
    permit = redeemed(service, data)
    clock.forward(hours=3)
    check_still_standing(service, permit)
    with service.ledger.read() as reader:
        assert reader.entry(permit.permit.decision_index).body["stands_until"] is None


def test_a_consent_that_ends_during_training_is_noticed(service: Service, tmp_path: Path, clock: Clock) -> None:
    add_account(service, "brief")
    say(service, event("brief", expires_at="2024-01-01T02:00:00Z"))
    data = chat_file(tmp_path, ["brief"], "brief.jsonl")
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    assert decide(service, [data], USE, ASKING).allowed
    permit = redeemed(service, data)
    clock.forward(minutes=119)
    check_still_standing(service, permit)
    clock.forward(minutes=1)
    with pytest.raises(PermitRefused) as caught:
        check_still_standing(service, permit)
    assert caught.value.reason == "permit_expired"


def test_a_subset_rests_on_its_sources_tags_and_on_the_gates_last_word(service: Service, tmp_path: Path) -> None:
    from gate.service.subsetting import decide_on_subset

    add_account(service, "silent")
    source = chat_file(tmp_path, ["acme", "silent"], "mixed.jsonl")
    tag_dataset(service, source, ["chat"], by="service:airflow", via="airflow")
    whole = decide(service, [source], USE, ASKING)
    assert decide_on_subset(service, whole, USE, ASKING).allowed
    permit = redeemed(service, source)
    again = replace(ASKING, run=replace(RUN, try_number=2))
    tag_dataset(service, source, ["chat", "phi"], by="service:airflow", via="airflow")
    with pytest.raises(PermitRefused, match="tags changed"):
        check_still_standing(service, permit)
    assert not decide(service, [source], USE, again).allowed
    with pytest.raises(PermitRefused, match="decided again"):
        check_still_standing(service, permit)


def test_a_refusal_does_not_repeat_itself_in_the_ledger(service: Service, data) -> None:
    say(service, event("acme", "withdraw", effective_at="2023-12-31T00:00:00Z"))
    refused(service, data)
    refused(service, data)
    with service.ledger.read() as reader:
        assert len(list(reader.entries("refusal"))) == 1
    assert RUN.dag_id == TRAIN.dag_id
