"""A lineage backend on loopback that records what it gets and answers as told; and small events to send it."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PRODUCER = "https://example.org/tests"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"


def run_id(number: int) -> str:
    return str(uuid.UUID(int=(4 << 76) | (2 << 62) | number))


def run_events(number: int, dag: str = "etl") -> list[dict[str, Any]]:
    """Return START and COMPLETE of one run, with a facet nobody knows."""
    common = {
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "job": {"namespace": "airflow", "name": f"{dag}.task", "facets": {}},
        "inputs": [{"namespace": "file", "name": f"/in/{number}", "facets": {}}],
        "outputs": [{"namespace": "file", "name": f"/out/{number}", "facets": {}}],
    }
    facets = {"acme_unknown": {"_producer": PRODUCER, "_schemaURL": SCHEMA, "depth": {"of": [number]}}}
    return [
        {
            **common,
            "eventType": kind,
            "eventTime": f"2026-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.{millis}Z",
            "run": {"runId": run_id(number), "facets": facets},
        }
        for kind, millis in (("START", "000"), ("COMPLETE", "500"))
    ]


def key_of(event: dict[str, Any]) -> tuple[str, str]:
    return event["run"]["runId"], event["eventType"]


class Recorder(ThreadingHTTPServer):
    """Takes events by POST. `status` gives the answer to an event; what was answered 2xx stands in `received`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Answer)
        self.status: Callable[[dict[str, Any]], int] = lambda event: 201
        self.received: list[dict[str, Any]] = []
        self.asked = 0
        self.lock = threading.Lock()

    @property
    def config(self) -> dict[str, Any]:
        """The transport that sends here."""
        return {"type": "http", "url": f"http://127.0.0.1:{self.server_port}"}

    @property
    def firsts(self) -> list[tuple[str, str]]:
        """What was received, each at its first time."""
        return list(dict.fromkeys(map(key_of, self.received)))


class _Answer(BaseHTTPRequestHandler):
    server: Recorder
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked += 1
            status = self.server.status(event)
            if status < 300:
                self.server.received.append(event)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def recording(port: int = 0) -> Iterator[Recorder]:
    """Run a backend."""
    with Recorder(port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
