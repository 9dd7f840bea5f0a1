"""The decision service on PostgreSQL: redemptions per second under 16 clients, beside a bare FastAPI insert.

Both apps run in the same number of uvicorn processes, on the same server, and get the same clients in turns; what
counts is the median of the turns, for a machine has good and bad moments.
Needs GATE_TEST_POSTGRES_URL; without it there is nothing to measure, and the row says so.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks._permitted import permitted

CLIENTS = 16
WORKERS = 2
ROUNDS = 5
SECONDS = 3.0
WARM_UP = 2.0
MIN_PER_SECOND = 200
MAX_P99_MS = 100
MAX_RATIO = 3.0


def gate_app() -> Any:
    """The real app; only Airflow is left out: whoever asks is taken to be running."""
    from gate.api.app import create_app
    from gate.domain.run import Confirmed
    from gate.service.core import Service, open_service

    def opened() -> Service:
        service = open_service()
        service.confirm = lambda _: Confirmed()
        return service

    return create_app(opened)


def bare_app() -> Any:
    """What anybody would write first: one route, one insert, one commit."""
    from fastapi import FastAPI

    engine, rows = _bare_table()
    app = FastAPI()

    @app.post("/insert", status_code=201)
    def insert(body: dict[str, Any]) -> dict[str, int]:
        with engine.begin() as connection:
            made = connection.execute(rows.insert().values(body=json.dumps(body).encode()))
        return {"id": made.inserted_primary_key[0]}

    return app


def _bare_table() -> tuple[Any, Any]:
    from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, create_engine

    url = os.environ["GATE_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
    return create_engine(url), Table(
        "bare", MetaData(), Column("id", Integer, primary_key=True), Column("body", LargeBinary)
    )


def main() -> list[dict[str, object]]:
    """Measure both."""
    server = os.environ.get("GATE_TEST_POSTGRES_URL")
    if not server:
        return [_row("redemptions", 0, 1, "", "not measured: GATE_TEST_POSTGRES_URL is not set")]
    with tempfile.TemporaryDirectory() as folder, _database(server) as url:
        os.environ["GATE_HOME"], os.environ["GATE_DATABASE_URL"] = folder, url
        token, requests = permitted(Path(folder), runs=CLIENTS)
        engine, rows = _bare_table()
        rows.create(engine)  # before the processes race for it
        engine.dispose()
        with running("bare_app") as bare_port, running("gate_app") as port:
            bodies = [request.to_dict() for request in requests]
            bare = Target(bare_port, "/insert", "", bodies)
            ours = Target(port, "/api/v1/redemptions", f"Authorization: Bearer {token}\r\n", bodies)
            turns = [_turn(bare, ours, number) for number in range(ROUNDS + 1)]
    found = {name: median(turn[name] for turn in turns[1:]) for name in turns[0]}  # the first one warms up
    flat = f"{found['rate']:.0f}/s, bare inserts {found['bare rate']:.0f}/s; {found['cpu']:.1f} ms CPU each"
    paced = f"p50 {found['p50']:.0f} ms; bare inserts {found['bare p50']:.0f} and {found['bare p99']:.0f} ms"
    return [
        _row("redemption, 16 clients flat out", 1000 / found["rate"], 1000 / MIN_PER_SECOND, "ms", flat),
        _row("redemption against a bare insert", found["ratio"], MAX_RATIO, "x", flat),
        _row(f"redemption, p99 at {MIN_PER_SECOND}/s", found["p99"], MAX_P99_MS, "ms", paced),
    ]


def _row(what: str, measured: float, bar: float, unit: str, note: str) -> dict[str, object]:
    return {"what": what, "measured": round(measured, 2), "bar": bar, "unit": unit, "note": note}


@dataclass
class Target:
    """A server under load: where, and what each client sends but for the try, which is new every time."""

    port: int
    path: str
    headers: str
    bodies: list[dict[str, Any]]
    tried: int = 0


def _turn(bare: Target, ours: Target, number: int) -> dict[str, float]:
    """Load both flat out, then at the rate that is asked for."""
    seconds = SECONDS if number else WARM_UP
    spent = _cpu_of_children()
    rate = len(asyncio.run(_load(ours, seconds))) / seconds
    cpu = (_cpu_of_children() - spent) / (rate * seconds) * 1000
    bare_rate = len(asyncio.run(_load(bare, seconds))) / seconds
    found = {"rate": rate, "bare rate": bare_rate, "ratio": bare_rate / rate, "cpu": cpu}
    for name, target in (("", ours), ("bare ", bare)):
        cuts = quantiles(asyncio.run(_load(target, seconds, MIN_PER_SECOND)), n=100)
        found |= {f"{name}p50": cuts[49] * 1000, f"{name}p99": cuts[98] * 1000}
    return found


def _cpu_of_children() -> float:
    """Return the CPU seconds that the processes below this one have used so far."""
    import psutil

    below = psutil.Process().children(recursive=True)
    return float(sum(time.user + time.system for process in below for time in [process.cpu_times()]))


async def _load(target: Target, seconds: float, rate: float | None = None) -> list[float]:
    """Send from every client one request after the other.

    Args:
        rate: requests per second of all clients together; default: as fast as they are answered.

    Returns:
        Seconds per answer. At a rate they count from when the request was due, so that falling behind shows.
    """
    times: list[float] = []
    began = time.perf_counter()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        due = began + number / rate if rate else began
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            target.tried += 1
            writer.write(_request(target, number))
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            said = await reader.readexactly(length)
            assert b" 201 " in answer.partition(b"\r\n")[0], said
            now = time.perf_counter()
            times.append(now - due)
            due = due + CLIENTS / rate if rate else now
        writer.close()

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return times


def _request(target: Target, client: int) -> bytes:
    redemption = target.bodies[client]
    body = json.dumps({**redemption, "run": {**redemption["run"], "try_number": target.tried}}).encode()
    head = f"POST {target.path} HTTP/1.1\r\nHost: x\r\n{target.headers}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def running(app: str) -> Iterator[int]:
    """Serve one of this module's apps; yield the port."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = int(place.getsockname()[1])
    command = [sys.executable, "-m", "uvicorn", f"benchmarks.service:{app}", "--factory", "--port", str(port)]
    options = ["--workers", str(WORKERS), "--no-access-log", "--log-level", "warning"]
    process = subprocess.Popen([*command, *options], start_new_session=True)
    try:
        _wait(port)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz")
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server did not start")


@contextmanager
def _database(server: str) -> Iterator[str]:
    import psycopg

    name = f"gate_bench_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    yield server.rpartition("/")[0] + "/" + name
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


if __name__ == "__main__":
    for row in main():
        print(row)
