"""The index of decisions: complete, extended by what is new, begun anew on another ledger, honest about refusals."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gate.domain.words import Category
from gate.ledger.store import NewEntry
from gate.service.anchors import recording
from gate.service.causes import causes, waiting_rows
from gate.service.core import Service
from gate.service.decision_index import DecisionIndex, Row
from gate.service.decision_list import PLOTTED, Wanted, choices, matching, per_day, row_fields, seen_rows
from gate.service.request_text import escaped, markdown, plain, table
from gate.service.requests import request_of, requests
from support.many_decisions import add_decisions
from support.pages import HIDDEN, demo_service

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROW = Row(
    1, NOW, "dag", "run", "gate", -1, 1, "block", "train", "f", "m", "first_party", ("chat",), ("file:///a",),
    ("no_consent",), 5, 2, False, None, False, "c1",
)  # fmt: skip


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with demo_service(tmp_path) as opened:
        yield opened


@pytest.fixture
def index(service: Service) -> DecisionIndex:
    return DecisionIndex(lambda: service.ledger)


def refuse(service: Service, dag_id: str, run_id: str, **more: object) -> None:
    run = {"dag_id": dag_id, "run_id": run_id, "task_id": "train", "map_index": -1, "try_number": 1}
    body = {"run": run, "reason": "permit_missing", "message": "there is none", **more}
    with recording(service) as tx:
        tx.append_many([NewEntry("refusal", None, body, service.now(tx), "service:airflow", "airflow")])


def again(service: Service, task_id: str, **changes: object) -> None:
    """Record the demo's first decision once more, of a later run."""
    with service.ledger.read() as reader:
        made_from = next(iter(reader.entries("decision"))).body
    run = {**made_from["run"], "run_id": "later", "task_id": task_id}
    body = {**made_from, "run": run, "decision": {**made_from["decision"], **changes}}
    with recording(service) as tx:
        tx.append_many([NewEntry("decision", None, body, service.now(tx), "service:airflow", "airflow")])


def test_rows_are_the_newest_first_and_say_what_was_recorded(index: DecisionIndex) -> None:
    rows = index.rows()
    assert [row.dag_id for row in rows] == [
        HIDDEN, "train_meeting_summary", "train_for_vendor", "train_meeting_summary",
    ]  # fmt: skip
    assert [row.index for row in rows] == sorted((row.index for row in rows), reverse=True)
    oldest = rows[-1]
    assert (oldest.verdict, oldest.purpose, oldest.model, oldest.ownership) == ("block", "train", "ms-1", "first_party")
    assert oldest.categories == ("audio", "chat", "video")
    assert oldest.accounts_blocked == 7
    assert oldest.stopped


def test_what_is_new_is_added_and_nothing_read_twice(service: Service, index: DecisionIndex) -> None:
    before = index.rows()
    assert index.rows() is before
    add_decisions(service, 50)
    after = index.rows()
    assert len(after) == len(before) + 50
    assert all(new is old for new, old in zip(after[-len(before) :], before, strict=True))


def test_threads_that_ask_at_once_get_every_row_once(service: Service, index: DecisionIndex) -> None:
    add_decisions(service, 300)
    with ThreadPoolExecutor(8) as pool:
        lists = list(pool.map(lambda _: index.rows(), range(16)))
    assert {len(rows) for rows in lists} == {304}
    assert len({row.index for row in lists[0]}) == 304


def test_another_ledger_is_read_from_its_beginning(service: Service, tmp_path: Path) -> None:
    with demo_service(tmp_path / "other") as other:
        add_decisions(other, 3)
        opened = [service]
        index = DecisionIndex(lambda: opened[-1].ledger)
        assert len(index.rows()) == 4
        opened.append(other)
        assert len(index.rows()) == 7
        opened.append(service)
        assert len(index.rows()) == 4


@pytest.mark.parametrize("suffix", ["#subset", "#check-2", "#check-2#subset"])
def test_our_suffixes_are_no_part_of_the_task(service: Service, index: DecisionIndex, suffix: str) -> None:
    again(service, f"consent_gate{suffix}")
    newest = index.rows()[0]
    assert newest.task_id == "consent_gate"
    assert newest.subset == suffix.endswith("#subset")


def test_a_refusal_takes_its_use_from_the_runs_decision(service: Service, index: DecisionIndex) -> None:
    refuse(service, "train_for_vendor", "manual__1")
    refuse(service, "unheard_of", "r1")
    unknown, known = index.rows()[:2]
    assert (known.verdict, known.model, known.categories) == ("refused", "vendor-llm", ("chat",))
    assert known.reasons == ("permit_missing",)
    assert (unknown.purpose, unknown.model, unknown.categories) == ("", None, ())
    assert not known.stopped


def test_an_observed_start_is_no_refusal(service: Service, index: DecisionIndex) -> None:
    refuse(service, "train_for_vendor", "manual__1", observed=True, decision=36, reasons=["policy_denied"])
    newest = index.rows()[0]
    assert (newest.verdict, newest.reasons, newest.observed) == ("started", ("policy_denied",), True)
    assert not newest.stopped
    assert newest.cause == ""


def test_equal_obstacles_have_one_cause_and_others_another(index: DecisionIndex) -> None:
    secret, summary, vendor, all_data = index.rows()
    assert secret.cause == summary.cause != ""
    assert len({summary.cause, vendor.cause, all_data.cause}) == 3


def test_an_account_affects_decisions_that_lack_or_permit_it(service: Service, index: DecisionIndex) -> None:
    with service.ledger.read() as reader:
        ref = reader.ref("account", "cascade")
    assert ref is not None
    lacking = index.affecting(ref)
    assert lacking == {row.index for row in index.rows()}
    with recording(service) as tx:
        body = tx.entry(max(lacking)).body
        members = b"".join(sorted([bytes.fromhex(ref), b"\x00" * 32, b"\xff" * 32]))
        lists = {"accounts": tx.attach(members, "application/octet-stream"), "detail": tx.attach(b"[]", "text/json")}
        tx.append_many([NewEntry("decision", "permits", {**body, **lists}, service.now(tx), "service:x", "api")])
    assert index.affecting(ref) == {row.index for row in index.rows()}
    assert index.affecting("00" * 32) == {index.rows()[0].index}
    assert index.affecting("ab" * 32) == frozenset()


def test_conditions_are_all_met() -> None:
    other = replace(ROW, index=2, dag_id="zeta", verdict="allow", recorded_at=NOW - timedelta(days=1), cause="")
    rows = [ROW, other]
    assert matching(rows, Wanted()) == rows
    assert matching(rows, Wanted(verdict="block", category="chat")) == [ROW]
    assert matching(rows, Wanted(text="ZET")) == [other]
    assert matching(rows, Wanted(text="FILE:///A", dag="dag")) == [ROW]
    assert matching(rows, Wanted(since=NOW.date())) == [ROW]
    assert matching(rows, Wanted(until=(NOW - timedelta(days=1)).date())) == [other]
    assert matching(rows, Wanted(account="ab"), frozenset({2})) == [other]
    assert matching(rows, Wanted(account="ab")) == []
    assert matching(rows, Wanted(dag="<nothing>")) == []


def test_each_dag_is_asked_about_once() -> None:
    asked: list[str] = []

    def sees(dag_id: str) -> bool:
        asked.append(dag_id)
        return dag_id != "hidden"

    rows = [replace(ROW, index=number, dag_id=("seen", "hidden")[number % 2]) for number in range(20)]
    assert {row.dag_id for row in seen_rows(rows, sees)} == {"seen"}
    assert sorted(asked) == ["hidden", "seen"]
    assert choices(seen_rows(rows, sees)).dags == ["seen"]


def test_days_without_decisions_count_too() -> None:
    days = per_day([ROW, replace(ROW, recorded_at=NOW - timedelta(days=PLOTTED))], NOW)
    assert len(days) == PLOTTED
    assert (days[-1].day, days[-1].blocked, days[0].blocked) == (NOW.date(), 1, 0)


def test_a_cause_is_open_until_its_gate_gets_another_answer() -> None:
    allowed = replace(ROW, index=5, verdict="allow", cause="", reasons=())
    other_gate = replace(ROW, index=3, task_id="other_gate")
    assert waiting_rows([allowed, ROW]) == []
    (closed,) = causes([allowed, ROW], NOW)
    assert not closed.open
    (still,) = causes([allowed, other_gate, ROW], NOW)
    assert still.open
    assert still.waiting == (other_gate,)
    registered = replace(ROW, index=9, ownership="third_party", cause="c2")
    assert [cause.newest.cause for cause in causes([registered, ROW], NOW) if cause.open] == ["c2"]


def test_requests_name_who_lacks_consent_and_nobody_whom_consent_would_not_help(
    service: Service, index: DecisionIndex
) -> None:
    waiting = waiting_rows(index.rows())
    with service.ledger.read() as reader:
        found = requests(reader, waiting)
        vendor = requests(reader, [row for row in waiting if row.dag_id == "train_for_vendor"])
        asked = {one.name: request_of(service, reader, one) for one in found.listed}
    assert len(found.listed) == 7
    assert not vendor.listed  # the policy forbids it: nobody is asked
    assert asked["cascade"].open[0].said_no
    assert not asked["harbor"].open[0].said_no
    ask = asked["harbor"].open[0]
    assert (ask.toggle, ask.named_feature, ask.purpose, ask.ownership) == (
        "share_for_training", "meeting_summary", "train", "first_party",
    )  # fmt: skip
    assert set(ask.categories) <= set(Category)
    letter = markdown(asked["harbor"])
    assert "harbor" in letter
    assert not any(name in letter for name in asked if name != "harbor")
    assert "train_meeting_summary" not in letter  # a customer's letter names no run of ours
    assert len(list(table(asked["harbor"]))) == len(asked["harbor"].open)


def test_rows_that_several_gates_wait_for_count_once(service: Service, index: DecisionIndex) -> None:
    with service.ledger.read() as reader:
        found = requests(reader, waiting_rows(index.rows()))
    harbor = next(one for one in found.listed if one.name == "harbor")
    assert len(harbor.lacks) == 2  # of the secret DAG, and of the other
    assert harbor.rows == harbor.lacks[0].rows


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert\\(1\\)&lt;/script&gt;"),
        ("[x](javascript:alert(1))", "\\[x\\]\\(javascript:alert\\(1\\)\\)"),
        ("a\n# b\u202e", "a \\# b"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("meeting_summary", "meeting_summary"),
        ("_so_", "\\_so\\_"),
        ("https://evil", "https\\://evil"),
        ("`code`", "\\`code\\`"),
        ("| cell |", "\\| cell \\|"),
        ("\\*", "\\\\\\*"),
    ],
)
def test_markdown_shows_hostile_text_as_it_is(hostile: str, shown: str) -> None:
    assert escaped(hostile) == shown


def test_plain_text_is_one_line() -> None:
    assert plain("a\r\nb\u2028c\u202ed\x00") == "a  b c d"


def test_downloads_hold_everything_of_a_row() -> None:
    fields = row_fields(replace(ROW, override=7))
    assert fields["let_through"] == "break-glass"
    assert fields["categories"] == ["chat"]
