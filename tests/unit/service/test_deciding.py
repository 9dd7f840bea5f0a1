"""What the gate answers, records and permits, from real files and a real ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gate.domain.dataset import DatasetVersion, dataset
from gate.domain.run import TaskRun
from gate.errors import DatasetError, InputError, KeyLost
from gate.service.core import Service
from gate.service.deciding import check, decide, decision_of_run
from gate.service.decisions import lacking_accounts
from gate.service.differential import differential
from gate.service.subsetting import decide_on_subset
from gate.service.tagging import tag_dataset
from support.world import ASKING, RUN, TRAIN, USE, Clock, add_account, chat_file, event, new_service, say, use


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        yield opened


def tag(service: Service, data, declare=("chat",), via: str = "airflow"):
    return tag_dataset(service, data, declare, by="service:airflow", via=via)


def reasons(service: Service, *datasets, wanted=USE) -> list[str]:
    return [reason.value for reason in check(service, datasets, wanted)[0].reasons]


class TestAllowed:
    @pytest.fixture
    def data(self, service: Service, tmp_path: Path):
        add_account(service, "acme")
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme"] * 3)
        tag(service, data)
        return data

    def test_consented_data_gets_a_permit_for_the_consumer(self, service: Service, data) -> None:
        outcome = decide(service, [data], USE, ASKING)
        assert outcome.allowed
        assert list(outcome.permits) == ["train"]
        assert outcome.record["decision"]["content_owner"] == "customer"

    def test_the_decision_stands_before_its_permit_and_with_its_event(self, service: Service, data) -> None:
        outcome = decide(service, [data], USE, ASKING)
        with service.ledger.read() as reader:
            kinds = [entry.kind for entry in reader.entries(start=outcome.index)]
        assert kinds == ["decision", "permit"]
        run = json.loads(service.ledger.outbox_event(f"decision/{outcome.index}"))["run"]
        assert run["facets"]["gate_decision"]["verdict"] == "allow"

    def test_asking_again_under_the_same_try_adds_nothing(self, service: Service, data, clock: Clock) -> None:
        first = decide(service, [data], USE, ASKING)
        clock.forward(minutes=5)
        second = decide(service, [data], USE, ASKING)
        assert (second.index, second.permits) == (first.index, first.permits)

    def test_the_next_try_decides_anew(self, service: Service, data) -> None:
        first = decide(service, [data], USE, ASKING)
        second = decide(service, [data], USE, replace(ASKING, run=replace(RUN, try_number=2)))
        assert second.index > first.index

    def test_inference_gets_no_permit(self, service: Service, data) -> None:
        infer = event("acme", toggle="enable_feature", purposes=["infer"], notice=None)
        say(service, infer)
        outcome = decide(service, [data], use("infer"), ASKING)
        assert outcome.allowed
        assert not outcome.permits

    def test_a_permit_ends_when_a_consent_does(self, service: Service, data, clock: Clock) -> None:
        soon = (clock.now + timedelta(minutes=10)).isoformat()
        say(service, event("acme", effective_at="2023-10-01T00:00:00Z", expires_at=soon))
        from gate.permits.permit import verify_permit

        permit = verify_permit(
            decide(service, [data], USE, ASKING).permits["train"], service.pinned_keys, now=clock.now
        )
        assert permit.expires_at == clock.now + timedelta(minutes=10)

    def test_other_accounts_consents_do_not_shorten_it(self, service: Service, data, clock: Clock) -> None:
        from gate.permits.permit import verify_permit

        add_account(service, "zeta")
        say(service, event("zeta", expires_at=(clock.now + timedelta(minutes=1)).isoformat()))
        permits = decide(service, [data], USE, ASKING).permits
        permit = verify_permit(permits["train"], service.pinned_keys, now=clock.now)
        assert permit.expires_at == clock.now + timedelta(hours=1)

    def test_decision_of_run_finds_it(self, service: Service, data) -> None:
        outcome = decide(service, [data], USE, ASKING)
        found = decision_of_run(service, RUN.dag_id, RUN.run_id)
        assert found is not None
        assert found.index == outcome.index
        assert decision_of_run(service, RUN.dag_id, "manual__10") is None


class TestBlocked:
    def test_untagged_data(self, service: Service, tmp_path: Path) -> None:
        add_account(service, "acme")
        say(service, event("acme"))
        assert "unclassified_data" in reasons(service, chat_file(tmp_path, ["acme"]))

    def test_data_that_changed_since_it_was_tagged(self, service: Service, tmp_path: Path) -> None:
        add_account(service, "acme")
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme"])
        tag(service, data)
        chat_file(tmp_path, ["acme", "acme"])
        assert {"stale_tag", "unclassified_data"} <= set(reasons(service, data))

    def test_names_who_lacks_consent_only_beside_the_ledger(self, service: Service, tmp_path: Path) -> None:
        add_account(service, "acme")
        data = chat_file(tmp_path, ["acme", "acme", "zeta"])
        tag(service, data)
        outcome = decide(service, [data], USE, ASKING)
        assert {"no_consent", "terms_unknown"} <= set(outcome.reasons)
        assert not outcome.permits
        with service.ledger.read() as reader:
            entry = reader.entry(outcome.index)
            named = {name for _, top in lacking_accounts(reader, entry) for name, _ in top}
        assert named == {"acme", "zeta"}
        assert b"acme" not in entry.payload
        assert b"zeta" not in entry.payload

    def test_rows_without_an_account(self, service: Service, tmp_path: Path) -> None:
        add_account(service, "acme")
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme", None])
        tag(service, data)
        assert reasons(service, data) == ["unattributed_rows"]

    def test_third_party_and_unregistered_models(self, service: Service, tmp_path: Path) -> None:
        add_account(service, "acme")
        say(service, event("acme", ownership=["first_party", "third_party"]))
        data = chat_file(tmp_path, ["acme"])
        tag(service, data)
        assert "third_party_model" in reasons(service, data, wanted=use(model="llm-x"))
        assert "unknown_model_owner" in reasons(service, data, wanted=use(model="nobody-knows"))

    def test_a_model_registered_for_another_feature(self, service: Service, tmp_path: Path) -> None:
        add_account(service, "acme")
        say(service, event("acme", features="*"))
        data = chat_file(tmp_path, ["acme"])
        tag(service, data)
        assert "wrong_feature" in reasons(service, data, wanted=use(feature="ad_ranking"))

    def test_a_second_locator_needs_a_person(self, service: Service, tmp_path: Path) -> None:
        add_account(service, "acme")
        say(service, event("acme"))
        path = tmp_path / "chat.csv"
        path.write_text("account_id,vendor\nzeta,acme\n", "utf-8")
        honest = dataset(str(path), "account_id")
        sly = dataset(str(path), "vendor")
        tag(service, honest)
        tag(service, sly)
        assert "tag_conflict" in reasons(service, sly)
        tag(service, sly, via="cli")
        assert reasons(service, sly) == []

    def test_a_constant_account_needs_a_person(self, service: Service, tmp_path: Path) -> None:
        add_account(service, "acme")
        say(service, event("acme"))
        data = replace(chat_file(tmp_path, ["zeta"]), account=dataset("/x", "constant:acme").account)
        tag(service, data)
        assert "tag_conflict" in reasons(service, data)
        assert not any("acme" in note for note in tag(service, data).notes), "notes go into logs"
        tag(service, data, via="cli")
        assert reasons(service, data) == []

    def test_no_datasets(self, service: Service) -> None:
        with pytest.raises(InputError, match="no datasets"):
            decide(service, [], USE, ASKING)

    @pytest.mark.parametrize("break_it", ["missing", "empty", "no_column"])
    def test_broken_data_cannot_be_decided(self, service: Service, tmp_path: Path, break_it: str) -> None:
        path = tmp_path / "x.csv"
        if break_it != "missing":
            path.write_text("" if break_it == "empty" else "a,b\n1,2\n", "utf-8")
        with pytest.raises(DatasetError) as caught:
            decide(service, [dataset(str(path), "account_id")], USE, ASKING)
        assert caught.value.exit_code == 4
        with service.ledger.read() as reader:
            assert reader.latest("decision") is None


class TestSubset:
    def test_keeps_only_who_agreed(self, service: Service, tmp_path: Path) -> None:
        for account in ("acme", "zeta"):
            add_account(service, account)
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme", "zeta", None, "acme"])
        tag(service, data)
        whole = decide(service, [data], USE, ASKING)
        assert whole.decision.subset_possible
        outcome = decide_on_subset(service, whole, USE, ASKING)
        assert outcome.allowed
        [version] = outcome.versions
        assert version.stands_for(data)
        lines = Path(version.dataset.name).read_text("utf-8").splitlines()
        assert [json.loads(line)["account_id"] for line in lines] == ["acme", "acme"]

    def test_is_never_possible_over_a_deny(self, service: Service, tmp_path: Path) -> None:
        add_account(service, "acme")
        data = chat_file(tmp_path, ["acme"])
        tag(service, data)
        assert not check(service, [data], use(model="llm-x"))[0].subset_possible


class TestDifferential:
    def test_many_histories_agree_account_by_account(self, service: Service, tmp_path: Path) -> None:
        histories = {
            "granted": [event("granted")],
            "withdrawn": [event("withdrawn"), event("withdrawn", "withdraw", effective_at="2023-10-01T00:00:00Z")],
            "refused": [event("refused", "refuse")],
            "expired": [event("expired", expires_at="2023-12-01T00:00:00Z")],
            "feature": [event("feature", features=["other"])],
            "silent": [],
        }
        for account, events in histories.items():
            add_account(service, account)
            say(service, *events)
        data = chat_file(tmp_path, [*histories, "stranger", None, *histories])
        tag(service, data)
        assert differential(service, [data], USE) == []
        decision = check(service, [data], USE)[0]
        assert (decision.rows_blocked, decision.accounts_blocked) == (12, 6)


def test_a_lost_key_stops_everything_and_is_not_replaced(tmp_path: Path) -> None:
    with new_service(tmp_path / "home") as service:
        add_account(service, "acme")
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme"])
        tag(service, data)
        service.settings.key_path.unlink()
    from gate.service.core import open_service, set_up

    with open_service(service.settings, clock=Clock()) as reopened, pytest.raises(KeyLost):
        decide(reopened, [data], USE, ASKING)
    with pytest.raises(KeyLost):
        set_up(service.settings)
    assert not service.settings.key_path.exists()


def test_a_lost_ledger_is_not_replaced(tmp_path: Path) -> None:
    from gate.errors import LedgerUnavailable
    from gate.service.core import open_service, set_up
    from gate.service.settings import read_settings

    settings = read_settings({"GATE_HOME": str(tmp_path / "home")})
    open_service(settings).close()
    for leftover in settings.home.glob("ledger.db*"):
        leftover.unlink()
    with pytest.raises(LedgerUnavailable):
        open_service(settings)
    with pytest.raises(LedgerUnavailable, match="the keys of one are here"):
        set_up(settings)
    assert not list(settings.home.glob("ledger.db*"))


def test_first_use_can_be_raced(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from gate.service.core import open_service
    from gate.service.settings import read_settings

    settings = read_settings({"GATE_HOME": str(tmp_path / "home")})

    def first_use(_: int) -> int:
        with open_service(settings) as service, service.ledger.read() as reader:
            return reader.size

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(first_use, range(8))) == {3}


def test_versions_survive_the_ledger(service: Service, tmp_path: Path) -> None:
    add_account(service, "acme")
    data = chat_file(tmp_path, ["acme"])
    tagged = tag(service, data)
    outcome = decide(service, [data], USE, ASKING)
    assert outcome.versions == (tagged.version,)
    assert isinstance(outcome.versions[0], DatasetVersion)
    assert TaskRun.from_dict(outcome.record["run"]) == RUN
    assert TRAIN.key != RUN.key


def test_a_dataset_named_twice_is_one(service: Service, tmp_path: Path) -> None:
    add_account(service, "acme")
    say(service, event("acme"))
    data = chat_file(tmp_path, ["acme"])
    tag(service, data)
    outcome = decide(service, [data, data], USE, ASKING)
    assert outcome.allowed
    assert len(outcome.versions) == 1


def test_strict_needs_the_participants_accounts(service: Service, tmp_path: Path) -> None:
    from gate.policy.table import load_policy

    for account in ("acme", "zeta"):
        add_account(service, account)
        say(service, event(account))
    host_only = chat_file(tmp_path, ["acme"])
    tag(service, host_only)
    path = tmp_path / "meetings.jsonl"
    path.write_text('{"accounts": ["acme", "zeta"]}\n', "utf-8")
    everybody = dataset(str(path), "accounts")
    tag(service, everybody)
    strict = load_policy("strict")
    assert "unattributed_rows" in [r.value for r in check(service, [host_only], USE, policy=strict)[0].reasons]
    assert check(service, [everybody], USE, policy=strict)[0].reasons == ()


def test_an_account_blocked_in_two_datasets_counts_once(service: Service, tmp_path: Path) -> None:
    add_account(service, "acme")
    both = [chat_file(tmp_path, ["acme"], f"{name}.jsonl") for name in ("a", "b")]
    for data in both:
        tag(service, data)
    outcome = decide(service, both, USE, ASKING)
    assert (outcome.record["accounts_blocked"], outcome.record["rows_blocked"]) == (1, 2)


def test_data_swapped_while_it_is_counted_cannot_be_decided(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gate.scan import census

    add_account(service, "acme")
    say(service, event("acme"))
    data = chat_file(tmp_path, ["zeta"])
    tag(service, data)
    counted = census.take_census

    def swap_count_swap_back(*args):
        chat_file(tmp_path, ["acme"])
        counts = counted(*args)
        chat_file(tmp_path, ["zeta"])
        return counts

    monkeypatch.setattr(census, "take_census", swap_count_swap_back)
    with pytest.raises(DatasetError) as caught:
        decide(service, [data], USE, ASKING)
    assert caught.value.reason == "dataset_changed"
