"""A withdrawal races the redemption of a permit, in real processes: the ledger's order decides, always."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from gate.domain.dataset import Dataset
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.settings import Settings
from gate.service.tagging import tag_dataset
from support.world import ASKING, RUN, TRAIN, USE, add_account, chat_file, event, new_service, reopen, say

ROUNDS = 12
WAIT = 60  # seconds after which a stuck process fails the test


def _run_id(number: int) -> str:
    return f"manual__{number}"


def withdraw_in_rounds(settings: Settings, barrier: Barrier) -> None:
    with reopen(settings) as service:
        for number in range(ROUNDS):
            barrier.wait(WAIT)
            say(service, event(f"acme-{number}", "withdraw", effective_at="2023-12-31T00:00:00Z"), via="cli")


def redeem_in_rounds(settings: Settings, barrier: Barrier, datasets: list[Dataset]) -> None:
    from gate.errors import PermitRefused
    from gate.service.worker import redeem

    with reopen(settings) as service:
        for number, data in enumerate(datasets):
            run = replace(TRAIN, run_id=_run_id(number))
            barrier.wait(WAIT)
            try:
                redeem(service, run, [data], USE, by="service:airflow")
            except PermitRefused:
                continue


def test_no_training_starts_after_a_withdrawal_it_ignores(ledger_url: str, tmp_path: Path) -> None:
    with new_service(tmp_path / "home", url=ledger_url) as service:
        datasets = [_permitted(service, tmp_path, number) for number in range(ROUNDS)]
        settings = service.settings
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    racers = [
        spawn.Process(target=withdraw_in_rounds, args=(settings, barrier)),
        spawn.Process(target=redeem_in_rounds, args=(settings, barrier, datasets)),
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(WAIT)
    assert [racer.exitcode for racer in racers] == [0, 0]
    _check_order(settings)


def _permitted(service: Service, folder: Path, number: int) -> Dataset:
    account = f"acme-{number}"
    add_account(service, account)
    say(service, event(account))
    data = chat_file(folder, [account], f"chat-{number}.jsonl")
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    outcome = decide(service, [data], USE, replace(ASKING, run=replace(RUN, run_id=_run_id(number))))
    assert outcome.allowed
    return data


def _check_order(settings: Settings) -> None:
    with reopen(settings) as service, service.ledger.read() as reader:
        redeemed = {entry.body["run"]["run_id"]: entry.idx for entry in reader.entries("redemption")}
        refused = {entry.body["run"]["run_id"]: entry.body["reason"] for entry in reader.entries("refusal")}
        withdrawn = {}
        for entry in reader.entries("consent"):
            if entry.body["action"] == "withdraw":
                withdrawn[str(reader.open_ref(entry.body["account_ref"]))] = entry.idx
    assert len(withdrawn) == ROUNDS
    for number in range(ROUNDS):
        run_id, withdrawal = _run_id(number), withdrawn[f"acme-{number}"]
        if run_id in redeemed:
            assert redeemed[run_id] < withdrawal
            assert run_id not in refused
        else:
            assert refused[run_id] == "consent_withdrawn"


@pytest.mark.parametrize("gates", [4])
def test_racing_gates_of_one_try_leave_one_decision(ledger_url: str, tmp_path: Path, gates: int) -> None:
    with new_service(tmp_path / "home", url=ledger_url) as service:
        add_account(service, "acme")
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme"])
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        settings = service.settings
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(gates)
    racers = [spawn.Process(target=_decide_once, args=(settings, barrier, data)) for _ in range(gates)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(WAIT)
    assert [racer.exitcode for racer in racers] == [0] * gates
    with reopen(settings) as service, service.ledger.read() as reader:
        assert len(list(reader.entries("decision"))) == 1
        assert len(list(reader.entries("permit"))) == 1


def _decide_once(settings: Settings, barrier: Barrier, data: Dataset) -> None:
    with reopen(settings) as service:
        barrier.wait(WAIT)
        assert decide(service, [data], USE, ASKING).allowed


def _withdraw_some(settings: Settings, barrier: Barrier, mine: int) -> None:
    with reopen(settings) as service:
        barrier.wait(WAIT)
        for number in range(mine, CROWD_ROUNDS, 2):
            say(service, event(f"acme-{number}", "withdraw", effective_at="2023-12-31T00:00:00Z"), via="cli")


def _redeem_tries(settings: Settings, barrier: Barrier, datasets: list[Dataset], attempt: int) -> None:
    from gate.errors import PermitRefused
    from gate.service.worker import redeem

    with reopen(settings) as service:
        barrier.wait(WAIT)
        for number, data in enumerate(datasets):
            run = replace(TRAIN, run_id=_run_id(number), try_number=attempt)
            try:
                redeem(service, run, [data], USE, by="service:airflow")
            except PermitRefused:
                continue


CROWD_ROUNDS = 8


def test_a_crowd_of_processes_withdraws_and_redeems(ledger_url: str, tmp_path: Path) -> None:
    """Two processes withdraw while three redeem every permit, each as another try of the same task."""
    with new_service(tmp_path / "home", url=ledger_url) as service:
        datasets = [_permitted(service, tmp_path, number) for number in range(CROWD_ROUNDS)]
        settings = service.settings
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(5)
    racers = [spawn.Process(target=_withdraw_some, args=(settings, barrier, mine)) for mine in (0, 1)]
    racers += [spawn.Process(target=_redeem_tries, args=(settings, barrier, datasets, n)) for n in (1, 2, 3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(WAIT)
    assert [racer.exitcode for racer in racers] == [0] * 5
    with reopen(settings) as service, service.ledger.read() as reader:
        withdrawn = {
            str(reader.open_ref(str(entry.account_ref))): entry.idx
            for entry in reader.entries("consent")
            if entry.body["action"] == "withdraw"
        }
        redeemed = [(e.body["run"]["run_id"], e.idx) for e in reader.entries("redemption")]
        refused = [(e.body["run"]["run_id"], e.idx) for e in reader.entries("refusal")]
        assert {e.body["reason"] for e in reader.entries("refusal")} <= {"consent_withdrawn"}
    assert len(redeemed) + len(refused) == 3 * CROWD_ROUNDS
    place = {_run_id(number): withdrawn[f"acme-{number}"] for number in range(CROWD_ROUNDS)}
    assert all(idx < place[run_id] for run_id, idx in redeemed), "training started over a withdrawal"
    assert all(idx > place[run_id] for run_id, idx in refused), "a refusal without a cause"
