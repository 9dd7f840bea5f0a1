"""As much of Airflow's REST API as tells what is running: an HTTP server for tests without an Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote

from gate.domain.run import TaskRun

TOKEN = "airflow-token"


@dataclass
class AirflowRest:
    """What this Airflow says it runs, and where it answers."""

    url: str = ""
    running: set[TaskRun] = field(default_factory=set)

    def environ(self) -> dict[str, str]:
        """Return the settings that let us ask it."""
        return {"GATE_AIRFLOW_URL": self.url, "GATE_AIRFLOW_TOKEN": TOKEN}

    def answer(self, path: str) -> dict[str, Any] | None:
        """Return what Airflow says of a run or of a task instance."""
        words = [unquote(word) for word in path.removeprefix("/api/v2/dags/").split("/")]
        dag_id, run_id = words[0], words[2]
        if len(words) == 3 and any((run.dag_id, run.run_id) == (dag_id, run_id) for run in self.running):
            return {
                "dag_id": dag_id,
                "dag_run_id": run_id,
                "run_type": "manual",
                "state": "running",
                "triggered_by": "rest_api",
                "queued_at": "2026-11-21T12:00:00Z",
            }
        if len(words) < 5:
            return None
        map_index = int(words[5]) if len(words) > 5 else -1
        for run in self.running:
            if (run.dag_id, run.run_id, run.task_id, run.map_index) == (dag_id, run_id, words[4], map_index):
                return {
                    **{name: value for name, value in run.to_dict().items() if name != "run_id"},
                    "dag_run_id": run_id,
                    "state": "running",
                    "queued_when": "2026-11-21T12:00:00Z",
                    "hostname": "worker-1",
                    "pid": 7,
                }
        return None


@contextmanager
def airflow_rest(*running: TaskRun) -> Iterator[AirflowRest]:
    """Run it, with these tries running."""
    airflow = AirflowRest(running=set(running))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["Authorization"] == f"Bearer {TOKEN}"
            answer = airflow.answer(self.path) if known else None
            body = json.dumps(answer or {"detail": "unknown"}).encode()
            self.send_response(200 if answer else 404 if known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        airflow.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield airflow
        finally:
            server.shutdown()
            thread.join()
