"""Nobody gets past the door unknown, nobody does what their scopes do not say, and a cookie alone changes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from gate.api.auth import ACCOUNTS, ACT, OPEN_PATHS, ROLES, RUNS, Principal
from gate.service.core import Service
from gate.service.tokens import Scope, create_token, list_tokens, revoke_token
from support.world import Clock
from unit.api.conftest import Calls

OWN_PAGE = {"X-Requested-With": "consent-gate", "Sec-Fetch-Site": "same-origin"}
PROPOSAL = {"act": "key_rotation", "params": {}, "reason": "yearly"}


def routes(app: FastAPI) -> list[APIRoute]:
    return [route for route in app.routes if isinstance(route, APIRoute)]


def scopes_of(route: APIRoute) -> set[str]:
    flat = [route.dependant]
    for dependant in flat:
        flat += dependant.dependencies
    return {scope for dependant in flat for scope in (dependant.own_oauth_scopes or [])}


def path_of(route: APIRoute) -> str:
    return route.path.replace("{index}", "0")


def test_every_route_turns_strangers_away(app: FastAPI, calls: Calls) -> None:
    nobody = calls()
    assert len(routes(app)) > 20
    for route in routes(app):
        for method in route.methods:
            answer = nobody.request(method, path_of(route))
            if route.path in OPEN_PATHS:
                assert answer.status_code == 200, route.path
            else:
                assert answer.status_code == 401, route.path
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert answer.headers["Content-Type"] == "application/problem+json"


def test_what_is_open_tells_nothing(calls: Calls) -> None:
    nobody = calls()
    assert nobody.get("/healthz").text == "ok"
    assert nobody.get("/readyz").json() == {"ready": True}
    assert nobody.get("/nowhere").status_code == 401
    assert set(OPEN_PATHS) == {"/healthz", "/readyz", "/api/v1/openapi.json", "/ui/login"}


def test_every_route_needs_the_scope_it_names_and_no_other(app: FastAPI, calls: Calls) -> None:
    clients = {scope: calls(scope) for scope in Scope}
    brings: dict[str, set[str]] = {Scope.READ: {RUNS, ACCOUNTS}}  # what a token's scope stands for on pages
    for route in routes(app):
        needed = scopes_of(route)
        if not needed:
            continue
        for scope, client in clients.items():
            [method] = route.methods
            answer = client.request(method, path_of(route))
            may = not needed.isdisjoint({scope} | brings.get(scope, set()))
            assert (answer.status_code == 403) is (not may), (route.path, scope)
            if not may:
                assert answer.json()["error"] == "CannotDecide"


def test_routes_without_a_scope_are_the_few_that_anybody_known_may_ask(app: FastAPI) -> None:
    assert {route.path for route in routes(app) if not scopes_of(route)} == {
        "/healthz",
        "/readyz",
        "/api/v1/whoami",
        "/api/v1/keys",
        "/api/v1/ledger",
    }


def test_a_token_that_does_not_hold_is_refused(calls: Calls, service: Service, clock: Clock) -> None:
    new = create_token(service, "worker", ["read"], lifetime=timedelta(days=1), by="service:test", via="cli")
    nobody = calls()

    def asked(credential: str) -> int:
        return nobody.get("/api/v1/whoami", headers={"Authorization": credential}).status_code

    assert asked(f"Bearer {new.text}") == 200 == asked(f"bearer  {new.text}")
    for wrong in (
        new.text,
        f"Basic {new.text}",
        "Bearer",
        "Bearer x",
        f"Bearer {new.text}x",
        f"Bearer {new.text[:-1]}",
    ):
        assert asked(wrong) == 401, wrong
    assert nobody.get("/api/v1/whoami", params={"token": new.text, "access_token": new.text}).status_code == 401
    clock.forward(days=1)
    expired = nobody.get("/api/v1/whoami", headers={"Authorization": f"Bearer {new.text}"})
    assert (expired.status_code, expired.json()["message"]) == (401, "the service token is expired")


def test_a_revocation_counts_at_the_next_request(calls: Calls, service: Service) -> None:
    client = calls("read")
    assert client.get("/api/v1/whoami").status_code == 200
    [token] = list_tokens(service)
    revoke_token(service, token.token_id, by="service:test", via="cli")
    assert client.get("/api/v1/whoami").status_code == 401


def test_who_did_it_comes_from_the_token_and_not_from_the_request(calls: Calls, service: Service) -> None:
    said = {"account_id": "acme", "region": "DE", "by": "service:directory"}
    client = calls("directory", name="hr-sync")
    assert client.post("/api/v1/profiles", json=said).status_code == 422
    assert client.post("/api/v1/profiles", json={"account_id": "acme", "region": "DE"}).status_code == 201
    with service.ledger.read() as reader:
        newest = reader.latest("profile")
    assert newest is not None
    assert (newest.by, newest.via) == ("service:hr-sync", "api")


def test_a_person_is_recorded_by_an_erasable_reference(calls: Calls, service: Service) -> None:
    index = calls(person="ada@example.org admin").post("/api/v1/acts", json=PROPOSAL).json()["index"]
    with service.ledger.read() as reader:
        entry = reader.entry(index)
        assert entry.by.startswith("person:")
        assert b"ada@" not in entry.payload
        assert reader.open_ref(entry.by.removeprefix("person:")) == "airflow|ada@example.org"


def test_no_token_and_no_auditor_proposes_anything(calls: Calls) -> None:
    for scope in Scope:
        assert calls(scope).post("/api/v1/acts", json=PROPOSAL).status_code == 403
    assert calls(person="ada auditor").post("/api/v1/acts", json=PROPOSAL).status_code == 403
    assert calls(person="ada reviewer").post("/api/v1/acts", json=PROPOSAL).status_code == 201


def test_roles_never_hold_what_workers_and_directories_hold() -> None:
    for scopes in ROLES.values():
        assert scopes <= {"read", RUNS, ACCOUNTS, "consent", ACT}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Requested-With": "consent-gate"},
        {"Sec-Fetch-Site": "same-origin"},
        {"X-Requested-With": "XMLHttpRequest", "Sec-Fetch-Site": "same-origin"},
        {"X-Requested-With": "consent-gate", "Sec-Fetch-Site": "cross-site"},
        {"X-Requested-With": "consent-gate", "Sec-Fetch-Site": "same-site", "Origin": "http://testserver"},
        {"X-Requested-With": "consent-gate", "Origin": "http://evil.example"},
        {"X-Requested-With": "consent-gate", "Origin": "null"},
    ],
)
def test_a_cookie_alone_changes_nothing(calls: Calls, service: Service, headers: dict[str, str]) -> None:
    browser = calls(cookies={"person": "ada admin"})
    size = service.ledger_size()
    answer = browser.post("/api/v1/acts", json=PROPOSAL, headers=headers)
    assert (answer.status_code, service.ledger_size()) == (403, size)


def test_our_own_page_may_use_the_cookie(calls: Calls) -> None:
    browser = calls(cookies={"person": "ada admin"})
    assert browser.get("/api/v1/whoami").json()["name"] == "ada"
    assert browser.post("/api/v1/acts", json=PROPOSAL, headers=OWN_PAGE).status_code == 201
    by_origin = {"X-Requested-With": "consent-gate", "Origin": "http://testserver"}
    assert browser.post("/api/v1/acts", json=PROPOSAL, headers=by_origin).status_code == 201


def test_two_people_are_two_log_ins(calls: Calls) -> None:
    ada, bob = calls(person="ada admin"), calls(person="bob reviewer")
    index = ada.post("/api/v1/acts", json=PROPOSAL).json()["index"]
    alone = ada.post(f"/api/v1/acts/{index}/approval", json={"act": "key_rotation"})
    assert (alone.status_code, alone.json()["error"]) == (403, "ActRefused")
    assert bob.get(f"/api/v1/acts/{index}").json()["state"] == "open"
    other = bob.post(f"/api/v1/acts/{index}/approval", json={"act": "mode"})
    assert other.status_code == 422
    done = bob.post(f"/api/v1/acts/{index}/approval", json={"act": "key_rotation"})
    assert (done.status_code, done.json()["kind"]) == (201, "key")
    [act] = bob.get("/api/v1/acts", params={"state": "approved"}).json()["acts"]
    assert (act["by"], act["approved_by"]) == ("airflow|ada", "airflow|bob")


def test_a_proposal_can_be_taken_back_by_its_proposer_only(calls: Calls) -> None:
    ada, bob = calls(person="ada admin"), calls(person="bob admin")
    index = ada.post("/api/v1/acts", json=PROPOSAL).json()["index"]
    assert bob.post(f"/api/v1/acts/{index}/withdrawal").status_code == 403
    assert ada.post(f"/api/v1/acts/{index}/withdrawal").status_code == 201
    assert ada.get(f"/api/v1/acts/{index}").json()["state"] == "withdrawn"
    assert ada.get("/api/v1/acts/0").status_code == 422


def test_the_app_can_be_mounted_below_a_prefix(app: FastAPI, calls: Calls) -> None:
    outer = FastAPI()
    outer.mount("/gate", app)
    token = calls("read").headers["Authorization"]
    with TestClient(outer) as client:
        assert client.get("/gate/readyz").status_code == 200
        assert client.get("/gate/api/v1/ledger").status_code == 401
        assert client.get("/gate/api/v1/ledger", headers={"Authorization": token}).status_code == 200
        assert client.get("/gate/healthzz").status_code == 401


def test_a_principal_names_itself_unambiguously() -> None:
    robot = Principal("directory", "person", frozenset(), "airflow")
    assert robot.actor == "airflow|directory"
    assert Principal("gpu", "service", frozenset(), "gate").actor == "service:gpu"
