"""One real Airflow (scheduler, API server, workers) for many attacks, and the REST calls its four users can make."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import make_url

from gate.demo.airflow import Airflow, environment, stop_session
from gate.demo.home import make_passwords, new_home
from gate.errors import CheckFailed

TESTS = Path(__file__).parents[1]
ENDED = ("success", "failed")
ONE_AT_A_TIME = pytest.mark.xdist_group("airflow")  # two of them want more than two cores have
_T = TypeVar("_T")


@dataclass
class RealAirflow(Airflow):
    """Airflow as its users see it: every call names who makes it.

    Attributes:
        environ: of its processes; `airflow` commands run with it reach the same database and DAG folder.
    """

    environ: Mapping[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def ask(self, user: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Call the REST API as a user; return status and JSON."""
        if user not in self.tokens:
            login = {"username": user, "password": self.passwords[user]}
            self.tokens[user] = httpx.post(f"{self.url}/auth/token", json=login, timeout=60).json()["access_token"]
        headers = {"Authorization": f"Bearer {self.tokens[user]}"}
        answer = httpx.request(method, f"{self.url}/api/v2{path}", json=body, headers=headers, timeout=60)
        return answer.status_code, answer.json() if answer.content else None

    def do(self, user: str, method: str, path: str, body: Any = None) -> Any:
        """Call the REST API as a user who may do this."""
        status, answer = self.ask(user, method, path, body)
        if status >= 400:
            raise CheckFailed(f"{user}: {method} {path}: HTTP {status}: {answer}", where="Airflow")
        return answer

    def start(self, dag_id: str, run_id: str, conf: Mapping[str, Any] | None = None, user: str = "user") -> str:
        """Trigger a run by hand and return its id."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf or {}}

        def started() -> str | None:
            status, answer = self.ask(user, "POST", f"/dags/{dag_id}/dagRuns", body)
            if status >= 500:
                return None  # Airflow's SQLite was locked for too long
            if status >= 400 and status != 409:
                raise CheckFailed(f"{user} cannot trigger {dag_id}: HTTP {status}: {answer}", where="Airflow")
            return run_id

        return self.until(started, f"a run of {dag_id}", 300)

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return a run, with its state."""
        found: dict[str, Any] = self.do("admin", "GET", f"/dags/{dag_id}/dagRuns/{quote(run_id)}")
        return found

    def instances(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the task instances of a run by name; mapped ones as `task[0]`."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances?limit=100"
        found = self.do("admin", "GET", path)["task_instances"]
        return {ti["task_id"] + (f"[{ti['map_index']}]" if ti["map_index"] >= 0 else ""): ti for ti in found}

    def states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of every task instance of a run."""
        return {name: ti["state"] for name, ti in self.instances(dag_id, run_id).items()}

    def upstream_events(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the asset events that triggered a run."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/upstreamAssetEvents"
        found: list[dict[str, Any]] = self.do("admin", "GET", path)["asset_events"]
        return found

    def log_of(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return everything a try logged, exceptions included."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}/logs/{try_number}"
        content = self.do("admin", "GET", f"{path}?map_index={map_index}&full_content=true")["content"]
        return "\n".join(map(str, content))

    def mark(self, user: str, dag_id: str, run_id: str, task_id: str, state: str = "success") -> None:
        """Set a task's state, as the UI's *Mark as* does."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}"
        self.do(user, "PATCH", path, {"new_state": state})

    def clear(self, user: str, dag_id: str, run_id: str, *task_ids: str) -> None:
        """Clear tasks, as the UI's *Clear* does: Airflow runs them again."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "only_failed": False,
            "reset_dag_runs": True,
            "include_downstream": False,
        }
        self.do(user, "POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def wait_until_ended(self, runs: Mapping[str, str], seconds: int = 400) -> dict[str, str]:
        """Wait until every run (dag id → run id) has ended; return the state of each."""

        def ended() -> dict[str, str] | None:
            states = {dag_id: self.run(dag_id, run_id)["state"] for dag_id, run_id in runs.items()}
            return states if set(states.values()) <= set(ENDED) else None

        return self.until(ended, f"{sorted(runs)} to end", seconds)

    def until(self, ask: Callable[[], _T | None], what: str, seconds: int = 120) -> _T:
        """Ask again and again until there is an answer; a server too busy to give one in time is asked again too."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if (answer := ask()) is not None:
                    return answer
            time.sleep(0.5)
        raise CheckFailed(f"waited {seconds} s for {what}", where=str(self.home.log))

    def command(self, *words: str, seconds: int = 240) -> subprocess.CompletedProcess[str]:
        """Run `airflow WORDS` beside it, on the same database and DAG folder."""
        command = [str(Path(sys.executable).with_name("airflow")), *words]
        return subprocess.run(
            command, env=dict(self.environ), capture_output=True, text=True, check=False, timeout=seconds
        )


@contextmanager
def real_airflow(folder: Path, dags: Path, database: str | None = None, **settings: str) -> Iterator[RealAirflow]:
    """Start an Airflow of its own in a folder; at the end everything it started is stopped.

    Args:
        folder: where its home goes.
        dags: the DAG folder.
        database: URL of a PostgreSQL database for its metadata; a SQLite file when omitted.
        **settings: environment on top of the demo's.
    """
    home = new_home(folder)
    passwords = make_passwords(home)
    ports = _free_ports(3)
    environ = environment(home, ports, {**os.environ}) | {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__OPENLINEAGE__DISABLED": "true",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "false",
        "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]),
        **settings,
    }
    if database:
        url = make_url(database).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        environ |= dict.fromkeys(
            ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"), url
        )
    with home.log.open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("airflow")), "standalone"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield RealAirflow(home, ports[0], process, passwords, environ=environ)
    finally:
        stop_session(process)


def _free_ports(count: int) -> tuple[int, ...]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return tuple(one.getsockname()[1] for one in sockets)
