"""Impact and obligations in the browser, over HTTP and on the command line: one answer, and who may ask."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from gate.cli.main import app as gate
from gate.service.account_history import account_ref
from gate.service.core import Service
from gate.service.impact import Subject, impact
from gate.service.lineage_store import open_lineage
from support.impact import chats, trained
from support.pages import site
from support.world import Clock, add_account, event, new_service, say

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "' OR 1=1 --", "\u202emoc")
PROOF = {"outcome": "deleted", "evidence": "ticket 9", "sha256": "ab" * 32}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with new_service(tmp_path / "home", Clock()) as opened:
        for account in ("acme", HOSTILE[0]):
            add_account(opened, account)
            say(opened, event(account))
        trained(opened, chats(tmp_path, "mine", ["acme", HOSTILE[0]]))
        trained(opened, chats(tmp_path, "secret", ["acme"]), dag="secret_dag")
        say(opened, event("acme", "withdraw", effective_at="2024-01-01T00:00:00Z"), via="cli")
        yield opened


def visit(service: Service, who: str) -> TestClient:
    return TestClient(site(service), headers={"X-Person": who}, follow_redirects=False)


def ref_of(service: Service, account: str = "acme") -> str:
    ref = account_ref(service, account)
    assert ref
    return ref


def commanded(service: Service, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    monkeypatch.setenv("GATE_HOME", str(service.settings.home))
    monkeypatch.delenv("GATE_DATABASE_URL", raising=False)
    done = CliRunner().invoke(gate, ["lineage", *words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def looks(service: Service) -> list[dict[str, Any]]:
    with service.ledger.read() as reader:
        return [entry.body for entry in reader.entries("access")]


def send(client: TestClient, path: str, **fields: str) -> Any:
    token = re.search(r'name="form_token" value="([0-9a-f]{64})"', client.get("/ui/impact").text)
    assert token
    return client.post(path, data={"form_token": token[1], **fields})


def test_command_api_and_page_give_the_same_answer(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    client = visit(service, "ada admin")
    with open_lineage(service.settings) as store:
        ours = impact(service, store, Subject("account", "acme"))
    told = commanded(service, monkeypatch, "impact", "--account", "acme")
    asked = client.post("/api/v1/lineage/impact", json={"account": "acme"}).json()
    by_ref = client.get("/api/v1/lineage/impact", params={"account": ref_of(service)}).json()
    for answer in (told, asked, by_ref):
        assert {**answer, "ledger_size": 0} == {**json.loads(json.dumps(ours)), "ledger_size": 0}
    page = client.get(f"/ui/impact?account={ref_of(service)}").text
    for one in ours["decisions"]:
        assert f"/ui/decisions/{one['index']}" in page
    for one in ours["versions"]:
        assert one["version"][:19] in page
    assert ours["counts"]["decisions"] == 2


def test_lists_of_obligations_are_the_same(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    client = visit(service, "ada admin")
    asked = client.get("/api/v1/obligations").json()["obligations"]
    page = client.get("/ui/obligations").text
    told = commanded(service, monkeypatch, "impact", "--open")["obligations"]
    assert [one["id"] for one in told] == [one["id"] for one in asked]
    assert {one["id"] for one in asked} == set(re.findall(r'id="o([0-9a-f]{16})"', page))
    assert len(asked) == 2


@pytest.mark.parametrize("path", ["/ui/impact", "/ui/obligations", "/api/v1/obligations"])
def test_only_who_may_see_accounts_gets_in(service: Service, path: str) -> None:
    assert visit(service, "vic viewer").get(path).status_code == 403
    assert visit(service, "ada auditor").get(path).status_code == 200


def test_every_look_is_recorded_first(service: Service) -> None:
    client = visit(service, "ada auditor")
    client.get(f"/ui/impact?account={ref_of(service)}")
    client.get("/ui/obligations")
    client.post("/api/v1/lineage/impact", json={"account": "acme"})
    seen = looks(service)
    assert [one["page"] for one in seen] == ["impact", "obligations", "impact"]
    assert seen[0]["account_ref"] == seen[2]["account_ref"] == ref_of(service)


def test_names_stand_in_no_address(service: Service) -> None:
    client = visit(service, "ada auditor")
    assert client.get("/api/v1/lineage/impact?account=acme").status_code == 422
    assert client.get("/ui/impact?account=acme").status_code == 422
    found = send(client, "/ui/impact/find", name="acme")
    assert (found.status_code, found.headers["location"]) == (303, f"/ui/impact?account={ref_of(service)}")
    assert send(client, "/ui/impact/find", name="nobody").status_code == 422


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(service: Service, text: str) -> None:
    client = visit(service, "ada auditor")
    for field in ("dataset", "consent", "policy_row", "as_of"):
        asked = {"policy_row": "Z-07", field: text} if field == "as_of" else {field: text}
        answer = client.get("/ui/impact", params=asked)
        assert answer.status_code == 422
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
    assert client.get("/ui/obligations", params={"which": text}).status_code == 404
    page = client.get(f"/ui/impact?account={ref_of(service, HOSTILE[0])}")
    assert page.status_code == 200
    assert "<script>alert" not in page.text


def test_a_person_records_an_outcome_on_the_page(service: Service) -> None:
    client = visit(service, "rae recorder")
    (one, *_) = client.get("/api/v1/obligations").json()["obligations"]
    path = f"/ui/obligations/{one['id']}/outcome"
    assert client.post(path, data=PROOF).status_code == 403  # without the form's token
    wrong = send(client, path, outcome="kept")
    assert wrong.status_code == 422
    assert "needs a reason" in wrong.text
    assert send(client, path, **PROOF).status_code == 303
    done = client.get("/api/v1/obligations?which=done").json()["obligations"]
    assert [(found["id"], found["outcome"]) for found in done] == [(one["id"], "deleted")]


def test_outcomes_over_http_and_by_command(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    client = visit(service, "rae recorder")
    first, second = (one["id"] for one in client.get("/api/v1/obligations").json()["obligations"])
    path = f"/api/v1/obligations/{first}/outcome"
    assert visit(service, "ada auditor").post(path, json=PROOF).status_code == 403
    recorded = client.post(path, json=PROOF)
    assert (recorded.status_code, recorded.json()["new"]) == (201, True)
    words = ["resolve", second, "--outcome", "kept", "--note", "a court order"]
    assert commanded(service, monkeypatch, *words)["new"] is True
    still = commanded(service, monkeypatch, "impact", "--open")["obligations"]
    assert [(one["id"], one["state"]) for one in still] == [(second, "kept")]


def test_command_tables_read_well(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_HOME", str(service.settings.home))
    said = CliRunner().invoke(gate, ["lineage", "impact", "--account", "acme"]).output
    assert "2 decisions" in said
    assert "consent_withdrawn" in said
    listed = CliRunner().invoke(gate, ["lineage", "impact", "--open"]).output
    assert listed.startswith("2 overdue, 0 open, 0 kept")  # for the command asks the real clock
