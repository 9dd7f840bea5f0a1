"""Runs a real Airflow beside us: starts it, talks REST to it, and stops every process it started."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from gate.demo.home import USERS, Home, make_passwords
from gate.errors import CheckFailed, InputError
from gate.resources import shipped

NAMESPACE = "consent-gate-demo"  # of the OpenLineage jobs
RUN_ID = "demo"  # every demo has an Airflow of its own; a short id makes addresses people can read
START_SECONDS = 400  # a busy machine takes its time; an Airflow that ended is noticed at once
STOP_SECONDS = 15
_HOST = "127.0.0.1"
_T = TypeVar("_T")
_FOREIGN = ("AIRFLOW", "GATE_", "OPENLINEAGE")  # settings of other installations that must not leak into the demo
_NONE: Mapping[str, str] = {}
_PARTS = ("metadatabase", "scheduler", "dag_processor")


@dataclass
class Airflow:
    """A running Airflow and a way to talk to it."""

    home: Home
    port: int
    process: subprocess.Popen[bytes]
    passwords: Mapping[str, str]
    token: str | None = None

    @property
    def url(self) -> str:
        """Where people open it."""
        return f"http://{_HOST}:{self.port}"

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask the REST API.

        Raises:
            OSError: nobody listens (yet).
            CheckFailed: the answer is an error.
        """
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=30)  # seconds
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from None
        finally:
            connection.close()
        if response.status >= 400:
            raise CheckFailed(f"{method} {path}: HTTP {response.status}", where="Airflow", hint=f"see {self.home.log}")
        answer: dict[str, Any] = json.loads(text)
        return answer

    def wait_until_healthy(self) -> None:
        """Wait for database, scheduler and DAG processor, then sign in.

        Raises:
            CheckFailed: it ended, or is not healthy in time.
        """

        def healthy() -> bool | None:
            with suppress(CheckFailed):
                health = self.call("GET", "/api/v2/monitor/health")
                return all((health.get(part) or {}).get("status") == "healthy" for part in _PARTS) or None
            return None

        self._wait_for(healthy, "did not become healthy", START_SECONDS)
        admin = {"username": "admin", "password": self.passwords["admin"]}
        self.token = self.call("POST", "/auth/token", admin)["access_token"]

    def wait_for_dags(self, wanted: Collection[str]) -> None:
        """Wait until the DAGs were parsed.

        Raises:
            CheckFailed: one cannot be imported, or is not there in time.
        """

        def parsed() -> bool | None:
            errors = self.call("GET", "/api/v2/importErrors")["import_errors"]
            if errors:
                last = errors[0]["stack_trace"].strip().splitlines()[-1]
                raise CheckFailed(f"a DAG cannot be imported: {last}", where=errors[0]["filename"])
            dags = self.call("GET", "/api/v2/dags?limit=100")["dags"]
            return {dag["dag_id"] for dag in dags}.issuperset(wanted) or None

        self._wait_for(parsed, "did not find the demo's DAGs", START_SECONDS)

    def trigger(self, dag_id: str) -> str:
        """Start the DAG's only run of this demo and return its id."""
        body = {"dag_run_id": RUN_ID, "logical_date": None}
        run_id: str = self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"]
        return run_id

    def wait_for_runs(self, runs: Mapping[str, str], seconds: int) -> dict[str, str]:
        """Wait until every run (dag id → run id) has ended.

        Returns:
            The state of each, by dag id.

        Raises:
            CheckFailed: one is still going after `seconds`.
        """

        def ended() -> dict[str, str] | None:
            found = self.call("GET", "/api/v2/dags/~/dagRuns?limit=100")["dag_runs"]
            states = {run["dag_id"]: run["state"] for run in found if runs.get(run["dag_id"]) == run["dag_run_id"]}
            done = [state for state in states.values() if state in ("success", "failed")]
            return states if len(done) == len(runs) else None

        return self._wait_for(ended, "did not finish its runs", seconds)

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task of a run."""
        answer = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances?limit=100")
        return {task["task_id"]: task["state"] for task in answer["task_instances"]}

    def run_url(self, dag_id: str, run_id: str) -> str:
        """Return the page of a run in Airflow's UI."""
        return f"{self.url}/dags/{dag_id}/runs/{quote(run_id)}"

    def wait_until_stopped(self) -> None:
        """Wait until Airflow ends by itself: somebody else stopped it."""
        self.process.wait()

    def _wait_for(self, ask: Callable[[], _T | None], failure: str, seconds: int) -> _T:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(OSError):  # nobody listens yet, or is too busy to answer in time
                if (answer := ask()) is not None:
                    return answer
            if (code := self.process.poll()) is not None:
                raise self._failed(f"ended with code {code}")
            time.sleep(0.5)
        raise self._failed(f"{failure} within {seconds} s")

    def _failed(self, what: str) -> CheckFailed:
        return CheckFailed(f"Airflow {what}", where=str(self.home.log), hint=_tail(self.home.log))


@contextmanager
def running_airflow(home: Home, port: int | None = None, settings: Mapping[str, str] = _NONE) -> Iterator[Airflow]:
    """Start Airflow and stop it at the end, whatever happens. It is not healthy yet when it is handed over.

    Args:
        home: its folder.
        port: of the API server and UI; a free one when omitted.
        settings: environment variables that go before the demo's own.

    Raises:
        InputError: the port is taken.
    """
    ports = _free_ports(3, port)
    passwords = make_passwords(home)
    with home.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  our own interpreter's airflow, fixed arguments
            [str(_bin() / "airflow"), "standalone"],
            env={**environment(home, ports), **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C must reach us only: we stop Airflow in order
        )
    try:
        yield Airflow(home, ports[0], process, passwords)
    finally:
        stop_session(process)


def environment(home: Home, ports: tuple[int, ...], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return Airflow's environment: everything of ours, nothing of another Airflow or gate on this machine.

    Args:
        home: the demo's folder.
        ports: of the API server, the worker's and the triggerer's log servers.
        environ: where the rest comes from.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(_FOREIGN)}
    url = f"http://{_HOST}:{ports[0]}"
    return kept | {
        "PATH": f"{_bin()}{os.pathsep}{environ.get('PATH', os.defpath)}",  # standalone starts `airflow` by name
        "AIRFLOW_HOME": str(home.airflow),
        "GATE_HOME": str(home.gate),
        "GATE_DEMO_LAKE": home.lake.as_uri(),
        "GATE_CONTRACTS": "off",  # each tag task would take seconds to load Great Expectations
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),  # Airflow's own is shorter than its algorithm asks for
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": _HOST,
        "AIRFLOW__API__PORT": str(ports[0]),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(shipped("dags")),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home.passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        # SQLite gives up after 5 seconds otherwise, and with it the scheduler, while others use the machine too.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home.airflow / 'airflow.db'}?timeout=60",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports[1]),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(ports[2]),
        "AIRFLOW__OPENLINEAGE__NAMESPACE": NAMESPACE,
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport(home)),
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # seconds; a busy machine must not fail tasks that never began
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }


def transport(home: Home) -> dict[str, Any]:
    """Return where Airflow's OpenLineage client brings events: the demo's lineage store, and a file beside it.

    Each part is tried whatever became of the other. An event of the outbox is with the store already, which is why we
    leave out the store's part there: the file must take it, or it stays in the outbox.
    """
    return {
        "type": "composite",
        "continue_on_failure": True,
        "continue_on_success": True,
        "transports": {
            "lineage": {"type": "gate.lineage.transport.GateTransport", "home": str(home.gate)},
            "file": {"type": "gate.lineage.transport.AppendTransport", "log_file_path": str(home.events)},
        },
    }


def _bin() -> Path:
    return Path(sys.executable).parent


def _free_ports(count: int, wanted: int | None) -> tuple[int, ...]:
    # All are held at once, so that they differ; Airflow binds them a moment later.
    sockets = [socket.socket() for _ in range(count)]
    try:
        for number, one in zip([wanted or 0, *[0] * (count - 1)], sockets, strict=True):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a demo that just ended is no obstacle
            one.bind((_HOST, number))
        return tuple(one.getsockname()[1] for one in sockets)
    except (OSError, OverflowError) as error:
        raise InputError(f"port {wanted} cannot be used: {error}", where="--port", hint="choose another") from None
    finally:
        for one in sockets:
            one.close()


def stop_session(process: subprocess.Popen[bytes], patience: float = STOP_SECONDS) -> None:
    """End a process that leads a session, and all of that session: Airflow gives tasks process groups of their own.

    Args:
        process: the leader.
        patience: seconds between asking and killing.
    """
    _signal_all(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    try:
        while _signal_all(process.pid, None) and time.monotonic() < deadline:
            process.poll()
            time.sleep(0.1)
    finally:  # a second Ctrl-C ends the waiting, not the stopping
        _signal_all(process.pid, signal.SIGKILL)
        process.wait()


def _signal_all(session: int, number: signal.Signals | None) -> int:
    """Signal every living process of a session (`None`: only count them) and return how many there are."""
    import psutil  # type: ignore[import-untyped]

    found = 0
    for one in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(one.pid) == session and one.status() != psutil.STATUS_ZOMBIE:
                found += 1
                if number is not None:
                    one.send_signal(number)
    return found


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return "its last words: " + " / ".join(line.strip()[:200] for line in lines[-3:])
