"""What the lock adds to a training task: a fresh worker process each time, from its first question to the permit.

Airflow's own start and the parsing of the DAG file are over before the clock runs; Airflow's supervisor is left out:
whoever asks is taken to be running. The dataset is small; how fast hashing is stands in a row of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks._common import Row, alone, best_of
from benchmarks._permitted import permitted
from benchmarks.service import running

REPEATS = 9
EMBEDDED_MS, REMOTE_MS = 150, 50
HASHED_MIB = 256
MAX_OF_BARE = 1.5

_WORKER = """
import json, sys, time
import airflow.settings, airflow.plugins_manager
import airflow.sdk.execution_time.task_runner
import airflow.sdk.execution_time.supervisor  # a task is a fork of it
from types import SimpleNamespace
from airflow.sdk import DAG, BaseOperator

began = time.perf_counter()
import gate.airflow.policy
from gate.airflow import dataset, mark_training, use
from gate.airflow.guard import guard_of

class Train(BaseOperator):
    def execute(self, context): ...

path, try_number, remote = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "remote"
meant = use("train", feature="meeting_summary", model="ms-1")
with DAG("train"):
    task = mark_training(Train(task_id="train"), reads=[dataset(path, "account_id")], use=meant)
parsed = time.perf_counter()

from gate.domain.run import Confirmed
import gate.airflow.identity
gate.airflow.identity.confirm_running = lambda run: Confirmed()
ti = SimpleNamespace(dag_id="train", run_id="run-0", task_id="train", map_index=-1, try_number=try_number)
waited, start = 0.0, time.perf_counter()
if remote:
    import httpx
    send = httpx.HTTPTransport.handle_request
    def handle_request(self, request):
        global waited
        sent = time.perf_counter()
        answer = send(self, request)
        waited += time.perf_counter() - sent
        return answer
    httpx.HTTPTransport.handle_request = handle_request
guard_of(task).stand({"ti": ti, "task": task})
spent = time.perf_counter() - start
print(json.dumps({"parse": parsed - began, "guard": spent, "waited": waited}))
"""


def main() -> list[Row]:
    """Measure both modes, and hashing."""
    with tempfile.TemporaryDirectory(prefix="gate-bench-") as folder:
        home = Path(folder)
        os.environ.update(GATE_HOME=folder, AIRFLOW_HOME=str(home / "airflow"))
        os.environ.pop("GATE_DATABASE_URL", None)
        token, _ = permitted(home, runs=1)
        keys = (home / "keys" / "pinned.txt").read_text("ascii").split("\n")
        embedded = _guarded(home, {}, first=1)
        with running("gate_app") as port:
            where = {"conn_type": "consent_gate", "host": f"http://127.0.0.1:{port}", "password": token}
            connection = json.dumps({**where, "extra": {"keys": [key for key in keys if key]}})
            remote = _guarded(home, {"AIRFLOW_CONN_GATE_DEFAULT": connection}, first=1000)
        hashing = _hashing(home)
    note = f"a fresh process, SQLite; parsing before it {embedded['parse']:.0f} ms"
    waited = f"a fresh process; besides, it waited {remote['waited']:.0f} ms for the service"
    ours = remote["guard"] - remote["waited"]
    return [
        {"what": "guard, embedded", "measured": embedded["guard"], "bar": EMBEDDED_MS, "unit": "ms", "note": note},
        {"what": "guard, remote", "measured": ours, "bar": REMOTE_MS, "unit": "ms", "note": waited},
        hashing,
    ]


def _guarded(home: Path, environment: Mapping[str, str], *, first: int) -> dict[str, float]:
    """Return the medians, in milliseconds, of fresh processes that each redeem a try of their own."""
    mode = "remote" if environment else "embedded"
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    runs = []  # the median: the first one may still compile what an installed package has compiled
    for try_number in range(first, first + REPEATS):
        command = [sys.executable, "-c", _WORKER, str(home / "chat.jsonl"), str(try_number), mode]
        done = subprocess.run(command, capture_output=True, text=True, env={**inherited, **environment})
        if done.returncode:
            raise RuntimeError(done.stderr)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: statistics.median(run[name] for run in runs) * 1000 for name in runs[0]}


def _hashing(home: Path) -> Row:
    """Digest a file that the page cache holds, beside SHA-256 over the same bytes in memory."""
    from gate.domain.dataset import dataset
    from gate.scan.digest import measure

    path, content = home / "large.csv", b"account_id,text\n" + os.urandom(2**20) * HASHED_MIB
    path.write_bytes(content)
    data = dataset(str(path), "account_id")

    def bare() -> object:
        import hashlib

        return hashlib.sha256(content).digest()

    (peer, _), (spent, _) = best_of(3, bare, lambda: measure(data))
    note = f"{len(content) / spent / 1e9:.2f} GB/s, bare SHA-256 {len(content) / peer / 1e9:.2f} GB/s"
    return {"what": "digest of a dataset", "measured": spent / peer, "bar": MAX_OF_BARE, "unit": "x", "note": note}


if __name__ == "__main__":
    raise SystemExit(alone(main))
