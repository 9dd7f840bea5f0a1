"""What the demo starts it also stops, and what it cannot start it says."""

import socket
import subprocess
import sys
import time

import psutil
import pytest

from gate.demo.airflow import running_airflow, stop_session
from gate.demo.home import new_home
from gate.errors import InputError

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", code], process_group=0)
time.sleep(60)
"""


def test_a_taken_port_is_told_before_anything_starts(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} cannot be used"), running_airflow(new_home(tmp_path), port):
            pass
    assert not (tmp_path / "1" / "airflow.log").exists()


@pytest.mark.parametrize("port", [70_000, -1])
def test_a_number_that_is_no_port_is_told(tmp_path, port):
    with pytest.raises(InputError, match="cannot be used"), running_airflow(new_home(tmp_path), port):
        pass


def test_children_in_other_process_groups_that_ignore_the_signal_are_stopped_too():
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout.readline() == b"up\n"
        family = [psutil.Process(leader.pid), *psutil.Process(leader.pid).children(recursive=True)]
        assert len(family) == 2
        stop_session(leader, patience=0.5)
    deadline = time.monotonic() + 5
    while (left := [one for one in family if _alive(one)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def _alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
