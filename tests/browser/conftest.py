"""A real Airflow with blocked runs, and Debian's Chromium for each kind of user."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from gate.demo.airflow import stop_session
from gate.demo.lake import make_lake
from gate.demo.seed import record_history
from gate.domain.instants import utc_now
from support.browser_lab import RECORDER, RUN, Lab
from support.databases import fresh_database
from support.real_airflow import real_airflow
from support.world import add_account, event, new_service, say

HERE = Path(__file__).parent
DEMO = ("train_meeting_summary", "train_for_vendor", "train_call_quality", "train_meeting_summary_subset")
ENDING = (*DEMO, "hidden_training")
PARKED = ("review_again", "review_subset", "review_keep", "review_timeout", "review_assigned", "review_pictured")
USERS = {"admin": "ADMIN", "op": "OP", "user": "USER", "viewer": "VIEWER", "rita": "USER"}


def _dags(folder: Path) -> Path:
    """Put the DAGs of the suite beside some of the demo's."""
    shutil.copytree(HERE / "dags", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in DEMO:
        shutil.copy(HERE.parents[1] / "dags" / f"{name}.py", folder)
    return folder


def _seed(home: Path) -> None:
    """Record the demo's history, and three accounts of which one agreed."""
    with new_service(home, utc_now) as service:
        record_history(service)
        for account in ("acme", "zeta", "yara"):
            add_account(service, account)
        say(service, event("acme"))
    (home / "marks").mkdir()
    make_lake(home / "lake")
    files = {"again": ["yara"], "half": ["acme", "zeta", "acme"], "hidden": ["zeta", "secret-customer"]}
    for name, accounts in files.items():
        lines = (json.dumps({"account_id": account, "text": "hello"}) for account in accounts)
        (home / "lake" / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines), "utf-8")


@pytest.fixture(scope="session")
def lab(chrome: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("browser")
    server = os.environ.get("GATE_TEST_POSTGRES_URL")
    settings = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "GATE_RECORDERS": RECORDER,
        "AIRFLOW__OPENLINEAGE__DISABLED": "false",  # the lineage page shows what Airflow itself tells
    }
    with ExitStack() as stack:
        database = stack.enter_context(fresh_database(server)) if server else None
        airflow = stack.enter_context(real_airflow(folder / "airflow", _dags(folder / "dags"), database, **settings))
        _seed(airflow.home.gate)
        airflow.wait_until_healthy()
        airflow.passwords = json.loads(airflow.home.passwords.read_text())  # Airflow added those of its other users
        airflow.wait_for_dags((*ENDING, *PARKED))
        for dag_id in (*ENDING, *PARKED):
            airflow.start(dag_id, RUN, user="admin")
        airflow.wait_until_ended(dict.fromkeys(ENDING, RUN))
        found = Lab(airflow, airflow.home.gate, chrome)
        stack.callback(found.opened.close)
        yield found


@pytest.fixture(scope="session")
def reserved(lab: Lab) -> Iterator[str]:
    """Start a second API server of the same Airflow, where some DAGs are for admins only; return its address.

    `airflow standalone` insists on the simple auth manager, so that one cannot have another.
    """
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = str(place.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    environ = {
        **lab.airflow.environ,
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__CORE__AUTH_MANAGER": "support.auth_manager.ReservedDags",
    }
    command = [str(Path(sys.executable).with_name("airflow")), "api-server", "--workers", "1"]
    with (lab.home / "api-server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:

        def answers() -> str | None:
            with suppress(httpx.HTTPError):
                return url if httpx.get(f"{url}/api/v2/monitor/health", timeout=5).is_success else None
            return None

        yield lab.airflow.until(answers, "a second API server", 300)
    finally:
        stop_session(process)


@pytest.fixture(autouse=True)
def _pages_are_closed(lab: Lab) -> Iterator[None]:
    """Close what a test opened: Airflow's pages ask the server again and again as long as they are open."""
    yield
    lab.opened.close()
