"""The coverage page: what somebody must look at first, for whoever may see it, however much or little there is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gate.api.auth import Principal
from gate.service.core import Service
from gate.web.host import Host, Report
from support.pages import HIDDEN, PEOPLE, site

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "‮⁦evil", "x" * 500)


def task(dag: str = "nightly", name: str = "train", status: str = "gated", **fields: Any) -> dict[str, Any]:
    known = {"operator": "PodOperator", "gate": "consent_gate", "problem": None, "fix": [], "exemption": None}
    place = {"dag": dag, "task": name, "file": f"{dag}.py", "paused": False}
    return {**place, "status": status, "recognised_by": "mark_training", **known, **fields}


def report(tasks: list[dict[str, Any]], errors: Any = (), gates: Any = ()) -> Report:
    words = ("gated", "guarded", "ungated", "exempt")
    counts = {word: sum(one["status"] == word for one in tasks) for word in words}
    import_errors = None if errors is None else list(errors)
    return {"tasks": tasks, "gates": list(gates), "import_errors": import_errors, "counts": counts}


def visitor(service: Service, found: Report, role: str = "viewer") -> TestClient:
    client = TestClient(site(service, Host(airflow="", coverage=lambda _: found)))
    client.cookies.set("person", f"ada+{role}")
    return client


def rows(page: str) -> list[str]:
    return [unmarked.strip() for unmarked in re.findall(r'<th scope="row" class="long">(.*?)<', page, re.DOTALL)]


MIXED = [
    task("b"),
    task("a", status="guarded", gate="features:gate", problem="no DAG that Airflow runs has the gate"),
    task("old", status="exempt", gate=None, exemption={"by": "eve", "why": "moves", "until": "2099-01-01T00:00:00Z"}),
    task("bad", status="ungated", gate=None, problem="it trains without a consent gate", fix=["gate >> train"]),
]


def test_who_may_open_pages_may_open_this_one_and_it_knows_who_asks(service: Service) -> None:
    asked: list[Principal] = []

    def look(caller: Principal) -> Report:
        asked.append(caller)
        return report([task(name) for name in ("shown", HIDDEN) if caller.sees(name)])

    app = site(service, Host(airflow="", coverage=look))
    assert TestClient(app).get("/ui/coverage").status_code == 401
    for role in PEOPLE:
        client = TestClient(app)
        client.cookies.set("person", f"ada+{role}")
        page = client.get("/ui/coverage")
        assert page.status_code == 200
        assert (HIDDEN in page.text) == (role != "stranger")
    assert [one.name for one in asked] == ["ada"] * len(PEOPLE)


def test_what_needs_somebody_comes_first_with_why_and_what_to_add(service: Service) -> None:
    error = {"file": "bad.py", "at": None, "text": "…", "tasks": [MIXED[3]]}
    page = visitor(service, report(MIXED, [error])).get("/ui/coverage").text
    assert [row for row in rows(page) if row] == ["bad"]  # the others are links to Airflow
    assert page.index("old.py") < page.index("a.py") < page.index("b.py</small>")
    assert re.search(r"<pre data-copy[^>]*>gate &gt;&gt; train</pre>", page)
    assert "by eve: moves" in page
    assert "no DAG that Airflow runs has the gate" in page
    assert 'href="/dags/old" data-leaves' in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "exempt"}, {"old"}),
        ({"q": "EVE"}, {"old"}),
        ({"q": "features"}, {"a"}),
        ({"q": "podoperator", "status": "gated"}, {"b"}),
        ({"status": "nonsense"}, {"a", "b", "old", "bad"}),
    ],
)
def test_it_can_be_filtered_and_searched(service: Service, query: dict[str, str], expected: set[str]) -> None:
    page = visitor(service, report(MIXED)).get("/ui/coverage", params=query).text
    assert {name for name in ("a", "b", "old", "bad") if f"<small>{name}.py</small>" in page} == expected


def test_when_nothing_fits_it_says_how_to_see_all(service: Service) -> None:
    page = visitor(service, report(MIXED)).get("/ui/coverage", params={"q": "no such thing"}).text
    assert "No training task fits" in page
    assert "Show all 4" in page


def test_when_there_is_nothing_it_says_what_to_do(service: Service) -> None:
    page = visitor(service, report([])).get("/ui/coverage").text
    assert "mark_training" in page
    assert "training_rules" in page


def test_under_gate_serve_it_says_where_to_look(visits: Any) -> None:
    page = visits("viewer").get("/ui/coverage")
    assert page.status_code == 200
    assert "gate dags coverage" in page.text


def test_files_whose_errors_the_caller_may_not_read_are_named_and_no_more(service: Service) -> None:
    error = {"file": "bad.py", "at": None, "text": "", "tasks": []}
    page = visitor(service, report([], [error])).get("/ui/coverage").text
    assert "bad.py" in page
    assert "DAGs that you may not see" in page
    none = visitor(service, report([], None)).get("/ui/coverage").text
    assert "Airflow does not show you import errors" in none


def test_hostile_words_are_words(service: Service) -> None:
    for hostile in HOSTILE:
        exemption = {"by": hostile, "why": hostile, "until": hostile}
        fields = {"operator": hostile, "gate": hostile, "problem": hostile, "file": hostile, "recognised_by": hostile}
        tasks = [task(hostile, hostile, **fields), task(hostile, hostile, "exempt", exemption=exemption)]
        errors = [
            {"file": hostile, "at": None, "text": hostile, "tasks": []},
            {"file": hostile, "at": None, "text": "", "tasks": [task(hostile, hostile, fix=[hostile])]},
        ]
        gates = [{"dag": hostile, "file": hostile, "paused": True, "gates": [hostile], "tags": [hostile]}]
        page = visitor(service, report(tasks, errors, gates)).get("/ui/coverage", params={"q": hostile[:300]})
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text


def test_a_thousand_dags_come_in_pages(service: Service) -> None:
    client = visitor(service, report([task(f"dag_{i:04}") for i in range(1000)]))
    first, last = (client.get("/ui/coverage", params={"page": number}).text for number in (1, 99))
    assert "1,000 training tasks, page 1 of 5" in first
    assert ">dag_0000<" in first
    assert ">dag_0999<" in last
    assert 'rel="next"' not in last
