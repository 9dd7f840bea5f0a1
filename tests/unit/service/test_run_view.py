"""What the ledger knows of a run, and the sentence that says it, over real decisions, permits and refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gate.domain.run import TaskRun
from gate.errors import PermitRefused
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.outcome import Asking
from gate.service.reviewer_view import Shown, Viewer, lineage_event, show_decision, show_run
from gate.service.run_view import Asked, read_map_index
from gate.service.subsetting import decide_on_subset
from gate.service.tagging import tag_dataset
from gate.service.worker import redeem
from support.world import ASKING, RUN, TRAIN, USE, Clock, add_account, chat_file, event, new_service, say

ALL = Viewer(lambda dag_id: True, named=True, actor="service:test", parked=lambda run: False)
COUNTS = replace(ALL, named=False)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with new_service(tmp_path / "home", Clock()) as opened:
        for account in ("acme", "zeta"):
            add_account(opened, account)
        say(opened, event("acme"))
        yield opened


def data(service: Service, folder: Path, accounts: list[str | None], run: TaskRun | None = None):
    one = chat_file(folder, accounts)
    tag_dataset(service, one, ["chat"], by="service:airflow", via="airflow", run=run)
    return one


def shown(service: Service, task_id: str | None = None, viewer: Viewer = ALL) -> Shown:
    return show_run(service, Asked(RUN.dag_id, RUN.run_id, task_id), viewer)


def again(number: int) -> Asking:
    return replace(ASKING, run=replace(RUN, try_number=number))


def test_nothing_is_known_of_a_run_nobody_recorded(service: Service) -> None:
    assert shown(service).headline.word == "Nothing recorded"
    assert shown(service, "train").headline.word == "Nothing recorded"


def test_a_block_names_accounts_and_rows(service: Service, tmp_path: Path) -> None:
    decide(service, [data(service, tmp_path, ["acme", "zeta", "zeta"])], USE, ASKING)
    found = shown(service, "consent_gate")
    assert found.headline.sentence == (
        "train_summary may not train ms-1 on 1 dataset: 1 of 2 accounts has not agreed (2 of 3 rows)."
    )
    assert found.rested is not None
    (zeta,) = found.rested.lacking.shown
    assert (zeta.name, zeta.rows, zeta.reasons, zeta.admins) == ("zeta", 2, ("no_consent",), ("admin@zeta",))
    assert not zeta.passes_now
    assert shown(service, "train").headline.word == "Not started"
    assert shown(service).rested is not None


def test_an_answer_that_came_since_says_so(service: Service, tmp_path: Path) -> None:
    decide(service, [data(service, tmp_path, ["acme", "zeta"])], USE, ASKING)
    say(service, event("zeta"))
    rested = shown(service).rested
    assert rested is not None
    assert rested.lacking.pass_now == 1
    assert rested.lacking.shown[0].reasons == ("no_consent",)  # as it was when it was decided
    assert rested.lacking.shown[0].said[0].since
    assert rested.steps[0].title.startswith("Clear the task consent_gate")


def test_what_is_not_known_is_named_before_the_denial_it_leads_to(service: Service, tmp_path: Path) -> None:
    decide(service, [chat_file(tmp_path, ["acme"])], USE, ASKING)  # nobody tagged it
    found = shown(service)
    assert "nobody has said what kind of data it is" in found.headline.sentence
    assert found.rested is not None
    assert "tag it" in found.rested.steps[0].title


def test_an_answer_of_some_is_no_reason_to_decide_again(service: Service, tmp_path: Path) -> None:
    add_account(service, "beta")
    decide(service, [data(service, tmp_path, ["acme", "beta", "zeta"])], USE, ASKING)
    say(service, event("zeta"))
    rested = shown(service).rested
    assert rested is not None
    assert rested.lacking.pass_now == 1
    assert rested.steps[0].link == "requests"


def test_a_newer_decision_takes_over_and_the_older_one_points_to_it(service: Service, tmp_path: Path) -> None:
    one = data(service, tmp_path, ["acme", "zeta"])
    first = decide(service, [one], USE, ASKING)
    say(service, event("zeta"))
    second = decide(service, [one], USE, again(2))
    assert second.allowed
    run = shown(service)
    assert run.view.decision is not None
    assert run.view.decision.idx == second.index
    old = show_decision(service, first.index, ALL)
    assert old is not None
    assert old.view.newer is not None
    assert old.view.newer.idx == second.index


def test_a_training_task_shows_permit_then_redemption_then_refusal(service: Service, tmp_path: Path) -> None:
    one = data(service, tmp_path, ["acme"])
    decide(service, [one], USE, ASKING)
    assert "a permit waits" in shown(service, "train").headline.sentence
    assert "training has not started" in shown(service, "consent_gate").headline.more
    redeem(service, TRAIN, [one], USE, by="service:airflow")
    assert shown(service, "train").headline.word == "Permitted"
    say(service, event("acme", "withdraw", effective_at="2023-12-01T00:00:00Z"))
    with pytest.raises(PermitRefused):
        redeem(service, replace(TRAIN, try_number=2), [one], USE, by="service:airflow")
    task, gate = shown(service, "train"), shown(service, "consent_gate")
    assert task.headline.word == "Refused"
    assert gate.headline.word == "Training refused"
    assert task.rested is not None
    assert [step.command for step in task.rested.steps] == ['on_block="subset"', None]
    assert task.rested.steps[-1].link == "gate_task"
    assert [one.kind for one in task.view.history] == ["decision", "redemption", "refusal"]


def test_a_training_without_a_gate_is_refused_and_shown(service: Service, tmp_path: Path) -> None:
    with pytest.raises(PermitRefused):
        redeem(service, TRAIN, [chat_file(tmp_path, ["acme"])], USE, by="service:airflow")
    found = shown(service, "train")
    assert found.headline.word == "Refused"
    assert found.rested is None


def test_a_subset_belongs_to_its_gate(service: Service, tmp_path: Path) -> None:
    blocked = decide(service, [data(service, tmp_path, ["acme", "zeta"])], USE, ASKING)
    decide_on_subset(service, blocked, USE, ASKING, str(tmp_path / "subsets"))
    found = shown(service, "consent_gate")
    assert found.headline.word == "Subset allowed"
    assert "1 row" in found.headline.sentence
    old = show_decision(service, blocked.index, ALL)
    assert old is not None
    assert old.view.newer is not None


def test_a_tag_task_shows_what_it_recorded(service: Service, tmp_path: Path) -> None:
    tagger = TaskRun(RUN.dag_id, RUN.run_id, "tag")
    one = data(service, tmp_path, ["acme"], run=tagger)
    assert shown(service, "tag").headline.sentence == "The task tag tagged 1 dataset: chat."  # before any decision
    decide(service, [one], USE, ASKING)
    assert len(shown(service, "tag").tags) == 1
    other = shown(service, "tag_another")
    assert other.view.role == "other"
    assert other.rested is not None  # the run's decision: what somebody who opens it wants to know


def test_mapped_tasks_are_told_apart(service: Service, tmp_path: Path) -> None:
    one = data(service, tmp_path, ["acme", "zeta"])
    decide(service, [one], USE, replace(ASKING, run=replace(RUN, map_index=0)))
    decide(service, [one], USE, replace(ASKING, run=replace(RUN, map_index=1)))
    first = show_run(service, Asked(RUN.dag_id, RUN.run_id, "consent_gate", 0), ALL)
    assert first.view.decision is not None
    assert first.view.decision.body["run"]["map_index"] == 0
    assert len(first.view.others) == 1


@pytest.mark.parametrize(
    ("text", "index"), [("{MAP_INDEX}", -1), ("", -1), ("-1", -1), ("3", 3), ("x", -1), ("9" * 30, -1), ("٣", -1)]
)
def test_map_indices_as_airflow_writes_them(text: str, index: int) -> None:
    assert read_map_index(text) == index


def test_looking_at_accounts_leaves_a_trace_and_counting_does_not(service: Service, tmp_path: Path) -> None:
    decide(service, [data(service, tmp_path, ["acme", "zeta"])], USE, ASKING)
    before = service.ledger_size()
    counted = shown(service, viewer=COUNTS)
    assert service.ledger_size() == before
    assert counted.rested is not None
    assert all(one.name is None for step in counted.rested.steps for one in step.accounts)
    shown(service)
    with service.ledger.read() as reader:
        newest = reader.newest()
    assert newest is not None
    assert (newest.kind, newest.body["page"]) == ("access", "decision")


def test_an_erased_account_is_shown_as_erased(service: Service, tmp_path: Path) -> None:
    decide(service, [data(service, tmp_path, ["acme", "zeta"])], USE, ASKING)
    with service.ledger.write() as tx:
        tx.erase([tx.commit_ref("account", "zeta")])
    rested = shown(service).rested
    assert rested is not None
    (zeta,) = rested.lacking.shown
    assert zeta.name is None
    assert not zeta.passes_now


def test_a_decision_of_another_dag_is_not_shown_to_who_may_not_see_it(service: Service, tmp_path: Path) -> None:
    index = decide(service, [data(service, tmp_path, ["acme", "zeta"])], USE, ASKING).index
    blind = replace(ALL, sees=lambda dag_id: dag_id != RUN.dag_id)
    assert show_decision(service, index, blind) is None
    assert lineage_event(service, index, blind.sees) is None
    assert lineage_event(service, index, ALL.sees) is not None


@pytest.mark.parametrize("index", [0, 10_000_000])
def test_only_decisions_are_decisions(service: Service, index: int) -> None:
    assert show_decision(service, index, ALL) is None


def test_a_reviewers_answers_are_told_with_their_names(service: Service, tmp_path: Path) -> None:
    one = data(service, tmp_path, ["acme", "zeta"])

    def answer(decision: int, word: str) -> None:
        with service.ledger.write() as tx:
            person = "person:" + tx.commit_ref("person", "airflow|olga")
            body = {"run": RUN.to_dict(), "decision": decision, "answer": word, "responder": person}
            at = service.now(tx)
            tx.append("review", f"{RUN.key}/{decision}", body, recorded_at=at, by="service:airflow", via="airflow")

    first = decide(service, [one], USE, ASKING)
    answer(first.index, "check_again")
    second = replace(RUN, task_id="consent_gate#check-2")
    checked = decide(service, [one], USE, replace(ASKING, run=second))
    waiting = shown(service, "consent_gate")
    assert waiting.headline.word == "Waiting for a review"
    assert list(waiting.people.values()) == ["airflow|olga"]
    assert shown(service, viewer=COUNTS).people == {}
    answer(checked.index, "keep_blocked")
    assert shown(service, "consent_gate").headline.more == "A reviewer kept it blocked."
