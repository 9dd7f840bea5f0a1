"""Spark for tests: small, on this machine, and gone afterwards; a standalone cluster of a master and workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from gate.errors import CannotDecide
from gate.scan.spark.cluster import Spark, session

NO_SPARK = "Spark does not start (apt-get install openjdk-17-jre-headless): its part of the suite does not run"
SMALL = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.sql.shuffle.partitions": "1",
    "spark.ui.showConsoleProgress": "false",
}


@contextmanager
def running(master: str, folder: Path, **conf: str) -> Iterator[Spark]:
    """Start Spark for our code to find; stop it, for a process has one at a time."""
    from pyspark.sql import SparkSession

    spark = Spark(master, SMALL | {"spark.sql.warehouse.dir": str(folder)} | conf)
    try:
        with session(spark):
            pass
    except CannotDecide:
        missing()
    try:
        yield spark
    finally:
        SparkSession.getActiveSession().stop()


def missing(why: str = "") -> None:
    """Say that there is no Spark: fail where there must be one, and say why."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{NO_SPARK}\n{why}")
    pytest.skip(NO_SPARK)


class Cluster:
    """A standalone master with workers, in folders of their own; without workers, no master either."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.workers = workers
        self._started: list[subprocess.Popen[bytes]] = []
        self.url = f"spark://127.0.0.1:{_free_port()}"

    def __enter__(self) -> Self:
        """Start all, and wait until the workers are registered."""
        if not self.workers:
            return self
        port = self.url.rpartition(":")[2]
        self._run("master", "master.Master", "--host", "127.0.0.1", "--port", port, "--webui-port", "0")
        for number in range(self.workers):
            own = ("--cores", "1", "--memory", "1g", "--webui-port", "0", "--work-dir", str(self.folder / f"w{number}"))
            self._run(f"worker-{number}", "worker.Worker", "--host", "127.0.0.1", *own, self.url)
        self._await(f"{self.workers} workers", lambda: self._said("master").count("Registering worker") == self.workers)

        return self

    def __exit__(self, *_: object) -> None:
        """Stop all."""
        for process in reversed(self._started):
            process.terminate()
        for process in self._started:
            process.wait(30)

    def _run(self, name: str, what: str, *words: str, memory: str = "256m") -> None:
        import pyspark

        home = Path(pyspark.__file__).parent
        environ = os.environ | {
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": memory,
            "PYSPARK_PYTHON": sys.executable,
        }
        with (self.folder / f"{name}.log").open("wb") as log:
            command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{what}", *words]
            started = subprocess.Popen(command, env=environ, stdout=log, stderr=subprocess.STDOUT)
        self._started.append(started)

    def connect_server(self) -> str:
        """Start a Spark Connect server of two threads on this machine; return its URL."""
        port = _free_port()
        conf = SMALL | {"spark.connect.grpc.binding.address": "127.0.0.1", "spark.connect.grpc.binding.port": str(port)}
        conf["spark.sql.warehouse.dir"] = str(self.folder / "warehouse")
        words = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
        server = "org.apache.spark.sql.connect.service.SparkConnectServer"
        self._run(
            "connect", "SparkSubmit", "--master", "local[2]", *words, "--class", server, "spark-internal", memory="1g"
        )
        self._await("Spark Connect", lambda: _listens(port))
        return f"sc://127.0.0.1:{port}"

    def _said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def _await(self, what: str, true: Any) -> None:
        for _ in range(600):
            if true():
                return
            if any(process.poll() is not None for process in self._started):
                ends = [f"{log.name}: ...{log.read_text()[-2000:]}" for log in sorted(self.folder.glob("*.log"))]
                missing("\n".join(ends))
            time.sleep(0.1)
        raise TimeoutError(what)


def executors(under: int | None = None) -> list[int]:
    """Return the processes that are Spark's executors below a process; of this one, by default."""
    children: dict[int, list[int]] = {}
    named = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        children.setdefault(parent, []).append(int(folder.name))
        if b"CoarseGrainedExecutorBackend" in words and b"java" in words.split(b"\0")[0]:
            named.add(int(folder.name))
    found, waiting = [], [under or os.getpid()]
    while waiting:
        waiting += (below := children.get(waiting.pop(), []))
        found += [pid for pid in below if pid in named]
    return found


def kill(pid: int) -> None:
    """End a process at once."""
    os.kill(pid, signal.SIGKILL)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
