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
ELSEWHERE = """
import json
from gate.airflow import ConsentGateOperator, ConsentSensor, dataset, use
from gate.airflow.engines import open_engine
from gate.airflow.logins import connection_login
from gate.errors import InputError
print("TOLD", open_engine("duckdb", None), open_engine("spark", None).master)
for name in ("standalone", "cluster", "connect"):
    spark = open_engine("spark", name)
    print("TOLD", spark.master, json.dumps(spark.conf))
print("TOLD", json.dumps(connection_login("db.example", 5432)), json.dumps(connection_login("db.example", 5433)))
words = {"task_id": "gate", "datasets": [dataset("/lake", "account_id")], "use": use("train")}
for kind in (ConsentGateOperator, ConsentSensor):
    for engine in ({"engine": "pandas"}, {"spark_conn_id": "standalone"}):
        try:
            kind(**words, **engine)
        except InputError as error:
            print("TOLD", error)
    print("TOLD", kind(**words, engine="spark", spark_conn_id="standalone").engine)
"""


def test_engines_and_databases_are_connections(tmp_path: Path) -> None:
    connections = {
        "STANDALONE": {"conn_type": "spark", "host": "spark://master", "port": 7077, "extra": {"conf": {"a": 1}}},
        "CLUSTER": {"conn_type": "spark", "host": "yarn", "extra": {"deploy-mode": "client"}},
        "CONNECT": {"conn_type": "spark_connect", "host": "spark", "port": 15002, "login": "me", "password": "p"},
        "OTHER": {"conn_type": "postgres", "host": "other.example", "login": "x", "password": "y"},
        "LAKE": {"conn_type": "postgres", "host": "db.example", "login": "gate", "extra": {"sslmode": "require"}},
    }
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GATE_")},
        **{f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in connections.items()},
        "AIRFLOW_HOME": str(tmp_path),
        "GATE_SPARK": "local[3]",
        "GATE_SQL_CONNECTIONS": "other, lake",
    }
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], env=environ, capture_output=True, text=True, check=False)
    refused = [
        "TOLD gate.engine: 'pandas' is no engine (duckdb or spark)",
        "TOLD gate.spark_conn_id: is for engine='spark'",
    ]
    assert [line for line in done.stdout.splitlines() if line.startswith("TOLD")] == [
        "TOLD None local[3]",
        'TOLD spark://master:7077 {"a": "1"}',
        "TOLD yarn {}",
        "TOLD sc://spark:15002/;user_id=me;token=p {}",
        'TOLD {"user": "gate", "sslmode": "require"} {}',
        *(*refused, "TOLD spark") * 2,
    ], done.stderr


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
