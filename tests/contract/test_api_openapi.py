"""The OpenAPI document is true: whatever is sent, every answer is a documented one, and no failure is ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks
from starlette.requests import HTTPConnection

from gate.api.app import create_app
from gate.api.auth import ROLES, Principal
from gate.api.wire import PROBLEM_TYPE
from gate.domain.run import Confirmed
from gate.service.core import Service
from gate.service.tokens import Scope, create_token
from support.world import add_account, event, new_service, say

pytestmark = pytest.mark.slow

WORKER = "worker"
PEOPLE = ("/api/v1/acts",)
BY_SCOPE = {
    "/api/v1/consents": Scope.CONSENT,
    "/api/v1/feeds": Scope.CONSENT,
    "/api/v1/appointments": Scope.DIRECTORY,
    "/api/v1/profiles": Scope.DIRECTORY,
    "/api/v1/lineage": Scope.LINEAGE,
}
CHECKED = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


async def logged_in(connection: HTTPConnection) -> Principal | None:
    name = connection.headers.get("X-Person")
    return Principal(name, "person", ROLES["admin"], "airflow") if name else None


opened: list[Service] = []
app = create_app(lambda: opened[-1], authenticators=[logged_in])
api = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with new_service(tmp_path_factory.mktemp("openapi") / "home") as service:
        service.confirm = lambda run: Confirmed()
        add_account(service, "acme")
        say(service, event("acme"))
        opened.append(service)
        yield service


@pytest.fixture(scope="module")
def tokens(service: Service) -> dict[str, str]:
    asked = {
        WORKER: ["read", "tag", "decide", "redeem"],
        Scope.CONSENT: ["consent", "read"],
        Scope.DIRECTORY: ["directory"],
        Scope.LINEAGE: ["lineage"],
    }
    day = timedelta(days=1)
    return {
        name: create_token(service, "tester", scopes, lifetime=day, by="service:test", via="cli").text
        for name, scopes in asked.items()
    }


@api.parametrize()
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_documented_and_every_failure_a_problem(case: Any, tokens: dict[str, str]) -> None:
    if case.path.startswith(PEOPLE):
        headers = {"X-Person": "ada"}
    else:
        headers = {"Authorization": f"Bearer {tokens[BY_SCOPE.get(case.path, WORKER)]}"}
    made_up = {name: value for name, value in (case.headers or {}).items() if name.lower() != "authorization"}
    case.headers = {**made_up, **headers}
    answer = case.call()
    case.validate_response(answer, checks=CHECKED)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == [PROBLEM_TYPE]
        assert answer.json()["status"] == answer.status_code
    assert answer.status_code not in (401, 500)


def test_the_document_names_everything_under_one_version() -> None:
    document = app.openapi()
    assert document["info"]["title"] == "Consent Gate"
    assert all(path.startswith("/api/v1/") or path in ("/healthz", "/readyz", "/metrics") for path in document["paths"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (path, method)
            assert PROBLEM_TYPE in operation["responses"]["default"]["content"], (path, method)
