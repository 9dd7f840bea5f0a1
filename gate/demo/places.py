"""Where the demo's DAGs find the lake and put their models; imported when a DAG file is parsed, so it imports little."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from gate.domain.run import TaskRun
from gate.service.settings import read_settings

MODEL = "model.joblib"

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def lake_uri(environ: Mapping[str, str] = os.environ) -> str:
    """Return where the lake is: `GATE_DEMO_LAKE`, else the folder `lake` of the gate's home."""
    return environ.get("GATE_DEMO_LAKE") or (read_settings(environ).home / "lake").as_uri()


def model_folder(gate_home: Path, dag_id: str, run_id: str) -> Path:
    """Return where the model of one DAG run goes."""
    return gate_home / "models" / dag_id / _UNSAFE.sub("_", run_id)


def output_folder(run: TaskRun, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the training task of `run` puts its model."""
    return model_folder(read_settings(environ).home, run.dag_id, run.run_id)
