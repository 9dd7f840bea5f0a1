"""Where a task finds the gate: the environment, else the connection `gate_default`, else the embedded ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow

SCRIPT = """
import os
from airflow.sdk.exceptions import AirflowNotFoundException
from gate.airflow.hook import _connection, _database_url, ConsentGateHook
print("URL", *(_database_url(_connection(name)) for name in ("gate_default", "gate_pg", "gate_absent")))
print("TEST", ConsentGateHook().test_connection())
"""


def test_the_connection_names_the_database(tmp_path: Path) -> None:
    from gate.service.core import set_up
    from gate.service.settings import read_settings

    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    set_up(read_settings({"GATE_HOME": str(tmp_path / "gate")}, database_url=ledger)).close()
    postgres = {"conn_type": "consent_gate", "host": "postgresql://gate@db.example/gate", "password": "p@ss/word"}
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GATE_")},
        "AIRFLOW_HOME": str(tmp_path),
        "GATE_HOME": str(tmp_path / "gate"),
        "AIRFLOW_CONN_GATE_DEFAULT": json.dumps({"conn_type": "consent_gate", "host": ledger}),
        "AIRFLOW_CONN_GATE_PG": json.dumps(postgres),
    }
    subprocess.run(
        [str(Path(sys.executable).with_name("airflow")), "db", "migrate"], env=environ, check=True, capture_output=True
    )
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("URL", "TEST"))]
    assert lines == [
        f"URL {ledger} postgresql://gate:p%40ss%2Fword@db.example/gate None",
        "TEST (True, 'the ledger holds 3 entries')",
    ], done.stderr
