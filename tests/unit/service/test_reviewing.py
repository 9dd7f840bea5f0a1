"""A reviewer's answer as it travels, and what is asked of Airflow when two workers hand it over at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from gate.domain.run import TaskRun
from gate.errors import PermitRefused
from gate.service.answers import LABELS, Answer, ReviewAnswer
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.decisions import checked_run, gate_of
from gate.service.reviewing import decide_again, record_review
from gate.service.tagging import tag_dataset
from support.world import ASKING, RUN, START, USE, add_account, chat_file, event, new_service, say

BY = {"by": "service:airflow", "via": "airflow"}
ANSWER = ReviewAnswer(RUN, 0, 1, Answer.KEEP_BLOCKED, tuple(LABELS), "airflow|ada", START, "a note")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with new_service(tmp_path / "home") as opened:
        opened.confirm_review = lambda answer: None
        add_account(opened, "acme")
        yield opened


@pytest.fixture
def blocked(service: Service, tmp_path: Path) -> int:
    data = chat_file(tmp_path, ["acme"])
    tag_dataset(service, data, ["chat"], **BY)
    outcome = decide(service, [data], USE, ASKING)
    assert not outcome.passes
    return outcome.index


@pytest.mark.parametrize(
    "answer", [ANSWER, replace(ANSWER, answer=Answer.TIMED_OUT, responder=None, answered_at=None, note=None)]
)
def test_an_answer_travels_unchanged(answer: ReviewAnswer) -> None:
    assert ReviewAnswer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer


def test_the_runs_of_a_gates_decisions_lead_back_to_it() -> None:
    again = checked_run(RUN, 3)
    assert again.task_id == "consent_gate#check-3"
    for run in (RUN, again, replace(again, task_id=again.task_id + "#subset"), checked_run(again, 4)):
        assert gate_of(run) == RUN
    assert gate_of(TaskRun("d", "r", "group.gate", 2, 5)) == TaskRun("d", "r", "group.gate", 2, 5)


def test_the_decision_before_the_question_may_be_one_after_a_review(service: Service, blocked: int) -> None:
    data = next(iter(_versions(service, blocked)))
    again = decide_again(service, [data], USE, ASKING, 1)
    index = record_review(service, replace(ANSWER, decision=again.index, round=2), **BY)
    with service.ledger.read() as reader:
        assert reader.entry(index).body["decision"] == again.index


def test_two_different_answers_at_once_leave_one(service: Service, blocked: int) -> None:
    together = Barrier(2, timeout=30)
    service.confirm_review = lambda answer: together.wait() and None

    def hand_over(answer: Answer) -> int | str:
        try:
            return record_review(service, replace(ANSWER, decision=blocked, answer=answer), **BY)
        except PermitRefused as refusal:
            return refusal.message

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(hand_over, (Answer.CHECK_AGAIN, Answer.KEEP_BLOCKED)))
    assert sorted(type(answer).__name__ for answer in answers) == ["int", "str"]
    with service.ledger.read() as reader:
        assert len(list(reader.entries("review"))) == 1


def test_an_answer_whose_person_was_erased_is_another(service: Service, blocked: int) -> None:
    answer = replace(ANSWER, decision=blocked)
    index = record_review(service, answer, **BY)
    with service.ledger.write() as tx:
        ref = tx.ref("person", "airflow|ada")
        assert ref is not None
        tx.erase([ref])
    with pytest.raises(PermitRefused):
        record_review(service, answer, **BY)
    with service.ledger.read() as reader:
        assert reader.entry(index).body["responder"] == f"person:{ref}"
        assert reader.open_ref(ref) is None


def test_consent_recorded_after_the_question_counts_only_in_the_next_decision(service: Service, blocked: int) -> None:
    (data,) = _versions(service, blocked)
    say(service, event("acme"))
    record_review(service, replace(ANSWER, decision=blocked, answer=Answer.CHECK_AGAIN), **BY)
    with service.ledger.read() as reader:
        assert reader.latest("permit") is None
    assert decide_again(service, [data], USE, ASKING, 1).allowed


def _versions(service: Service, index: int) -> list:
    from gate.service.decisions import read_outcome

    with service.ledger.read() as reader:
        return [version.dataset for version in read_outcome(reader, reader.entry(index)).versions]
