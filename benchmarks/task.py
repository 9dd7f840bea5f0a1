"""A gate task in a real Airflow beside an operator that does nothing: what the gate costs a run, coverage apart.

Durations are Airflow's own, from the task instance: its process has started, and parses the DAG file first.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from benchmarks._common import Row, alone
from benchmarks._permitted import ACCOUNTS, permitted
from gate.demo.airflow import Airflow, running_airflow
from gate.demo.home import Home, new_home

ROWS = 1_000_000
TIMES = 7
BAR = 1.5  # times the task that does nothing, and the coverage itself

_DAGS = """
from airflow.sdk import DAG, BaseOperator
from gate.airflow import ConsentGateOperator, dataset, use

class Idle(BaseOperator):
    def execute(self, context): ...

with DAG("idle", schedule=None):
    Idle(task_id="task")
with DAG("gated", schedule=None):
    meant = use("train", feature="meeting_summary", model="ms-1")
    ConsentGateOperator(task_id="task", datasets=[dataset({data!r}, "account_id")], use=meant)
"""


def prepared(home: Home) -> str:
    """Record consents, write and tag a table of a million rows; return its path."""
    from gate.domain.dataset import dataset
    from gate.service.core import open_service
    from gate.service.tagging import tag_dataset

    os.environ["GATE_HOME"] = str(home.gate)
    os.environ.pop("GATE_DATABASE_URL", None)
    permitted(home.path, runs=1)
    path = str(home.path / "chat.parquet")
    with duckdb.connect() as con:
        rows = (
            f"SELECT 'account-' || (hash(i) % {ACCOUNTS}) AS account_id, 'hello ' || i AS text FROM range({ROWS}) t(i)"
        )
        con.execute(f"COPY ({rows}) TO '{path}'")
    with open_service() as service:
        tag_dataset(service, dataset(path, "account_id"), ["chat"], by="service:bench", via="airflow")
    return path


def coverage(path: str) -> float:
    """Return the seconds that hashing and counting the table take in a process that has done so before."""
    from gate.domain.dataset import dataset
    from gate.scan.census import look
    from gate.scan.coverage import count_coverage

    best = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            began = time.perf_counter()
            count_coverage(look(dataset(path, "account_id"), Path(folder)).census, None)
            best = min(best, time.perf_counter() - began)
    return best


def durations(airflow: Airflow, dag_id: str, run_id: str) -> float:
    """Run a DAG once and return its task's seconds."""
    airflow.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "logical_date": None})
    path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/task"
    while True:
        task: dict[str, Any] = airflow.call("GET", path)
        if task["state"] in ("success", "failed", "upstream_failed"):
            assert task["state"] == "success", task["state"]
            return float(task["duration"])
        time.sleep(0.3)


def main() -> list[Row]:
    """Measure with what a gate needs imported before tasks are forked, and without."""
    return [_measured("gate task / no-op task + coverage", "on"), _measured("the same, nothing preloaded", "off")]


def _measured(what: str, preload: str) -> Row:
    """Run both in turns, after a first run of each."""
    with tempfile.TemporaryDirectory(prefix="gate-bench-") as folder:
        home = new_home(Path(folder))
        path = prepared(home)
        (dags := home.path / "dags").mkdir()
        (dags / "both.py").write_text(_DAGS.format(data=path))
        settings = {"AIRFLOW__CORE__DAGS_FOLDER": str(dags), "GATE_PRELOAD": preload}
        took: dict[str, list[float]] = {"idle": [], "gated": []}
        with running_airflow(home, settings=settings) as airflow:
            airflow.wait_until_healthy()
            airflow.wait_for_dags(took)
            for number in range(TIMES + 1):
                for dag_id, seconds in took.items():
                    seconds.append(durations(airflow, dag_id, f"run-{number}"))
        counting = coverage(path)
    idle, gated = (statistics.median(seconds[1:]) for seconds in took.values())
    note = f"{gated:.2f} s; a task that does nothing {idle:.2f} s, coverage of {ROWS:,} rows {counting:.2f} s"
    return {"what": what, "measured": (gated - counting) / idle, "bar": BAR, "unit": "x", "note": note}


if __name__ == "__main__":
    sys.exit(alone(main))
