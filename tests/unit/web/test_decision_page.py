"""The reviewer's page: says what happened and what to do, to those who may know, whatever the names hold."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gate.domain.dataset import dataset
from gate.domain.decision import wanted_use
from gate.domain.instants import format_instant
from gate.domain.run import TaskRun
from gate.service.acting import Person
from gate.service.acts import approve, propose
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.outcome import Asking
from gate.service.tagging import tag_dataset
from gate.web.host import Host
from support.anonymity import alike, measured, table_file
from support.pages import HIDDEN, site

Visits = Any  # of the conftest
RUN = {"dag_id": "train_meeting_summary", "run_id": "manual__3"}
ACCOUNTS = ("harbor", "cascade", "delta")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202egnirts\u202c",
    "x" * 500,
    "{{ 7*7 }} {not}",
    "a/b?c#d&e=%00",
)


def index_of(service: Service, dag_id: str) -> int:
    with service.ledger.read() as reader:
        return next(e.idx for e in reader.entries("decision") if e.body["run"]["dag_id"] == dag_id)


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


@pytest.mark.parametrize("role", ["viewer", "auditor", "reviewer", "recorder", "admin", "stranger"])
def test_everybody_who_sees_the_dag_is_told_what_to_do(visits: Visits, role: str) -> None:
    answer = visits(role).get("/ui/run", params=RUN)
    assert answer.status_code == 200
    text = text_of(answer.text)
    assert "train_meeting_summary may not train ms-1 on 3 datasets: 7 accounts have not agreed" in text
    assert "What would unblock this" in text
    assert "Ask 5 accounts to agree" in text
    assert "Leave out the 2 accounts that refused or withdrew" in text
    assert "Then clear the task consent_gate in Airflow" in text
    named = role not in ("viewer", "stranger")
    assert all((name in text) is named for name in ACCOUNTS)
    assert ("admin@harbor" in answer.text) is named


def test_nobody_is_told_anything_without_log_in(visits: Visits) -> None:
    for path in ("/ui/run?dag_id=a&run_id=b", "/ui/decisions/35", "/ui/decisions/35/lineage.json"):
        answer = visits().get(path)
        assert answer.status_code == 401
        assert "harbor" not in answer.text


def test_who_may_not_see_the_dag_learns_nothing_of_it(service: Service, visits: Visits) -> None:
    index = index_of(service, HIDDEN)
    nothing = visits("stranger").get("/ui/decisions/9999999")
    for path in (f"/ui/decisions/{index}", f"/ui/decisions/{index}/lineage.json", f"/ui/run?dag_id={HIDDEN}&run_id=x"):
        answer = visits("stranger").get(path)
        assert answer.status_code == nothing.status_code == 404
        assert text_of(answer.text) == text_of(nothing.text)
    assert visits("viewer").get(f"/ui/decisions/{index}").status_code == 200


@pytest.mark.parametrize("index", ["0", "9999999", str(1 << 61)])
def test_what_is_no_decision_is_not_there(visits: Visits, index: str) -> None:
    assert visits("admin").get(f"/ui/decisions/{index}").status_code == 404
    assert visits("admin").get(f"/ui/decisions/{index}/lineage.json").status_code == 404


def test_the_lineage_event_is_downloaded(service: Service, visits: Visits) -> None:
    index = index_of(service, RUN["dag_id"])
    answer = visits("viewer").get(f"/ui/decisions/{index}/lineage.json")
    assert "attachment" in answer.headers["content-disposition"]
    facet = json.loads(answer.text)["run"]["facets"]["gate_decision"]
    assert facet["verdict"] == "block"


def test_a_denial_says_that_nothing_lifts_it(service: Service, visits: Visits) -> None:
    text = text_of(visits("reviewer").get(f"/ui/decisions/{index_of(service, 'train_for_vendor')}").text)
    assert "the policy forbids third-party models on chat data" in text
    assert "Nothing lifts this" in text
    assert "on_block" not in text
    assert "Ask " not in text
    assert "harbor" not in text  # whose data it is does not matter here


def test_a_look_at_accounts_is_recorded_and_a_look_at_counts_is_not(service: Service, visits: Visits) -> None:
    before = service.ledger_size()
    visits("viewer").get("/ui/run", params=RUN)
    assert service.ledger_size() == before
    visits("auditor").get("/ui/run", params=RUN)
    with service.ledger.read() as reader:
        newest = reader.newest()
    assert newest is not None
    assert newest.kind == "access"


def test_airflows_placeholder_for_a_map_index_is_understood(visits: Visits) -> None:
    answer = visits("viewer").get("/ui/run", params={**RUN, "task_id": "consent_gate", "map_index": "{MAP_INDEX}"})
    assert "may not train ms-1" in answer.text


def test_a_run_of_which_nothing_is_known_says_so_and_what_that_means(visits: Visits) -> None:
    text = text_of(visits("viewer").get("/ui/run?dag_id=some_dag&run_id=manual__1").text)
    assert "Nothing is recorded of this run" in text
    assert "What to do" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(visits: Visits, name: str) -> None:
    answer = visits("admin").get("/ui/run", params={"dag_id": name, "run_id": name, "task_id": name})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text
    assert unescape(answer.text).count(name) >= 3


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_a_decision_are_text(service: Service, visits: Visits, tmp_path: Path, name: str) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"account_id": name, "text": "hello"}) + "\n", "utf-8")
    one = dataset(str(path), "account_id")
    tag_dataset(service, one, ["chat"], by="service:airflow", via="airflow")
    use = wanted_use("train", feature=name, model="ms-1")
    asking = Asking(TaskRun(name, name, name), (name,), "service:airflow", "airflow")
    index = decide(service, [one], use, asking).index
    for address in (f"/ui/decisions/{index}", f"/ui/ledger/{index}"):
        answer = visits("admin").get(address)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "<img" not in answer.text
    assert name in unescape(visits("admin").get(f"/ui/decisions/{index}").text)


def test_account_names_never_stand_in_addresses(visits: Visits) -> None:
    html = visits("admin").get("/ui/run", params=RUN).text
    for address in re.findall(r'(?:href|action|src)="([^"]*)"', html):
        assert not any(name in address for name in ACCOUNTS), address


def test_an_older_decision_points_to_the_newer_one(service: Service, visits: Visits) -> None:
    index = index_of(service, RUN["dag_id"])
    with service.ledger.read() as reader:
        body = reader.entry(index).body
    sets = [dataset(d["version"]["uri"], d["version"]["account"]) for d in body["datasets"]]
    run = replace(TaskRun.from_dict(body["run"]), try_number=2)
    use = wanted_use("train", feature="meeting_summary", model="ms-1")
    newer = decide(service, sets, use, Asking(run, ("train",), "service:airflow", "airflow")).index
    html = visits("viewer").get(f"/ui/decisions/{index}").text
    assert f"/ui/decisions/{newer}" in html
    assert "There is a newer decision" in html
    assert "This run so far" in html
    assert f"/ui/decisions/{index}" in visits("viewer").get("/ui/run", params=RUN).text


def test_a_declassification_is_shown_with_method_and_evidence(service: Service, visits: Visits, tmp_path: Path) -> None:
    hostile = "<b>age</b>"
    data = table_file(tmp_path, alike(6, 9), header=f"{hostile},area")
    tag_dataset(service, data, ["telemetry"], by="service:airflow", via="airflow")
    how = measured(data)
    what = {"uri": data.uri, "digest": how["evidence"]["digest"], "removes": ["telemetry"]}
    until = format_instant(service.now() + timedelta(days=9))
    params = {**what, "expires_at": until, **how}
    index = propose(service, "declassification", params, "ticket 17", by=Person("airflow", "ada"))
    effect = approve(service, index, by=Person("airflow", "bob"))
    use = wanted_use("train", feature="meeting_summary", model="ms-1")
    asking = Asking(TaskRun("train_anonymous", "manual__1", "gate"), ("train",), "service:airflow", "airflow")
    answer = visits("admin").get(f"/ui/decisions/{decide(service, [data], use, asking).index}").text
    assert f"declassified by two people: k_anonymity, k = 6 (5 asked) over {hostile}, area" in unescape(
        answer.replace("<bdi>", "").replace("</bdi>", "")
    )
    assert hostile not in answer
    assert f"/ui/ledger/{effect.idx}" in answer


def test_the_page_is_whole_for_a_screen_reader(visits: Visits) -> None:
    html = visits("admin").get("/ui/run", params=RUN).text
    assert html.count("<h1>") == 1
    assert all('scope="' in cell for cell in re.findall(r"<th\b[^>]*>", html))
    assert " style=" not in html
    for label in re.findall(r'aria-labelledby="([^"]+)"', html):
        assert html.count(f'id="{label}"') == 1


def test_a_gate_that_airflow_has_parked_says_where_to_answer(service: Service) -> None:
    def parked(run: TaskRun) -> bool:
        return (run.dag_id, run.task_id) == ("train_meeting_summary", "consent_gate")

    client = TestClient(site(service, Host(airflow="", parked=parked)), headers={"X-Person": "ada viewer"})
    asked = {"dag_id": "train_meeting_summary", "run_id": "manual__3", "task_id": "consent_gate"}
    page = text_of(client.get("/ui/run", params=asked).text)
    assert "Waiting for a review" in page
    assert "Answer in Airflow" in page
    other = {**asked, "dag_id": "train_for_vendor", "run_id": "manual__1"}
    assert "Waiting for a review" not in text_of(client.get("/ui/run", params=other).text)
