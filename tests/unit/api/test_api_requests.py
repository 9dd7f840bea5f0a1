"""Whatever is sent, the answer is JSON that says what is wrong; what is written twice is written once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import Message

import gate.api.idempotency as idempotency
from gate import errors
from gate.api.app import create_app
from gate.api.limits import Limiting, Limits
from gate.api.wire import PROBLEM_TYPE, error_of, problem_of, status_of
from gate.errors import CannotDecide, GateError, LedgerUnavailable
from gate.service.auditing import signed_note
from gate.service.core import Service
from gate.service.imports import BadLine, ImportRefused
from support.world import event
from unit.api.conftest import Calls

PROFILE = {"account_id": "acme", "region": "DE"}
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GateError)]


def assert_problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == PROBLEM_TYPE
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert {"type", "title", "detail", "error", "message", "where", "hint", "reason"} <= set(problem)
    return problem


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_of_ours_arrives_as_what_it_was(kind: type[GateError]) -> None:
    sent = kind("it is so", where="there", hint="do this", reason="no_consent")
    import json

    problem = json.dumps(problem_of(sent)).encode()
    got = error_of(status_of(sent), PROBLEM_TYPE + "; charset=utf-8", problem)
    assert type(got) is kind
    assert got.to_dict() == sent.to_dict()
    assert got.exit_code == sent.exit_code


def test_an_error_that_only_the_service_knows_arrives_as_its_nearest_kin() -> None:
    sent = ImportRefused(Path("x.csv"), [BadLine(1, None, "bad")], 1)
    assert problem_of(sent)["error"] == "InputError"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html>503</html>"),
        (PROBLEM_TYPE, b"<html>"),
        (PROBLEM_TYPE, b"[]"),
        (PROBLEM_TYPE, b"{}"),
        (PROBLEM_TYPE, b'{"error": "PermitRefused"}'),
        (PROBLEM_TYPE, b'{"error": "PermitRefused", "message": 3}'),
        (PROBLEM_TYPE, b'{"error": "SystemExit", "message": "x"}'),
        (PROBLEM_TYPE, b'{"error": "annotations", "message": "x"}'),
        (PROBLEM_TYPE, b'{"error": ["x"], "message": "x"}'),
        (PROBLEM_TYPE, b"[" * 100_000),
        ("application/json", b'{"error": "InputError", "message": "x"}'),
    ],
)
def test_what_is_no_problem_of_ours_means_that_nobody_decided(content_type: str, body: bytes) -> None:
    for status in (200, 302, 400, 403, 500, 503):
        assert type(error_of(status, content_type, body)) is CannotDecide


def test_the_frameworks_own_failures_are_problems(calls: Calls) -> None:
    client = calls("read", "directory")
    assert_problem(client.get("/api/v1/nothing"), 404)
    assert_problem(client.get("/"), 404)
    assert "GET" in client.put("/api/v1/ledger").headers["Allow"]
    assert_problem(client.put("/api/v1/ledger"), 405)
    assert_problem(client.get("/api/v1/ledger/entries/x/proof"), 422)
    assert_problem(client.get("/api/v1/ledger/entries/9999/proof"), 404)
    assert_problem(client.get("/api/v1/ledger/entries/-1/proof"), 404)
    assert_problem(client.get(f"/api/v1/ledger/entries/{2**70}/proof"), 404)
    assert_problem(client.request("WEIRD", "/api/v1/ledger"), 405)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 422),
        (b"null", 422),
        (b"[]", 422),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b'{"account_id": "acme", "region": NaN}', 422),
        (b'{"account_id": "a\\u0000"}', 422),
        (b'{"account_id": "\\ud800"}', 422),
        (b'{"account_id": 7}', 422),
        (b'{"account_id": ""}', 422),
        (b'{"account_id": "acme", "extra": 1}', 422),
        (b'{"account_id": "' + b"a" * 501 + b'"}', 422),
    ],
)
def test_bodies_that_cannot_be_read(calls: Calls, service: Service, body: bytes, status: int) -> None:
    client, size = calls("directory"), service.ledger_size()
    answer = client.post("/api/v1/profiles", content=body, headers={"Content-Type": "application/json"})
    problem = assert_problem(answer, status)
    assert problem["error"] == "InputError"
    assert service.ledger_size() == size


def test_what_was_wrong_is_named_and_not_repeated(calls: Calls) -> None:
    client = calls("consent")
    said = event("acme").to_dict()
    wrong = {**said, "principal": {"id": "secret-person", "role": "boss"}}
    problem = assert_problem(client.post("/api/v1/consents", json={"events": [said, wrong]}), 422)
    assert (problem["error"], problem["where"]) == ("ConsentEventError", "events[1].principal.role")
    assert "secret-person" not in str(problem)
    invalid = assert_problem(client.post("/api/v1/consents", json={"events": "secret-person"}), 422)
    assert "secret-person" not in str(invalid)
    assert invalid["where"] == "body.events"


def test_consent_is_live_and_all_or_nothing(calls: Calls, service: Service) -> None:
    client, size = calls("consent"), service.ledger_size()
    good, bad = event("acme", "withdraw").to_dict(), {"action": "grant"}
    assert client.post("/api/v1/consents", json={"events": [good, bad]}).status_code == 422
    assert service.ledger_size() == size
    answer = client.post("/api/v1/consents", json={"events": [good, event("acme").to_dict() | {"evidence": "x"}]})
    assert answer.json() == {"added": 2, "known": 0, "without_authority": 0}
    stranger = event("acme", principal={"id": "nobody", "role": "admin"}).to_dict()
    answer = client.post("/api/v1/consents", json={"events": [stranger]})
    assert answer.json() == {"added": 1, "known": 0, "without_authority": 1}
    with service.ledger.read() as reader:
        newest = reader.latest("consent")
    assert newest is not None
    assert newest.via == "api"


def test_an_account_is_shown_without_standing_in_an_address(calls: Calls) -> None:
    view = calls("read").post("/api/v1/accounts/view", json={"account_id": "acme"}).json()
    assert view["known"]
    assert [one["action"] for one in view["events"]] == ["grant"]
    before = {"account_id": "acme", "known_at": 0}
    assert calls("read").post("/api/v1/accounts/view", json=before).json()["events"] == []
    early = {"account_id": "acme", "as_of": "2023-02-01T00:00:00Z"}
    assert calls("read").post("/api/v1/accounts/view", json=early).json()["events"] == []


def test_looking_at_an_account_leaves_an_entry(calls: Calls, service: Service) -> None:
    client = calls("read")
    for name in ("acme", "nobody-knows-this"):
        assert client.post("/api/v1/accounts/view", json={"account_id": name, "known_at": 3}).status_code == 200
    with service.ledger.read() as reader:
        known, unknown = reader.entries("access")
        assert known.body == {
            "page": "api/accounts/view",
            "as_of": None,
            "known_at": 3,
            "account_ref": reader.ref("account", "acme"),
        }
        assert reader.ref("account", "nobody-knows-this") is None
    assert (known.via, known.by) == ("api", "service:caller")
    assert unknown.body["account_ref"] is None


def test_auditors_get_what_they_verify_by_themselves(calls: Calls, service: Service) -> None:
    client = calls("read")
    head = client.get("/api/v1/ledger").json()
    note = client.get("/api/v1/ledger/checkpoint").json()
    assert (note["size"], note["root"]) == (head["size"], head["root"])
    proof = client.get("/api/v1/ledger/entries/0/proof").json()
    assert proof["kind"] == "genesis"
    assert client.get("/api/v1/policy").json()["name"] == "zoom-2023-08"
    assert [model["model_id"] for model in client.get("/api/v1/models").json()["models"]] == ["llm-x", "ms-1"]
    assert client.get("/api/v1/keys").json()["ledger_origin"] == head["origin"]


def test_a_ledger_that_was_restored_signs_nothing(calls: Calls, service: Service) -> None:
    """As `gate ledger checkpoint`: what was published of it comes first."""
    client = calls("read")
    with service.ledger.read() as reader:
        ahead = signed_note(service, reader.origin, reader.size + 1, b"\1" * 32)
        forked = signed_note(service, reader.origin, reader.size, b"\1" * 32)
    for note, kind in ((ahead, "LedgerUnavailable"), (forked, "TamperingFound")):
        service.settings.checkpoint_path.write_text(note, "utf-8")
        for path in ("ledger/checkpoint", "ledger/entries/0/proof"):
            answer = client.get(f"/api/v1/{path}")
            assert answer.status_code >= 500
            assert answer.json()["error"] == kind
            assert "checkpoint" not in answer.json()


def test_a_feed_reports_how_far_it_is(calls: Calls) -> None:
    client = calls("consent", "read")
    report = {"source": "console", "watermark": "2023-12-31T23:00:00Z"}
    assert client.post("/api/v1/feeds", json=report).json()["moved"] is True
    assert client.post("/api/v1/feeds", json=report).json()["moved"] is False
    assert [feed["source"] for feed in client.get("/api/v1/feeds").json()["feeds"]] == ["console"]
    assert client.post("/api/v1/feeds", json={**report, "watermark": "2030-01-01T00:00:00Z"}).status_code == 422


# Idempotency keys


def post(
    client: TestClient, key: str | None, body: dict[str, Any] | None = None, path: str = "/api/v1/profiles"
) -> Any:
    return client.post(path, json=body or PROFILE, headers={} if key is None else {"Idempotency-Key": key})


def test_a_repeated_write_gets_the_answer_it_got(calls: Calls, service: Service) -> None:
    client = calls("directory")
    first, size = post(client, "k1"), service.ledger_size()
    again = post(client, "k1")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert first.json()["added"] == 1
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert post(client, "k2").json()["added"] == 0
    assert service.ledger_size() == size


def test_a_key_belongs_to_one_request_of_one_caller_on_one_route(calls: Calls) -> None:
    client = calls("directory", name="one")
    post(client, "k")
    problem = assert_problem(post(client, "k", {**PROFILE, "region": "FR"}), 422)
    assert problem["where"] == "Idempotency-Key"
    other = post(calls("directory", name="two"), "k", {**PROFILE, "region": "FR"})
    assert (other.status_code, "Idempotency-Replayed" in other.headers) == (201, False)
    assert "Idempotency-Replayed" not in post(calls("directory", "read", name="one"), "k").headers


def test_a_failure_is_not_kept(calls: Calls) -> None:
    client = calls("directory")
    assert post(client, "k", {"account_id": ""}).status_code == 422
    assert post(client, "k").status_code == 201


def test_a_caller_who_lost_a_scope_gets_no_old_answer(calls: Calls) -> None:
    post(calls("directory", name="sync"), "k")
    assert post(calls("read", name="sync"), "k").status_code == 403


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_keys_that_are_none(calls: Calls, key: str) -> None:
    assert_problem(post(calls("directory"), key), 422)


def test_answers_are_forgotten_after_their_time(
    calls: Calls, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = calls("directory")
    post(client, "old")
    monkeypatch.setattr(idempotency, "LIFETIME", -idempotency.LIFETIME)
    monkeypatch.setattr(idempotency, "_SWEEP_EVERY", 0.0)
    post(client, "new", {**PROFILE, "region": "FR"})
    assert "Idempotency-Replayed" not in post(client, "old").headers


def test_two_at_once_are_done_once(calls: Calls, service: Service) -> None:
    client, answers = calls("directory"), []
    with service.ledger.write():  # nobody else can write meanwhile
        threads = [threading.Thread(target=lambda: answers.append(post(client, "k"))) for _ in range(2)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 8
        while not answers and time.monotonic() < deadline:
            time.sleep(0.02)
        assert_problem(answers[0], 409)
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [409, 201]


# Limits


@pytest.fixture
def small(service: Service, calls: Calls) -> Iterator[TestClient]:
    app = create_app(lambda: service, limits=Limits(body=300, upload=600))
    with TestClient(app, headers=calls("directory", name="small").headers) as client:
        yield client


def test_a_body_that_is_too_large_is_refused_whatever_it_declares(small: TestClient) -> None:
    large = {**PROFILE, "region": "x" * 400}
    assert_problem(small.post("/api/v1/profiles", json=large), 413)
    chunks = [b'{"account_id": "acme",', b'"region": "', b"x" * 400, b'"}']
    headers = {"Content-Type": "application/json"}
    assert_problem(small.post("/api/v1/profiles", content=iter(chunks), headers=headers), 413)
    keyed = {**headers, "Idempotency-Key": "k"}
    assert_problem(small.post("/api/v1/profiles", content=iter(chunks), headers=keyed), 413)
    assert small.post("/api/v1/profiles", json=PROFILE).status_code == 201


def test_a_repetition_is_not_read_without_bound_either(small: TestClient) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    assert small.post("/api/v1/profiles", json=PROFILE, headers=headers).status_code == 201
    endless = iter([b'{"account_id": "acme", "region": "', *[b"x" * 100] * 10])
    assert_problem(small.post("/api/v1/profiles", content=endless, headers=headers), 413)


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    import anyio

    seen: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    async def silence() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def keep(message: Message) -> None:
        seen.append(message)

    async def run() -> None:
        scope = {"type": "http", "path": "/x", "root_path": "", "headers": [], "method": "POST"}
        await Limiting(app, Limits(body_seconds=0.01))(scope, silence, keep)

    with pytest.raises(Exception, match="in time") as caught:
        anyio.run(run)
    assert getattr(caught.value, "status_code", None) == 408
    assert not seen


# Operation


def test_the_process_lives_while_the_ledger_does_not(tmp_path: Path) -> None:
    def fails() -> Service:
        raise LedgerUnavailable("the disk is gone", where="/secret/path", hint="look at it", reason="cannot_decide")

    client = TestClient(create_app(fails), headers={"Authorization": f"Bearer gate_{'0' * 16}_x"})
    assert client.get("/healthz").status_code == 200
    problem = assert_problem(client.get("/readyz"), 503)
    assert problem["message"] == "the disk is gone"
    assert "/secret/path" not in str(problem)
    answer = client.get("/api/v1/ledger")
    assert assert_problem(answer, 503)["error"] == "LedgerUnavailable"
    assert int(answer.headers["Retry-After"]) > 0


def test_the_service_is_opened_again_after_a_failure(service: Service) -> None:
    tried: list[int] = []

    def second_time() -> Service:
        tried.append(1)
        if len(tried) == 1:
            raise LedgerUnavailable("not yet")
        return service

    client = TestClient(create_app(second_time), headers={"Authorization": f"Bearer gate_{'0' * 16}_x"})
    assert client.get("/api/v1/ledger").status_code == 503
    assert client.get("/api/v1/ledger").status_code == 401
    assert client.get("/api/v1/ledger").status_code == 401
    assert len(tried) == 2


def test_not_ready_without_the_key(service: Service, app: FastAPI) -> None:
    service.settings.key_path.unlink()
    problem = assert_problem(TestClient(app).get("/readyz"), 503)
    assert "key" in problem["message"]
    assert str(service.settings.home) not in str(problem)


def test_what_nobody_foresaw_tells_nothing_of_the_inside(app: FastAPI, calls: Calls) -> None:
    @app.get("/api/v1/broken")
    def broken() -> None:
        raise RuntimeError("the password is hunter2")

    problem = assert_problem(calls("read").get("/api/v1/broken"), 500)
    assert problem["error"] == "CannotDecide"
    assert "hunter2" not in str(problem)


def test_metrics_count_by_codes_and_never_by_account(calls: Calls, service: Service) -> None:
    client = calls("read", "consent")
    client.post("/api/v1/consents", json={"events": [event("acme", "withdraw").to_dict()]})
    client.post("/api/v1/accounts/view", json={"account_id": "acme"})
    client.get("/api/v1/acme")
    client.request("ACME", "/api/v1/ledger")
    text = client.get("/metrics").text
    assert f"gate_ledger_entries {float(service.ledger_size())}" in text
    assert 'gate_requests_total{method="POST",route="/api/v1/consents",status="201"} 1.0' in text
    assert 'gate_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert "gate_request_seconds_bucket" in text
    assert "acme" not in text.lower()
