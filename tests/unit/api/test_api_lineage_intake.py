"""OpenLineage events over HTTP, as the real client sends them: kept once, refused with a problem, never lost."""

from __future__ import annotations

import gzip
import json
import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openlineage.client import event_v2
from openlineage.client.transport import get_default_factory
from openlineage.client.uuid import generate_new_uuid

from gate.api import lineage_intake
from gate.lineage.store.delivery import events_after
from gate.service.core import Service
from support.lineage_backend import PRODUCER, run_events
from support.served import served

EVENT = run_events(1)[0]


@pytest.fixture
def caller(calls: Any) -> TestClient:
    client: TestClient = calls("lineage")
    return client


def kept(service: Service) -> list[dict[str, Any]]:
    return [json.loads(raw) for _, raw in events_after(service.intake.store(), 0, 100)]


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_the_clients_own_transport_delivers(service: Service, compression: str | None) -> None:
    when, job = "2026-01-01T00:00:00Z", event_v2.Job("airflow", "etl.task")
    run = event_v2.Run(str(generate_new_uuid()))
    sent = [
        event_v2.RunEvent(eventType=event_v2.RunState.START, eventTime=when, run=run, job=job, producer=PRODUCER),
        event_v2.JobEvent(eventTime=when, job=job, producer=PRODUCER),
        event_v2.DatasetEvent(eventTime=when, dataset=event_v2.StaticDataset("file", "/x"), producer=PRODUCER),
    ]
    with served(service) as running:
        config = {"type": "http", "url": running.url, "auth": {"type": "api_key", "apiKey": running.token("lineage")}}
        transport = get_default_factory().create({**config, **({"compression": compression} if compression else {})})
        answers = [transport.emit(event).status_code for event in [*sent, *sent]]
        transport.close()
    assert answers == [201] * 3 + [200] * 3
    assert [name for one in kept(service) for name in ("run", "job", "dataset") if name in one] == [
        "run",
        "job",
        "job",
        "dataset",
    ]


def test_an_event_is_new_once_and_kept_whole(service: Service, caller: TestClient) -> None:
    first, second = (caller.post("/api/v1/lineage", json=EVENT) for _ in range(2))
    assert (first.status_code, first.json()) == (201, {"event": "new"})
    assert (second.status_code, second.json()) == (200, {"event": "known"})
    assert kept(service) == [EVENT]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"", {}, 400),
        (b"[]", {}, 422),
        (b"{}", {}, 422),
        (json.dumps({"eventTime": "yesterday", "run": {"runId": "x"}}).encode(), {}, 422),
        (json.dumps({**EVENT, "inputs": [{"namespace": "n"}]}).encode(), {}, 422),
        (json.dumps(EVENT).encode(), {"Content-Encoding": "br"}, 422),
        (json.dumps(EVENT).encode(), {"Content-Encoding": "gzip"}, 422),
        (gzip.compress(json.dumps(EVENT).encode(), mtime=0)[:-9], {"Content-Encoding": "gzip"}, 422),
        (gzip.compress(b" " * (lineage_intake.MAX_EVENT + 1), mtime=0), {"Content-Encoding": "gzip"}, 422),
        (b" " * 2_000_000, {}, 413),
    ],
    ids=["half", "nothing", "list", "empty", "time", "name", "brotli", "plain", "cut", "bomb", "long"],
)
def test_what_is_no_event_is_a_problem(
    service: Service, caller: TestClient, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = caller.post("/api/v1/lineage", content=body, headers={"Content-Type": "application/json", **headers})
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert kept(service) == []


def test_it_needs_its_own_scope_and_gives_no_other(calls: Any, service: Service) -> None:
    assert calls().post("/api/v1/lineage", json=EVENT).status_code == 401
    for scope in ("read", "tag", "consent"):
        assert calls(scope).post("/api/v1/lineage", json=EVENT).status_code == 403
    assert calls(person="ada admin").post("/api/v1/lineage", json=EVENT).status_code == 403
    assert calls("lineage").get("/api/v1/models").status_code == 403
    assert kept(service) == []


def test_while_the_store_is_away_events_are_taken_all_the_same(
    service: Service, caller: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    intake = service.intake
    working = intake._url
    intake._url = f"sqlite:///{service.settings.home}"  # a folder
    event = {**EVENT, "job": {"namespace": "airflow", "name": "account-acme"}}
    with caplog.at_level(logging.DEBUG):
        answer = caller.post("/api/v1/lineage", json=event)
    assert (answer.status_code, answer.json()) == (202, {"event": "spooled"})
    assert "account-acme" not in caplog.text
    intake._url = working
    assert intake.spool.take_in(intake.store()) == 1
    assert kept(service) == [event]
