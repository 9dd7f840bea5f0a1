"""The pages over a ledger with the demo's decisions, and people of every role who open them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from gate.domain.run import Confirmed
from gate.service.core import Service, open_service
from gate.service.settings import read_settings
from support.pages import demo_service, site

Visits = Callable[..., TestClient]


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with lake and ledger, made once; tests work on copies."""
    folder = tmp_path_factory.mktemp("pages")
    demo_service(folder).close()
    return folder


@pytest.fixture
def service(demo_folder: Path, tmp_path: Path) -> Iterator[Service]:
    shutil.copytree(demo_folder / "home", tmp_path / "home")
    with open_service(read_settings({"GATE_HOME": str(tmp_path / "home")})) as opened:
        opened.confirm = lambda run: Confirmed()
        yield opened


@pytest.fixture
def app(service: Service) -> FastAPI:
    return site(service)


@pytest.fixture
def visits(app: FastAPI) -> Visits:
    """Return a browser-like client of a person in a role (`support.pages.PEOPLE`), or of nobody."""

    def client(role: str = "", name: str = "ada") -> TestClient:
        headers = {"Sec-Fetch-Site": "same-origin"}
        found = TestClient(app, headers=headers, follow_redirects=False, raise_server_exceptions=False)
        if role:
            found.cookies.set("person", f"{name}+{role}")
        return found

    return client
