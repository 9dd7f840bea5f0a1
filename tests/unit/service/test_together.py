"""Redemptions that share a transaction: each gets its own answer, none before the commit, and all of them the order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from time import sleep
from typing import Any

import pytest

from gate.domain.run import Confirmed, TaskRun
from gate.errors import CannotDecide, GateError, LedgerUnavailable, PermitRefused
from gate.ledger.store import Entry, Ledger, NewEntry, Question, Transaction, open_ledger
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.outcome import Asking
from gate.service.tagging import tag_dataset
from gate.service.together import MOST, Together, Work
from gate.service.worker import redeem
from support.ledgers import check, fresh
from support.world import ASKING, RUN, START, TRAIN, USE, add_account, chat_file, event, new_service, say

WAIT = 60  # seconds after which a stuck thread fails the test


@pytest.fixture
def service(ledger_url: str, tmp_path: Path) -> Iterator[Service]:
    with new_service(tmp_path / "home", url=ledger_url) as opened:
        opened.together = Together()
        yield opened


def new(number: int) -> NewEntry:
    return NewEntry("tag", str(number), {"number": number}, START, "service:test", "import")


class Gathering:
    """Holds the first transaction open until all the others wait, so that the next one is theirs together."""

    def __init__(self, together: Together, url: str) -> None:
        self.together = together
        self.url = url
        self.held, self.go = Event(), Event()

    def play(self, works: list[Callable[[], Any]]) -> list[Any]:
        with closing(open_ledger(self.url)) as ledger:
            holder = Thread(target=lambda: self._hold(ledger))
            holder.start()
            assert self.held.wait(WAIT)
            with ThreadPoolExecutor(len(works)) as pool:
                futures = [pool.submit(_outcome, work) for work in works]
                while len(self.together._waiting) < len(works):
                    assert not any(future.done() for future in futures)
                    sleep(0.005)
                self.go.set()
                results = [future.result(WAIT) for future in futures]
            holder.join(WAIT)
        return results

    def _hold(self, ledger: Ledger) -> None:
        with suppress(GateError):
            self.together.perform(lambda: self._begin(ledger), Work((), _never))

    @contextmanager
    def _begin(self, ledger: Ledger) -> Iterator[Any]:
        self.held.set()
        assert self.go.wait(WAIT)
        with ledger.write() as tx:
            yield tx


def _never(*_: object) -> NewEntry:
    raise PermitRefused("only holds the place")


def _outcome(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except BaseException as error:  # noqa: BLE001  compared by the test
        return error


def test_those_that_wait_share_one_commit_and_get_their_own_answers(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        together, begun = Together(), []

        @contextmanager
        def begin() -> Iterator[Transaction]:
            with ledger.write() as tx:
                begun.append(tx)
                yield tx

        def add(number: int) -> Callable[[], Any]:
            def judge(_: Transaction, answers: Sequence[list[Entry]]) -> NewEntry:
                if number == 3:
                    raise PermitRefused("not this one")
                assert answers == [[], []]
                return new(min(number, 6))  # the last two say the same

            questions = (Question("tag", subject=str(number)), Question("key"))
            return lambda: together.perform(begin, Work(questions, judge))

        answers = Gathering(together, ledger_url).play([add(number) for number in range(8)])
        assert len(begun) == 1
        assert isinstance(answers.pop(3), PermitRefused)
        assert sorted(answer.entry.idx for answer in answers) == [0, 1, 2, 3, 4, 5, 5]
        assert [answer.new for answer in answers].count(False) == 1
        assert {answer.head.size for answer in answers} == {6}
        with ledger.read() as reader:
            assert {answer.head for answer in answers} == {reader.head()}
    assert check(ledger_url).ok


def test_more_than_one_transaction_holds_are_spread_over_several(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        together = Together()

        def add(number: int) -> Callable[[], Any]:
            return lambda: together.perform(ledger.write, Work((Question("key"),), lambda *_: new(number)))

        answers = Gathering(together, ledger_url).play([add(number) for number in range(MOST + 5)])
        assert sorted(answer.entry.idx for answer in answers) == list(range(MOST + 5))
    assert check(ledger_url).ok


def test_a_transaction_that_fails_fails_all_of_them_and_the_next_is_its_own(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        together = Together()

        @contextmanager
        def breaking() -> Iterator[Transaction]:
            with ledger.write() as tx:
                yield tx
                raise LedgerUnavailable("the disk is full")

        def add() -> Any:
            return together.perform(breaking, Work((Question("key"),), lambda tx, _: new(tx.size)))

        answers = Gathering(together, ledger_url).play([add] * 4)
        assert all(isinstance(answer, LedgerUnavailable) for answer in answers)
        with ledger.read() as reader:
            assert reader.size == 0
        assert together.perform(ledger.write, Work((Question("key"),), lambda *_: new(0))).entry.idx == 0


def test_whoever_is_interrupted_while_working_for_others_hands_on(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        together, begun = Together(), []

        @contextmanager
        def interrupted() -> Iterator[Transaction]:
            begun.append(True)
            with ledger.write() as tx:
                yield tx
                if len(begun) == 1:
                    raise KeyboardInterrupt

        def add(number: int) -> Callable[[], Any]:
            return lambda: together.perform(interrupted, Work((Question("key"),), lambda *_: new(number)))

        answers = Gathering(together, ledger_url).play([add(number) for number in range(MOST + 3)])
        kinds = [type(answer) for answer in answers]
        assert kinds.count(KeyboardInterrupt) == 1  # it is not ours to hide
        assert kinds.count(CannotDecide) == MOST - 1
        with ledger.read() as reader:
            assert reader.size == 3
    assert check(ledger_url).ok


def _at_once(works: list[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(WAIT) for future in [pool.submit(_outcome, work) for work in works]]


def permitted(service: Service, folder: Path, run: TaskRun = RUN, **changes: Any) -> Any:
    data = chat_file(folder, ["acme"], f"{run.run_id}.jsonl")
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    asking = Asking(run, ASKING.consumers, ASKING.by, ASKING.via, **changes)
    assert decide(service, [data], USE, asking).allowed
    return data


def test_redemptions_race_a_withdrawal_through_shared_transactions(service: Service, tmp_path: Path) -> None:
    for account in ("acme", "bolt"):
        add_account(service, account)
        say(service, event(account))
    runs = [replace(RUN, run_id=f"manual__{number}") for number in range(4)]
    data = {run.run_id: permitted(service, tmp_path, run) for run in runs}

    def train(run_id: str, number: int) -> Callable[[], Any]:
        run = replace(TRAIN, run_id=run_id, try_number=number)
        return lambda: redeem(service, run, [data[run_id]], USE, by="service:airflow")

    works = [train(run.run_id, number) for number in range(1, 7) for run in runs]
    works.insert(9, lambda: say(service, event("acme", "withdraw", effective_at="2023-12-31T00:00:00Z"), via="cli"))
    answers = _at_once(works)
    assert {type(answer).__name__ for answer in answers} <= {"Redeemed", "PermitRefused", "NoneType"}
    with service.ledger.read() as reader:
        withdrawn = reader.latest("consent")
        redeemed = list(reader.entries("redemption"))
        refused = list(reader.entries("refusal"))
    assert withdrawn is not None
    assert all(entry.idx < withdrawn.idx for entry in redeemed)
    assert {entry.body["reason"] for entry in refused} <= {"consent_withdrawn"}
    assert len(redeemed) + len(refused) == 24
    kept = {answer.index for answer in answers if type(answer).__name__ == "Redeemed"}
    assert kept == {entry.idx for entry in redeemed}
    assert check(service.settings.database_url).ok


def test_one_permit_for_a_triggered_run_is_not_shared_with_another_in_the_same_transaction(
    service: Service, tmp_path: Path
) -> None:
    add_account(service, "acme")
    say(service, event("acme"))
    data = permitted(service, tmp_path, elsewhere=(("other", "train"),))
    service.confirm = lambda run: Confirmed(((RUN.dag_id, RUN.run_id),))

    def train(run_id: str) -> Callable[[], Any]:
        run = TaskRun("other", run_id, "train")
        return lambda: redeem(service, run, [data], USE, by="service:airflow")

    answers = _at_once([train("a"), train("b")])
    assert sorted(type(answer).__name__ for answer in answers) == ["PermitRefused", "Redeemed"]


def test_the_same_try_asking_twice_at_once_is_one_redemption(service: Service, tmp_path: Path) -> None:
    add_account(service, "acme")
    say(service, event("acme"))
    data = permitted(service, tmp_path)
    together = service.together
    assert together is not None
    works = [lambda: redeem(service, TRAIN, [data], USE, by="service:airflow")] * 3
    answers = Gathering(together, service.settings.database_url).play(works)
    assert len({answer.index for answer in answers}) == 1


def test_a_clock_that_cannot_be_right_lets_nobody_through(service: Service, tmp_path: Path) -> None:
    add_account(service, "acme")
    say(service, event("acme"))
    data = permitted(service, tmp_path)
    service.clock.forward(hours=-1)  # type: ignore[attr-defined]
    with pytest.raises(CannotDecide, match="behind the ledger"):
        redeem(service, TRAIN, [data], USE, by="service:airflow")
