"""The decision service on PostgreSQL: redemptions per second under 16 clients, beside a bare FastAPI insert.

Both apps run in the same number of uvicorn processes, on the same server, with the same clients, one after the other.
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
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks._permitted import permitted

CLIENTS = 16
WORKERS = 2
SECONDS = 8.0
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
        redemptions = [request.to_dict() for request in requests]
        engine, rows = _bare_table()
        rows.create(engine)  # before the processes race for it
        engine.dispose()
        headers = f"Authorization: Bearer {token}\r\n"
        bare = _measured("bare_app", "/insert", "", redemptions)
        ours = _measured("gate_app", "/api/v1/redemptions", headers, redemptions)
    note = f"p50 {ours['p50']:.0f} ms, {ours['cpu']:.1f} ms CPU of the service; "
    note += f"bare insert {bare['rate']:.0f}/s, p99 {bare['p99']:.0f} ms, {bare['cpu']:.1f} ms CPU"
    return [
        _row(
            "redemption: ms each at 16 clients",
            1000 / ours["rate"],
            1000 / MIN_PER_SECOND,
            "ms",
            f"{ours['rate']:.0f}/s",
        ),
        _row("redemption: p99", ours["p99"], MAX_P99_MS, "ms", note),
        _row("redemptions against bare inserts", bare["rate"] / ours["rate"], MAX_RATIO, "×", note),
    ]


def _row(what: str, measured: float, bar: float, unit: str, note: str) -> dict[str, object]:
    return {"what": what, "measured": round(measured, 2), "bar": bar, "unit": unit, "note": note}


def _measured(app: str, path: str, headers: str, redemptions: list[dict[str, Any]]) -> dict[str, float]:
    with running(app) as port:
        asyncio.run(_load(port, path, headers, redemptions, 1_000_000, WARM_UP))
        began, spent = time.perf_counter(), _cpu_of_children()
        times = asyncio.run(_load(port, path, headers, redemptions, 0, SECONDS))
        took, spent = time.perf_counter() - began, _cpu_of_children() - spent
    cuts = quantiles(times, n=100)
    each = spent / len(times) * 1000
    return {"rate": len(times) / took, "p50": cuts[49] * 1000, "p99": cuts[98] * 1000, "cpu": each}


def _cpu_of_children() -> float:
    """Return the CPU seconds that the processes below this one have used so far."""
    import psutil

    below = psutil.Process().children(recursive=True)
    return float(sum(time.user + time.system for process in below for time in [process.cpu_times()]))


async def _load(
    port: int, path: str, headers: str, redemptions: list[dict[str, Any]], first: int, seconds: float
) -> list[float]:
    """Send one redemption after the other from each client, every one for a try of its own."""
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        redemption, tried = redemptions[number], first
        while time.perf_counter() < until:
            tried += 1
            body = json.dumps({**redemption, "run": {**redemption["run"], "try_number": tried}}).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Type: application/json\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            began = time.perf_counter()
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            said = await reader.readexactly(length)
            times.append(time.perf_counter() - began)
            assert b" 201 " in answer.partition(b"\r\n")[0], said
        writer.close()

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return times


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
