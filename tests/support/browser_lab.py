"""A real Airflow with the pages in it, the ledger behind them, and a browser for each of its users."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from gate.service.core import Service, open_service
from gate.service.settings import read_settings
from support.real_airflow import ONE_AT_A_TIME, RealAirflow

SHOTS = Path(os.environ.get("GATE_SCREENSHOTS", Path(__file__).parents[2] / "artifacts" / "screenshots"))
RUN = "monday"
RECORDER = "rita"
MARKS = [
    pytest.mark.browser,
    pytest.mark.airflow,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    ONE_AT_A_TIME,
]


@dataclass
class Lab:
    """Airflow, its ledger, and a browser.

    Attributes:
        home: the gate's home, which Airflow's processes and the tests share.
    """

    airflow: RealAirflow
    home: Path
    browser: Browser
    opened: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        return self.airflow.url

    def service(self) -> Service:
        """Open the ledger that Airflow works with."""
        return open_service(read_settings({"GATE_HOME": str(self.home)}))

    def token(self, user: str) -> str:
        login = {"username": user, "password": self.airflow.passwords[user]}
        answer = httpx.post(f"{self.url}/auth/token", json=login, timeout=60)
        return str(answer.raise_for_status().json()["access_token"])

    def context(self, user: str | None = None, **options: Any) -> BrowserContext:
        """Return a browser of its own, logged in as a user."""
        wanted = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options}
        context = self.browser.new_context(**wanted)
        self.opened.callback(context.close)
        context.set_default_timeout(30_000)
        if user:
            context.add_cookies([{"name": "_token", "value": self.token(user), "url": self.url}])
        return context

    def page(self, user: str | None = None, **options: Any) -> Page:
        """Return a page in a browser of its own; what scripts complain about fails the test."""
        page = self.context(user, **options).new_page()
        page.on("pageerror", lambda error: pytest.fail(f"a script failed: {error}"))
        return page

    def shot(self, page: Page, name: str) -> None:
        """Keep a picture; CI keeps the folder."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(SHOTS / f"{name}.png"))

    def instance(self, dag_id: str, task_id: str) -> str | None:
        """Return the state of a task of the suite's run."""
        return self.airflow.states(dag_id, RUN)[task_id]

    def until(self, dag_id: str, task_id: str, *states: str) -> str:
        """Wait until a task of the suite's run is in one of these states."""

        def reached() -> str | None:
            state = self.instance(dag_id, task_id)
            return state if state in states else None

        return self.airflow.until(reached, f"{dag_id}.{task_id} to be {states}", 300)

    def answers(self, dag_id: str) -> list[str]:
        """Return what reviewers answered, as the ledger has it; none of it is a consent."""
        with self.service() as service, service.ledger.read() as reader:
            assert not [entry for entry in reader.entries("consent") if entry.via == "airflow"]
            found = [entry.body for entry in reader.entries("review")]
        return [body["answer"] for body in found if body["run"]["dag_id"] == dag_id]

    def mark(self, dag_id: str) -> str | None:
        """Return what the training code of a DAG wrote: how many rows it read."""
        path = self.home / "marks" / dag_id
        return path.read_text() if path.exists() else None
