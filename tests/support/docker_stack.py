"""The containers of docker/compose.yaml as the Docker test sees them: commands, crashes, and Airflow's REST API."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gate.demo.home import Home
from gate.errors import CheckFailed
from support.real_airflow import RealAirflow

COMPOSE = "GATE_TEST_COMPOSE"  # docker/test.sh puts the whole command there, with project and files
AIRFLOW_PORT = "AIRFLOW_PORT"
LONG_RUNNING = (
    "postgres",
    "redis",
    "gate",
    "airflow-api",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
    "worker-1",
    "worker-2",
)
WORKERS = ("worker-1", "worker-2")


class _NotOurs:
    """Airflow's process is in a container: whether it lives shows in its answers only."""

    def poll(self) -> None:
        """Say that nothing is known of its end."""


class AirflowInContainers(RealAirflow):
    """Airflow's REST API; an answer that says "not now", as while the database restarts, is no answer."""

    def ask(self, user: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Call as a user; see `RealAirflow.ask`."""
        status, answer = super().ask(user, method, path, body)
        if status >= 500:
            raise httpx.ReadError(f"HTTP {status}")
        return status, answer


@dataclass
class Stack:
    """A running compose project."""

    command: Sequence[str] = field(default_factory=lambda: shlex.split(os.environ[COMPOSE]))

    def compose(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        """Run a compose command and return what it prints.

        Raises:
            CheckFailed: it failed.
        """
        return _run([*self.command, *words], stdin, check)

    def inside(self, service: str, *words: str, check: bool = True) -> str:
        """Run a command in a service's container, as the service's user."""
        return _run(["docker", "exec", self.container(service), *words], None, check)

    def fails_inside(self, service: str, *words: str) -> bool:
        """Whether a command fails there."""
        done = subprocess.run(["docker", "exec", self.container(service), *words], capture_output=True, check=False)
        return done.returncode != 0

    def gate(self, *words: str) -> str:
        """Run `gate WORDS` where the ledger is."""
        return self.inside("gate", "with-secrets", "gate", *words)

    def container(self, service: str) -> str:
        """Return the id of a service's container, running or not."""
        return self.compose("ps", "-q", service).strip()

    def state(self, service: str) -> dict[str, Any]:
        """Return what Docker knows of the container's state."""
        [found] = json.loads(_run(["docker", "inspect", self.container(service)], None, True))
        return {**found["State"], "Restarts": found["RestartCount"]}

    def config(self, service: str) -> dict[str, Any]:
        """Return the container's configuration."""
        [found] = json.loads(_run(["docker", "inspect", self.container(service)], None, True))
        config: dict[str, Any] = found["Config"]
        return config

    def crash(self, service: str) -> None:
        """Kill all of a container at once, as the kernel does when memory ends; its restart policy brings it back."""
        before = self.state(service)
        os.kill(before["Pid"], signal.SIGKILL)
        self.until(lambda: self.state(service)["Restarts"] > before["Restarts"], f"{service} to be restarted")

    def wait_until_healthy(self, *services: str, seconds: int = 600) -> None:
        """Wait until Docker calls them healthy."""
        for service in services or LONG_RUNNING:
            self.until(lambda service=service: self._healthy(service), f"{service} to be healthy", seconds)  # type: ignore[misc]

    def _healthy(self, service: str) -> bool:
        return (self.state(service).get("Health") or {}).get("Status") == "healthy"

    def until(self, ask: Callable[[], bool], what: str, seconds: float = 120, pause: float = 0.5) -> None:
        """Ask again and again until the answer is yes.

        Raises:
            CheckFailed: it was not in time.
        """
        deadline = time.monotonic() + seconds
        while not ask():
            if time.monotonic() > deadline:
                raise CheckFailed(f"waited {seconds} s for {what}", where="Docker")
            time.sleep(pause)

    def worker_of(self, hostname: str) -> str:
        """Return the worker whose container has this name in its network."""
        return next(worker for worker in WORKERS if self.container(worker).startswith(hostname))

    def airflow(self) -> AirflowInContainers:
        """Return a way to talk to its Airflow."""
        passwords = json.loads(self.inside("airflow-api", "cat", "/secrets/users/passwords.json"))
        port = int(os.environ.get(AIRFLOW_PORT, "8080"))
        return AirflowInContainers(Home(Path("containers")), port, _NotOurs(), passwords)  # type: ignore[arg-type]


def _run(command: Sequence[str], stdin: str | None, check: bool) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=900)
    if check and done.returncode:
        raise CheckFailed(f"{shlex.join(command[:12])}: {done.stderr[-2000:]}", where=f"exit {done.returncode}")
    return done.stdout
