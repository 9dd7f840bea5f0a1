"""An app over a small world, and callers with tokens or log-ins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from gate.api.app import create_app
from gate.api.auth import ROLES, Principal
from gate.domain.run import Confirmed
from gate.service.core import Service
from gate.service.tokens import create_token
from support.world import Clock, add_account, event, new_service, say

Calls = Callable[..., TestClient]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        opened.confirm = lambda run: Confirmed()
        add_account(opened, "acme")
        say(opened, event("acme"))
        yield opened


async def logged_in(connection: HTTPConnection) -> Principal | None:
    """Stand in for Airflow's log-in: `X-Person: NAME ROLE`, or the same in a cookie."""
    said, cookie = connection.headers.get("X-Person"), connection.cookies.get("person")
    name, _, role = (said or cookie or "").partition(" ")
    return Principal(name, "person", ROLES[role], "airflow", from_cookie=said is None) if name else None


@pytest.fixture
def app(service: Service) -> FastAPI:
    return create_app(lambda: service, authenticators=[logged_in])


@pytest.fixture
def calls(app: FastAPI, service: Service) -> Calls:
    """Return a client: with a token of these scopes, as a person, or as nobody."""

    def client(*scopes: str, name: str = "caller", person: str = "", **options: Any) -> TestClient:
        headers = {"X-Person": person} if person else {}
        if scopes:
            lifetime = timedelta(days=1)
            token = create_token(service, name, scopes, lifetime=lifetime, by="service:test", via="cli").text
            headers["Authorization"] = f"Bearer {token}"
        return TestClient(app, headers=headers, **{"raise_server_exceptions": False, **options})

    return client
