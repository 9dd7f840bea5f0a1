"""Throwaway databases on the PostgreSQL server of the tests, and throwaway servers for tests that break them."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MISSING = "GATE_TEST_POSTGRES_URL is not set: the PostgreSQL half of the suite does not run"


def postgres_server() -> str:
    """Return the URL of the tests' server; without one, fail in CI and skip elsewhere."""
    server = os.environ.get("GATE_TEST_POSTGRES_URL")
    if server:
        return server
    if os.environ.get("CI") == "true":
        pytest.fail(MISSING)
    pytest.skip(MISSING)


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """Make an empty database, hand over its URL, and drop it at the end."""
    import psycopg
    from sqlalchemy import make_url

    name = f"gate_test_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


class OwnServer:
    """A PostgreSQL server of one test, which may be stopped, killed and started again."""

    def __init__(self, folder: Path, primary: OwnServer | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"postgresql://gate@127.0.0.1:{self.port}/postgres"
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        if primary is None:
            self._run("initdb", f"--pgdata={self.data}", "--auth=trust", "--username=gate", "--no-sync")
        else:
            where = ("--host=127.0.0.1", f"--port={primary.port}", "--username=gate")
            self._run("pg_basebackup", f"--pgdata={self.data}", *where, "--write-recovery-conf", "--checkpoint=fast")
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        log = self.folder / "server.log"
        self._run("pg_ctl", f"--pgdata={self.data}", f"--log={log}", "--wait", "start", f"--options={options}")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", f"--pgdata={self.data}", f"--mode={mode}", "--wait", "stop")

    def restart(self, mode: str = "immediate") -> None:
        """`immediate` is a crash: the server recovers from its write-ahead log."""
        self.stop(mode)
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        binary = str(max(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda p: int(p.parts[-3])))
        as_postgres = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        command = [*as_postgres, binary, *arguments]
        # The server inherits what it is given: a pipe would never end.
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)


@contextmanager
def own_server(primary: OwnServer | None = None) -> Iterator[OwnServer]:
    """Run a server for one test, or a replica of one.

    Where the PostgreSQL half of the suite does not run, this one does not either.
    """
    postgres_server()
    with tempfile.TemporaryDirectory(prefix="gate-own-postgres-") as folder:
        server = OwnServer(Path(folder), primary)
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):
                server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
