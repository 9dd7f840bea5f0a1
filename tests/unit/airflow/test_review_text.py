"""What a reviewer reads in Airflow: counts, the clause, what would unblock it; data stays data, and nobody is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gate.airflow.login import ISSUER as LOGIN_ISSUER
from gate.airflow.operators import ConsentGateOperator
from gate.airflow.review import (
    MAX_FINDINGS,
    Asked,
    body,
    checked_reviewers,
    code,
    fenced,
    is_timeout,
    read_event,
    subject,
)
from gate.domain.dataset import dataset
from gate.domain.decision import wanted_use
from gate.domain.run import TaskRun
from gate.errors import InputError
from gate.service.answers import ISSUER, LABELS, Answer, offered
from gate.service.outcome import Outcome
from support.decisions import blocked

pytestmark = pytest.mark.airflow

RUN = TaskRun("train_summary", "manual__1", "consent_gate")
ASKED = Asked(RUN, 1, RUN.task_id, tuple(LABELS))
AT = datetime(2026, 11, 21, 12, 0, 0, 250, tzinfo=UTC)
EVENT = {
    "chosen_options": ["Check again"],
    "params_input": {"note": " soon \0"},
    "responded_at": AT,
    "responded_by_user": {"id": "ada", "name": "Ada"},
    "timedout": False,
}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a|b\n| c |",
    "```\n# big",
    "`` ` ``",
    "[click](javascript:alert(1))",
    "https://evil.example www.evil.example",
    "\u202etxt.exe\u200b",
    "x" * 500,
    "|" * 30,
    "`",
]


def outcome(**changes: Any) -> Outcome:
    record = {
        "decision": replace(blocked(), **changes).to_dict(),
        "rows_blocked": 1234,
        "accounts_blocked": 2,
        "run": RUN.to_dict(),
    }
    return Outcome(record, 41, "sha256:00")


def text(**changes: Any) -> str:
    return body(outcome(**changes), offered(blocked()), "/dags/x")


def test_it_says_what_is_missing_what_unblocks_it_and_what_each_answer_does() -> None:
    said = text()
    assert "In all **2 accounts, 1,234 rows**, as of 2026-11-21 12:00 UTC (ledger entry 41)." in said
    assert "| `lake/meetings` | `audio` | `Z-07` | 2 | 30 | `consent_withdrawn, no_consent` |" in said
    assert "- an owner or admin of each account must grant share_for_training" in said
    assert "[All findings, the accounts and the next steps](/dags/x)" in said
    for label in LABELS.values():
        assert f"- **{label}**: " in said
    assert "No answer is a consent" in said


def test_a_subset_is_offered_only_where_consent_is_all_that_is_missing() -> None:
    assert offered(blocked()) == list(LABELS)
    assert offered(blocked(subset_possible=False)) == [Answer.CHECK_AGAIN, Answer.KEEP_BLOCKED]


def test_a_long_table_is_cut() -> None:
    one = blocked().findings[0]
    said = text(findings=tuple(replace(one, dataset=f"d{n}") for n in range(MAX_FINDINGS + 7)))
    assert "| and 7 more |" in said
    assert said.count("| `Z-07` |") == MAX_FINDINGS


@pytest.mark.parametrize("name", HOSTILE)
def test_data_means_nothing_to_markdown(name: str) -> None:
    finding = replace(blocked().findings[0], dataset=name.replace("/", "_"))
    said = text(findings=(finding,))
    table = [line for line in said.partition("In all ")[2].split("\n") if line.startswith("|")]
    assert len(table) == 3
    cells = table[2].replace("\\|", "").strip("|").split(" | ")
    assert len(cells) == 6
    span = code(name)
    ticks = len(span) - len(span.lstrip("`"))
    assert "`" * ticks not in span[ticks:-ticks]
    assert not {"\n", "\u202e", "\u200b"} & set(span)
    block = fenced(name).split("\n")
    fence = block[0].removesuffix("text")
    assert all(fence not in line for line in block[1:-1])
    assert "\n" not in subject(outcome(use=replace(blocked().use, model=name)))


def test_an_answer_is_read() -> None:
    answer = read_event(EVENT, ASKED, 41, ())
    assert (answer.answer, answer.responder, answer.answered_at, answer.note) == (
        Answer.CHECK_AGAIN,
        "airflow|ada",
        AT,
        "soon",
    )
    assert read_event(EVENT | {"responded_at": AT.isoformat()}, ASKED, 41, ()) == answer
    assert ISSUER == LOGIN_ISSUER


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"chosen_options": []}, Answer.INVALID),
        ({"chosen_options": None}, Answer.INVALID),
        ({"chosen_options": ["Check again", "Keep blocked"]}, Answer.INVALID),
        ({"chosen_options": ["check_again"]}, Answer.INVALID),
        ({"chosen_options": ["Approve"]}, Answer.INVALID),
        ({"responded_by_user": None}, Answer.TIMED_OUT),
        ({"responded_at": None}, Answer.TIMED_OUT),
        ({"timedout": True}, Answer.TIMED_OUT),
        ({"error": "late", "error_type": "timeout"}, Answer.TIMED_OUT),
    ],
    ids=repr,
)
def test_what_is_no_answer_lets_nothing_on(changes: dict[str, Any], expected: Answer) -> None:
    event = EVENT | changes
    assert read_event(event, ASKED, 41, ()).answer is expected
    assert is_timeout(event) == ("error" in changes or "timedout" in changes)


def test_an_option_that_was_not_offered_is_none() -> None:
    asked = replace(ASKED, options=(Answer.CHECK_AGAIN, Answer.KEEP_BLOCKED))
    event = EVENT | {"chosen_options": [LABELS[Answer.SUBSET]]}
    assert read_event(event, asked, 41, ()).answer is Answer.INVALID


def test_somebody_who_was_not_asked_changes_nothing() -> None:
    assert read_event(EVENT, ASKED, 41, checked_reviewers(["bob"], "x")).answer is Answer.NOT_ASSIGNED
    assert read_event(EVENT, ASKED, 41, checked_reviewers(["bob", "ada"], "x")).answer is Answer.CHECK_AGAIN


@pytest.mark.parametrize("note", [None, "", "  ", 7, ["x"], "\0"], ids=repr)
def test_no_note(note: object) -> None:
    assert read_event(EVENT | {"params_input": {"note": note}}, ASKED, 41, ()).note is None


def test_a_question_survives_being_parked() -> None:
    asked = ASKED.next("consent_gate#check-1")
    kept = asked.to_kwargs()
    assert kept == {"number": 2, "about": "consent_gate#check-1", "options": ["check_again", "subset", "keep_blocked"]}
    assert asked.decided == replace(RUN, task_id="consent_gate#check-1")
    assert asked.next().about == "consent_gate#check-1"


@pytest.mark.parametrize("people", [[], [""], [{}], [{"name": "Ada"}], [{"id": "a", "mail": "x"}], [7]], ids=repr)
def test_reviewers_are_airflow_users(people: Any) -> None:
    with pytest.raises((InputError, TypeError)):
        gate(on_block="review", reviewers=people)


def test_reviewers_are_named_as_airflow_wants_them() -> None:
    operator = gate(on_block="review", reviewers=["ada", {"id": "7", "name": "Bob"}])
    assert operator.reviewers == ({"id": "ada", "name": "ada"}, {"id": "7", "name": "Bob"})


@pytest.mark.parametrize(
    "wrong",
    [{"on_block": "pass"}, {"reviewers": ["ada"]}, {"on_block": "review", "review_timeout": timedelta(0)}],
    ids=repr,
)
def test_mistakes_show_when_the_dag_is_parsed(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        gate(**wrong)


def gate(**options: Any) -> ConsentGateOperator:
    wanted = wanted_use("train", feature="f", model="m")
    return ConsentGateOperator(task_id="g", datasets=[dataset("/lake/x.csv", "account_id")], use=wanted, **options)
