"""Where the demo's DAGs find the lake and put their models; DAG files import it when parsed, so it imports little."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from gate.service.settings import read_settings

MODEL = "model.joblib"

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def lake_uri(environ: Mapping[str, str] = os.environ) -> str:
    """Return where the lake is: `GATE_DEMO_LAKE`, else the folder `lake` of the gate's home."""
    return environ.get("GATE_DEMO_LAKE") or (read_settings(environ).home / "lake").as_uri()


def output_folder(dag_id: str, run_id: str, gate_home: Path | None = None) -> Path:
    """Return where one DAG run puts what it makes.

    Args:
        dag_id: the DAG.
        run_id: its run, as Airflow names it.
        gate_home: default: as the environment says.
    """
    return (gate_home or read_settings().home) / "models" / dag_id / _UNSAFE.sub("_", run_id)
