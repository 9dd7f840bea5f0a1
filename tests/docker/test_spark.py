"""The profile `spark` for real: a master, two workers, and a job over the demo's lake from a Celery worker."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from support.docker_stack import Stack

SPARK = "GATE_TEST_SPARK"
pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(SPARK not in os.environ, reason="GATE_TEST_SPARK=1 make docker-test runs it"),
]

JOB = """
import json
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("spark://spark-master:7077").config("spark.executor.memory", "700m").getOrCreate()
calls = spark.read.parquet("file:///lake/gate/lake/telemetry")
numbers = spark.sparkContext.parallelize(range(8), 8)
ran_on = numbers.map(lambda _: __import__("socket").gethostname()).distinct().collect()
print("SAID", json.dumps([calls.count(), calls.select("account_id").distinct().count(), len(ran_on)]))
spark.stop()
"""
MASTER = "import urllib.request; print(urllib.request.urlopen('http://localhost:8080/json/').read().decode())"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stack = Stack()
    profile = ("--profile", "spark")
    stack.compose(*profile, "up", "-d", "--no-build", "--scale", "spark-worker=2", "spark-worker", "worker-spark")
    stack.wait_until_healthy("spark-master", "worker-spark")
    yield stack
    stack.compose(*profile, "rm", "--stop", "--force", "spark-master", "spark-worker", "worker-spark")


def test_a_job_runs_on_both_workers_and_sees_the_lake(stack: Stack) -> None:
    def both() -> bool:
        return json.loads(stack.inside("spark-master", "python", "-c", MASTER))["aliveworkers"] == 2

    stack.until(both, "two Spark workers", 120)
    told = stack.inside("worker-spark", "python", "-c", JOB)
    [said] = [line for line in told.splitlines() if line.startswith("SAID")]
    assert json.loads(said.removeprefix("SAID ")) == [480, 8, 2]


def test_java_runs_as_nobody_special(stack: Stack) -> None:
    assert stack.inside("spark-master", "id", "-u").strip() == "10001"
    for tool in ("javac", "pip", "gcc"):
        assert stack.fails_inside("worker-spark", "sh", "-c", f"command -v {tool}"), tool
