"""Airflow imports what gate tasks need only where the platform says so; nothing there can break Airflow."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_SCRIPT = "import sys, gate.airflow.policy; print('duckdb' in sys.modules, 'openlineage.client' in sys.modules)"


@pytest.mark.airflow
@pytest.mark.parametrize(
    ("said", "loaded"), [("on", "True True"), ("off", "False False"), ("", "False False"), ("yes", "False False")]
)
def test_only_on_preloads(said: str, loaded: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env=os.environ | {"GATE_PRELOAD": said},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == loaded


@pytest.mark.airflow
def test_what_cannot_be_imported_is_the_tasks_to_complain_of() -> None:
    script = f"import sys; sys.modules['ibis'] = None; {_SCRIPT}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"GATE_PRELOAD": "on"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1].endswith("True")
