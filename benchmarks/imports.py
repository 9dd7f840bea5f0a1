"""What DAG parsing and the command line pay for us: import time and modules beyond Airflow's own, `gate --help`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPEATS = 5
HEAVY = ("pandas", "great_expectations", "duckdb", "ibis", "av", "sqlalchemy", "pyarrow", "pyspark")
_PARSE = """
import json, sys, time
import airflow.sdk
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, dag, task
before = set(sys.modules)
began = time.perf_counter()
from gate.airflow import ConsentGateOperator, ConsentSensor, TagDatasetOperator, dataset, mark_training, training, use
spent = time.perf_counter() - began
print(json.dumps({"ms": spent * 1000, "new": sorted(set(sys.modules) - before)}))
"""


def import_of_gate_airflow() -> dict[str, object]:
    """Import everything a DAG file imports from us, after Airflow's SDK; median of fresh processes, milliseconds."""
    runs = [json.loads(_output([sys.executable, "-c", _PARSE]).splitlines()[-1]) for _ in range(REPEATS)]
    new = {name.partition(".")[0] for run in runs for name in run["new"]}
    return {
        "what": "import gate.airflow above airflow.sdk",
        "measured": statistics.median(run["ms"] for run in runs),
        "bar": 50.0,
        "unit": "ms",
        "note": "heavy modules: " + (", ".join(sorted(new & set(HEAVY))) or "none"),
        "ok": not new & set(HEAVY),
    }


def help_of_gate() -> dict[str, object]:
    """Start `gate --help`; median of fresh processes, seconds; the peer is an interpreter that does nothing."""
    gate = str(Path(sys.executable).with_name("gate"))
    bare = statistics.median(_seconds([sys.executable, "-c", "pass"]) for _ in range(REPEATS))
    ours = statistics.median(_seconds([gate, "--help"]) for _ in range(REPEATS))
    return {
        "what": "gate --help",
        "measured": ours,
        "bar": 0.3,
        "unit": "s",
        "note": f"{ours / bare:.1f} × a bare interpreter",
    }


def main() -> list[dict[str, object]]:
    """Measure both."""
    return [import_of_gate_airflow(), help_of_gate()]


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    _output(command)
    return time.perf_counter() - began


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
