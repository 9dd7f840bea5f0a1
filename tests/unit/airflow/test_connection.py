"""Where a task finds the gate: a connection, the environment, the embedded ledger; and when none of these may do."""

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


ABSENT = """
import socket, sys, threading
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CommsDecoder, _RequestFrame, _ResponseFrame
from gate.airflow.hook import open_gate
import msgspec

ours, theirs = socket.socketpair()

def supervise(answers):
    for answer in answers:
        size = int.from_bytes(theirs.recv(4), "big")
        asked = msgspec.msgpack.Decoder(_RequestFrame).decode(theirs.recv(size))
        theirs.sendall(_ResponseFrame(id=asked.id, **answer).as_bytes())

def error(kind):
    return {"error": kind, "detail": {"status_code": 500}, "type": "ErrorResponse"}

FIELDS = dict.fromkeys(("host", "schema", "login", "password", "port", "extra"))
FIELDS |= {"conn_id": "gate_default", "conn_type": "consent_gate"}
ANSWERS = {
    "absent": {"body": error("CONNECTION_NOT_FOUND")},
    "down": {"error": error("API_SERVER_ERROR")},
    "wrong": {"body": error("GENERIC_ERROR")},
    "back": {"body": {**FIELDS, "type": "ConnectionResult"}},
}
first, second = sys.argv[1:]
task_runner.SUPERVISOR_COMMS = CommsDecoder(socket=ours)
threading.Thread(target=supervise, args=[[ANSWERS[first], ANSWERS[second]]], daemon=True).start()
try:
    with open_gate() as service:
        print("OPENED", type(service).__name__)
except Exception as error:
    print("REFUSED", type(error).__name__, error)
"""


def _asked(tmp_path: Path, *answers: str, **environ: str) -> str:
    """Open the gate in a task whose supervisor gives these answers, first to Airflow and then to us."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATE_", "AIRFLOW"))}
    places = {"AIRFLOW_HOME": str(tmp_path / "airflow"), "GATE_HOME": str(tmp_path / "gate")}
    done = subprocess.run(
        [sys.executable, "-c", ABSENT, *answers],
        env={**kept, **places, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    [line] = [line for line in done.stdout.splitlines() if line.startswith(("OPENED", "REFUSED"))] or [done.stderr]
    return line


def test_a_connection_that_is_not_there_leaves_the_embedded_ledger(tmp_path: Path) -> None:
    assert _asked(tmp_path, "absent", "absent") == "OPENED Service"


@pytest.mark.parametrize("answers", [("down", "down"), ("wrong", "wrong"), ("down", "back")], ids="-then-".join)
def test_a_connection_that_airflow_cannot_look_up_opens_nothing_and_makes_nothing(
    tmp_path: Path, answers: tuple[str, str]
) -> None:
    assert _asked(tmp_path, *answers).startswith("REFUSED CannotDecide connection gate_default: Airflow does not say")
    assert not (tmp_path / "gate").exists()


def test_where_the_gate_is_elsewhere_nothing_stands_in_for_it(tmp_path: Path) -> None:
    told = _asked(tmp_path, "absent", "absent", GATE_URL="https://gate.example")
    assert told.startswith("REFUSED CannotDecide connection gate_default: it names no decision service")
    assert not (tmp_path / "gate").exists()
