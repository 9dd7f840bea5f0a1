"""The lineage page: the same answer as JSON, as tables and in words, for whoever may see it, and for nobody else."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from gate.lineage.observed import observe
from gate.service.core import Service
from gate.service.lineage_questions import Question, ask
from gate.service.lineage_store import open_lineage
from support.lineage_pages import MODEL, airflow, dataset, event, keep, layers, tell
from support.pages import HIDDEN
from support.tables import cells

Visits = Any  # of the conftest
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "‮⁦evil")


@pytest.fixture
def told(service: Service) -> Service:
    tell(service)
    return service


def decision(service: Service, dag_id: str = "train_meeting_summary", run_id: str = "manual__3") -> int:
    found = service.decision_of_run(dag_id, run_id)
    assert found is not None
    return found.index


@pytest.mark.parametrize(
    "path", ["/ui/lineage", "/ui/lineage.json", "/ui/lineage/table", "/ui/lineage/decisions/0.json"]
)
def test_nobody_gets_anything_but_the_log_in(visits: Visits, path: str) -> None:
    assert visits().get(path, params={"node": "model:ms-1"}).status_code == 401


def test_the_json_is_the_answer_of_the_service(told: Service, visits: Visits) -> None:
    asked = {"node": "model:ms-1", "direction": "upstream", "depth": "2"}
    with open_lineage(told.settings) as store:
        expected = ask(store, Question(("model:ms-1",), direction="upstream", depth=2))
    answer = visits("admin").get("/ui/lineage.json", params=asked)
    assert answer.json() == expected
    assert {node["kind"] for node in expected["nodes"]} >= {"model", "run", "version"}


def test_the_table_tells_what_the_json_tells(told: Service, visits: Visits) -> None:
    viewer, query = visits("viewer"), {"node": f"decision:{decision(told)}"}
    answer = viewer.get("/ui/lineage.json", params=query).json()
    page = viewer.get("/ui/lineage/table", params=query).text
    labels = {node["id"]: node["label"] for node in answer["nodes"]}
    nodes, links = cells(page, "nodes"), cells(page, "links")
    assert [row[0].removesuffix(" asked") for row in nodes] == [node["label"] for node in answer["nodes"]]
    assert [row[1] for row in nodes] == [node["kind"] for node in answer["nodes"]]
    assert [row[:2] for row in links] == [[labels[one["source"]], labels[one["target"]]] for one in answer["edges"]]
    told_reasons = [row[3].replace(" ", "") for row in links]
    assert told_reasons == [(one["verdict"] or "") + ",".join(one["reasons"]) for one in answer["edges"]]
    assert "no_consent" in told_reasons[-1]


def test_long_answers_come_in_pages(service: Service, visits: Visits) -> None:
    keep(service, layers(300, 20, 5))
    viewer, query = visits("viewer"), {"node": "model:big", "direction": "upstream"}
    answer = viewer.get("/ui/lineage.json", params=query).json()
    pages = [viewer.get("/ui/lineage/table", params={**query, "page": number}).text for number in (1, 2, 3)]
    assert 500 < len(answer["nodes"]) <= 1500
    rows = [row for page in pages for row in cells(page, "nodes")]
    assert len(rows) in {len(answer["nodes"]), len(answer["nodes"]) + len(cells(pages[-1], "nodes"))}
    assert 'rel="next"' in pages[0]


def test_of_a_hidden_dag_there_is_nothing_in_the_graph(told: Service, visits: Visits) -> None:
    hidden, stranger = decision(told, HIDDEN, "manual__1"), visits("stranger")
    seen = visits("viewer").get("/ui/lineage.json", params={"node": "model:ms-1", "direction": "both"}).text
    assert "train_meeting_summary" in seen
    for path in ("/ui/lineage.json", "/ui/lineage/table"):
        for node in (f"decision:{hidden}", f"{HIDDEN}/manual__1"):
            answer = stranger.get(path, params={"node": node})
            assert answer.status_code == 422
            assert "manual__1 means" not in answer.text
        for node in ("model:ms-1", f"decision:{decision(told)}", "chat.jsonl"):
            answer = stranger.get(path, params={"node": node, "direction": "both"})
            assert answer.status_code == 200
            assert HIDDEN not in answer.text
    assert stranger.get(f"/ui/lineage/decisions/{hidden}.json").status_code == 404
    assert f"decision:{hidden}" not in unescape(stranger.get("/ui/lineage").text).replace("%3A", ":")
    assert HIDDEN in visits("viewer").get("/ui/lineage.json", params={"node": "chat.jsonl", "direction": "both"}).text


def test_no_account_is_named_to_anybody(told: Service, visits: Visits) -> None:
    with told.ledger.read() as reader:
        names = {name for entry in reader.entries("profile") if (name := reader.open_ref(entry.body["account_ref"]))}
    index = decision(told)
    query = {"node": f"decision:{index}"}
    for path in ("/ui/lineage", "/ui/lineage.json", "/ui/lineage/table", f"/ui/lineage/decisions/{index}.json"):
        text = visits("admin").get(path, params=query).text
        assert [name for name in names if re.search(rf"\b{re.escape(name)}\b", text)] == []


def test_a_decision_is_explained_with_its_clauses_and_counts(told: Service, visits: Visits) -> None:
    index = decision(told)
    found = visits("viewer").get(f"/ui/lineage/decisions/{index}.json").json()
    assert (found["verdict"], found["address"]) == ("block", f"/ui/decisions/{index}")
    blocking = [cell for cell in found["cells"] if cell["blocks"]]
    assert all(cell["row"] and cell["clauses"] and cell["policy"].startswith("/ui/policy#") for cell in blocking)
    assert sum(cell["accounts_without"] for cell in blocking) > 0
    assert {"code", "remedy"} == found["reasons"][0].keys()
    assert visits("viewer").get("/ui/lineage/decisions/0.json").status_code == 404  # an entry, and no decision


def test_hostile_names_are_words(service: Service, visits: Visits) -> None:
    for number, hostile in enumerate(HOSTILE):
        same = {
            "eventTime": "2026-11-01T00:00:00Z",
            "job": {"namespace": hostile, "name": hostile},
            "run": {"runId": f"00000000-0000-0000-0000-{number:012}"},
        }
        one = dataset(hostile, hostile, hostile, hostile)
        keep(service, iter([observe(event(same, hostile, airflow(hostile, hostile, hostile), [one], [one]))]))
        query = {"node": f"{hostile}/{hostile}", "direction": "both"}
        for path in ("/ui/lineage", "/ui/lineage/table"):
            page = visits("viewer").get(path, params=query)
            assert page.status_code == 200
            assert "<script>alert" not in page.text
            assert "<img src=x" not in page.text
        answer = visits("viewer").get("/ui/lineage.json", params=query)
        assert answer.headers["Content-Type"] == "application/json"
        assert hostile in {node["name"] for node in answer.json()["nodes"]}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"direction": "sideways"}, "direction"),
        ({"level": "attic"}, "level"),
        ({"depth": "-1"}, "depth"),
        ({"depth": "9" * 17}, "depth"),
        ({"category": "gossip"}, "category"),
        ({"as_of": "yesterday"}, "as_of"),
        ({"as_of": "999999"}, "there is no such entry"),
        ({"node": "model:nothing"}, "nothing is known as model:nothing"),
    ],
)
def test_what_is_wrong_with_a_question_is_said(told: Service, visits: Visits, wrong: Any, said: str) -> None:
    query = {"node": "model:ms-1"} | wrong
    table = visits("viewer").get("/ui/lineage/table", params=query)
    answer = visits("viewer").get("/ui/lineage.json", params=query)
    assert (table.status_code, answer.status_code) == (422, 422)
    assert said in unescape(table.text)
    assert answer.json()["message"] in unescape(table.text)


def test_as_of_a_date_and_as_of_a_ledger_entry(told: Service, visits: Visits) -> None:
    index = decision(told)
    viewer, query = visits("viewer"), {"node": f"decision:{index}", "direction": "upstream"}
    entry = viewer.get("/ui/lineage.json", params={**query, "as_of": str(index + 1)}).json()
    assert entry["question"]["ledger_index"] == index + 1
    assert viewer.get("/ui/lineage.json", params={**query, "as_of": "2098-02-01"}).json()["edges"]
    assert viewer.get("/ui/lineage.json", params={**query, "as_of": "2001-01-01"}).status_code == 422


def test_the_page_gives_its_script_the_question_and_a_way_without_scripts(told: Service, visits: Visits) -> None:
    query = {"node": "model:ms-1", "direction": "upstream", "as_of": "2098-02-01"}
    page = unescape(visits("viewer").get("/ui/lineage", params=query).text)
    assert 'data-json="/ui/lineage.json?node=model%3Ams-1&direction=upstream"' in page
    assert 'data-as-of="/ui/lineage.json?node=model%3Ams-1&direction=upstream&as_of=2098-02-01"' in page
    assert 'data-as-of-instant="2098-02-01T00:00:00Z"' in page
    assert "<noscript>" in page
    assert '<a href="/ui/lineage/table?node=model%3Ams-1&direction=upstream&as_of=2098-02-01"' in page


def test_the_page_of_a_decision_leads_to_its_graph_and_the_start_offers_it(told: Service, visits: Visits) -> None:
    index = decision(told)
    link = f"/ui/lineage?node=decision%3A{index}"
    assert link in visits("viewer").get(f"/ui/decisions/{index}").text
    start = visits("viewer").get("/ui/lineage").text
    assert link in start
    assert "data-json" not in start
    assert MODEL[1] not in start


def test_other_pages_do_not_load_the_graphs_script(visits: Visits) -> None:
    assert "lineage-" not in visits("viewer").get("/ui/decisions").text
    assert re.search(r"static/assets/lineage-[\w-]+\.js", visits("viewer").get("/ui/lineage").text)
