"""Lineage over HTTP: the answer of the command line, to those who may read, without what they may not see."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from gate.api.app import create_app
from gate.api.auth import ROLES, Principal
from gate.cli.main import main
from gate.lineage.store.ingest import store_events
from gate.service.core import Service
from gate.service.lineage_export import MEDIA_TYPES
from gate.service.lineage_store import open_lineage
from support.lineage_scene import CHAT, SUBSET, observed
from support.world import Clock, add_account
from unit.api.conftest import Calls

GRAPH = "/api/v1/lineage/graph"


@pytest.fixture
def told(service: Service) -> Service:
    with open_lineage(service.settings) as store:
        store_events(store, observed())
    return service


@pytest.fixture
def gate(told: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command of `gate lineage` with --json; return what it said."""
    monkeypatch.setenv("GATE_HOME", str(told.settings.home))
    for name in ("GATE_DATABASE_URL", "GATE_LINEAGE_URL", "GATE_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: object) -> Any:
        monkeypatch.setattr(sys, "argv", ["gate", "lineage", *map(str, words), "--json"])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        assert not leaving.value.code
        return json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize(
    ("command", "words", "params"),
    [
        ("upstream", ["model:ms-1"], {}),
        ("downstream", [CHAT, "--level", "dataset"], {"level": "dataset"}),
        ("downstream", [CHAT, "--category", "chat", "--depth", 3], {"category": "chat", "depth": 3}),
        ("upstream", [SUBSET, "--as-of", "2026-11-22T10:05:00+00:00"], {"as_of": "2026-11-22T10:05:00Z"}),
        ("upstream", ["part/monday", "decision:10"], {}),
    ],
)
def test_command_line_and_api_give_one_answer(
    gate: Callable[..., Any], calls: Calls, command: str, words: list[object], params: dict[str, Any]
) -> None:
    said = gate(command, *words)
    nodes = said["question"]["nodes"]
    answer = calls("read").get(GRAPH, params={"node": nodes, "direction": command, **params})
    assert answer.status_code == 200, answer.text
    assert answer.json() == said
    assert said["edges"]


def test_as_of_an_entry_of_the_ledger_alike(
    gate: Callable[..., Any], calls: Calls, told: Service, clock: Clock
) -> None:
    early = told.ledger_size() - 1
    clock.now = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
    add_account(told, "later")
    late = told.ledger_size() - 1
    http = calls("read")
    answer = http.get(GRAPH, params={"node": "model:ms-1", "ledger_index": early})
    assert answer.status_code == 422
    assert "was not known at 2024-01-01" in answer.json()["message"]
    answer = http.get(GRAPH, params={"node": "model:ms-1", "ledger_index": late})
    assert answer.json()["question"]["ledger_index"] == late
    assert answer.json()["question"]["as_of"] == "2026-11-22T10:30:00Z"
    assert answer.json() == gate("upstream", "model:ms-1", "--as-of", late)
    for wrong in ({"ledger_index": 10**6}, {"ledger_index": 1, "as_of": "2026-11-22T10:00:00Z"}, {"as_of": "now"}):
        assert http.get(GRAPH, params={"node": "model:ms-1", **wrong}).status_code == 422


@pytest.mark.parametrize("form", sorted(MEDIA_TYPES))
def test_every_form_comes_with_its_type_and_is_inert(told: Service, calls: Calls, form: str) -> None:
    answer = calls("read").get(GRAPH, params={"node": "model:ms-1", "format": form})
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == MEDIA_TYPES[form]
    assert "ms-1" in answer.text
    if form != "json":
        assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"node": "nothing-of-that-name"},
        {"node": "model:ms-1", "direction": "sideways"},
        {"node": "model:ms-1", "category": "gossip"},
        {"node": "model:ms-1", "depth": -1},
        {"node": "model:ms-1", "format": "exe"},
        {"node": "a\x00b"},
        {"node": ["x"] * 500},
    ],
)
def test_what_means_nothing_is_a_problem(told: Service, calls: Calls, params: dict[str, Any]) -> None:
    answer = calls("read").get(GRAPH, params=params)
    assert answer.status_code == 422
    assert answer.json()["error"] == "InputError"


def test_only_who_may_read_gets_an_answer(told: Service, calls: Calls) -> None:
    assert calls().get(GRAPH, params={"node": "model:ms-1"}).status_code == 401
    assert calls("decide").get(GRAPH, params={"node": "model:ms-1"}).status_code == 403


def test_nobody_gets_runs_of_a_dag_that_they_may_not_see(told: Service) -> None:
    async def limited(connection: HTTPConnection) -> Principal | None:
        whole = Principal("ada", "person", ROLES["auditor"], "airflow")
        return replace(whole, sees=lambda dag: dag in ("notes", "part"))

    http = TestClient(create_app(lambda: told, authenticators=[limited]), raise_server_exceptions=False)
    for form in MEDIA_TYPES:
        for level in ("run", "dataset"):
            params = {"node": CHAT, "direction": "downstream", "format": form, "level": level}
            answer = http.get(GRAPH, params=params)
            assert answer.status_code == 200
            assert "ms-1" in answer.text
            assert "secret" not in answer.text
    assert http.get(GRAPH, params={"node": "secret/monday/train"}).status_code == 422
