"""The list of decisions, causes and requests, as people of every role see them; hostile names, filters, downloads."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from gate.ledger.store import NewEntry
from gate.service.anchors import recording
from gate.service.core import Service
from gate.web.downloads import cell
from gate.web.plot import plot
from support.many_decisions import add_decisions
from support.pages import HIDDEN

Visits = Callable[..., TestClient]

FOR_RUNS = ["/ui/decisions", "/ui/decisions.csv", "/ui/decisions.json", "/ui/causes"]
FOR_ACCOUNTS = ["/ui/requests", "/ui/requests.csv"]
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u202egpj.exe", "x" * 500, "=1+1"]


def ref_of(service: Service, account_id: str) -> str:
    with service.ledger.read() as reader:
        found = reader.ref("account", account_id)
    assert found is not None
    return found


def form_token(client: TestClient, path: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', client.get(path).text)
    assert found
    return found[1]


def add_hostile(service: Service, name: str) -> None:
    """Record a block whose every text is hostile, with one account of a hostile name."""
    with recording(service) as tx:
        body = next(iter(tx.entries("decision"))).body
        ref = tx.commit_ref("account", name)
        detail = json.dumps([{"accounts": [[ref, 3]], "finding": 0}]).encode()
        run = {"dag_id": name, "run_id": name, "task_id": name, "map_index": -1, "try_number": 1}
        version = {**body["datasets"][0]["version"], "uri": f"file:///{name}"}
        use = {**body["decision"]["use"], "model": name, "feature": name}
        finding = {**body["decision"]["findings"][0], "dataset": name, "accounts": 1}
        decision = {**body["decision"], "use": use, "findings": [finding]}
        body = {
            **body, "run": run, "datasets": [{**body["datasets"][0], "version": version}], "decision": decision,
            "detail": tx.attach(detail, "application/json"),
        }  # fmt: skip
        tx.append_many([NewEntry("decision", None, body, service.now(tx), "service:x", "api")])


@pytest.mark.parametrize("path", [*FOR_RUNS, *FOR_ACCOUNTS])
def test_nobody_sees_anything_without_a_log_in(visits: Visits, path: str) -> None:
    assert visits().get(path).status_code == 401


@pytest.mark.parametrize("role", ["viewer", "auditor", "reviewer", "recorder", "admin", "stranger"])
def test_each_role_sees_runs_and_only_some_see_accounts(visits: Visits, service: Service, role: str) -> None:
    client = visits(role)
    for path in FOR_RUNS:
        assert client.get(path).status_code == 200, path
    ref = ref_of(service, "cascade")
    allowed = role not in ("viewer", "stranger")
    one = [f"/ui/requests/{ref}{end}" for end in ("", ".md", ".csv", ".json")]
    for path in [*FOR_ACCOUNTS, *one, f"/ui/decisions?account={ref}"]:
        assert client.get(path).status_code == (200 if allowed else 403), path
    for path in FOR_RUNS:
        assert "cascade" not in client.get(path).text
    if allowed:
        assert "Request to cascade" in client.get(one[0]).text


@pytest.mark.parametrize("path", [*FOR_RUNS, "/ui/decisions?q=secret", f"/ui/decisions?dag={HIDDEN}"])
def test_a_dag_one_may_not_see_is_nowhere(visits: Visits, path: str) -> None:
    assert HIDDEN in visits("viewer").get(path).text
    text = visits("stranger").get(path).text
    assert HIDDEN not in text.replace(f'value="{HIDDEN}" selected>{HIDDEN} (none)', "").replace(f"dag={HIDDEN}", "")


def test_views_of_accounts_leave_a_trace(visits: Visits, service: Service) -> None:
    client, ref = visits("auditor", "ann"), ref_of(service, "cascade")
    for path in ("/ui/requests", "/ui/requests.csv", f"/ui/requests/{ref}", f"/ui/requests/{ref}.md",
                 f"/ui/decisions?account={ref}", f"/ui/decisions.csv?account={ref}"):  # fmt: skip
        before = service.ledger_size()
        assert client.get(path).status_code == 200
        with service.ledger.read() as reader:
            new = list(reader.entries(start=before))
        assert [entry.kind for entry in new] == ["access"], path
        assert new[0].body["account_ref"] == (ref if ref in path else None)
    before = service.ledger_size()
    client.get("/ui/decisions")
    assert service.ledger_size() == before


def test_filters_narrow_and_links_reproduce_them(visits: Visits) -> None:
    client = visits("viewer")
    found = client.get("/ui/decisions.json", params={"dag": "train_for_vendor"}).json()
    assert [row["model"] for row in found] == ["vendor-llm"]
    page = client.get("/ui/decisions?dag=train_for_vendor&reason=policy_denied").text
    assert '<option value="train_for_vendor" selected>' in page
    assert "decisions.csv?dag=train_for_vendor&amp;reason=policy_denied" in page
    assert len(client.get("/ui/decisions.json?q=VENDOR&category=chat&verdict=block").json()) == 1
    cause = found[0]["cause"]
    assert len(client.get(f"/ui/decisions.json?cause={cause}").json()) == 1


@pytest.mark.parametrize("name", ["verdict", "dag", "category", "reason", "model", "cause", "q"])
@pytest.mark.parametrize("value", HOSTILE)
def test_unknown_filter_values_find_nothing_and_say_how_to_go_on(visits: Visits, name: str, value: str) -> None:
    answer = visits("viewer").get("/ui/decisions", params={name: value})
    assert answer.status_code == 200
    assert "No decision matches" in answer.text
    assert "clear all filters" in answer.text
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text


def test_a_day_that_is_none_is_told_at_its_field(visits: Visits) -> None:
    client = visits("viewer")
    for wrong in ("yesterday", "2026-13-01", "0001-01-01", "9999-12-31"):
        answer = client.get("/ui/decisions", params={"since": wrong, "page": "-3"})
        assert answer.status_code == 200
        assert 'id="since-wrong"' in answer.text
        assert client.get("/ui/decisions.csv", params={"since": wrong}).status_code == 422


@pytest.mark.parametrize("page", ["0", "-1", "x", "99999999999999999999", "²"])
def test_a_page_that_is_not_there_shows_the_nearest(visits: Visits, page: str) -> None:
    for path in ("/ui/decisions", "/ui/causes"):
        answer = visits("viewer").get(path, params={"page": page})
        assert answer.status_code == 200
        assert "train_for_vendor" in answer.text
    assert visits("auditor").get("/ui/requests", params={"page": page}).status_code == 200


def test_an_accounts_name_stands_in_no_address(visits: Visits, service: Service) -> None:
    client = visits("auditor")
    token = form_token(client, "/ui/decisions")
    answer = client.post("/ui/decisions/account", data={"form_token": token, "account": "cascade", "dag": "d&x"})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/ui/decisions?dag=d%26x&account={ref_of(service, 'cascade')}"
    lost = client.post("/ui/decisions/account", data={"form_token": token, "account": HOSTILE[1]})
    assert lost.status_code == 422
    assert 'id="account-wrong"' in lost.text
    assert "&#34;&gt;&lt;img src=x" in lost.text
    assert client.post("/ui/decisions/account", data={"account": "cascade"}).status_code == 403
    assert visits("viewer").post("/ui/decisions/account", data={"account": "cascade"}).status_code == 403
    bad = client.get("/ui/decisions?account=cascade")
    assert bad.status_code == 200
    assert "account-wrong" in bad.text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(visits: Visits, service: Service, name: str) -> None:
    add_hostile(service, name)
    client, ref = visits("admin"), ref_of(service, name)
    for path in ("/ui/decisions", "/ui/causes", "/ui/requests", f"/ui/requests/{ref}", f"/ui/decisions?account={ref}"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
    letter = client.get(f"/ui/requests/{ref}.md").text
    assert "<script>" not in letter
    assert "<img" not in letter
    assert "\u202e" not in letter
    for path in ("/ui/decisions.csv", "/ui/requests.csv", f"/ui/requests/{ref}.csv"):
        cells = [one for line in csv.reader(io.StringIO(client.get(path).text)) for one in line]
        assert cells
        assert not any(one.startswith(("=", "+", "-", "@", "\t")) for one in cells if one != "-1")
    assert client.get("/ui/decisions.json").json()[0]["dag_id"] == name


def test_a_search_for_accounts_shows_those_that_match(visits: Visits) -> None:
    client = visits("recorder")
    token = form_token(client, "/ui/requests")
    found = client.post("/ui/requests", data={"form_token": token, "name": "CASC"}).text
    assert "cascade" in found
    assert "harbor" not in found
    assert "No account" in client.post("/ui/requests", data={"form_token": token, "name": HOSTILE[0]}).text


def test_a_request_nobody_waits_for_is_not_there(visits: Visits, service: Service) -> None:
    client = visits("auditor")
    assert client.get(f"/ui/requests/{'0' * 64}").status_code == 404
    assert client.get("/ui/requests/cascade").status_code in (404, 422)
    assert client.get(f"/ui/requests/{ref_of(service, 'aurora')}").status_code == 404  # it agreed


def test_many_decisions_come_in_pages_and_whole_downloads(visits: Visits, service: Service) -> None:
    add_decisions(service, 120)
    client = visits("viewer")
    first, last = client.get("/ui/decisions").text, client.get("/ui/decisions?page=3").text
    assert first.count("<tr>") - first.split("<table")[1].count("<tr>") == 51
    assert "page 3 of 3" in last
    assert len(client.get("/ui/decisions.json").json()) == 124
    answer = client.get("/ui/decisions.csv")
    assert len(list(csv.reader(io.StringIO(answer.text)))) == 125
    assert answer.headers["content-disposition"] == 'attachment; filename="decisions.csv"'


def test_formulas_become_text() -> None:
    for text in ("=1+1", "+1", "-1", "@x", "\tx"):
        assert str(cell(text)).startswith("'")
    assert cell(-1) == -1
    assert cell(["a", "b"]) == "a b"


def test_an_empty_plot_can_be_drawn() -> None:
    drawn = plot([])
    assert drawn.bars == []
    assert "0 decisions blocked" in drawn.words
