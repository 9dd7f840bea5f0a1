"""A standalone master with two workers, and `local-cluster`: an executor that is killed changes no answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pytest
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.errors import GateError
from gate.scan.census import Census, take_census
from gate.scan.coverage import count_coverage
from gate.scan.digest import measure
from gate.scan.spark.cluster import Spark
from gate.scan.subset import write_subset
from support.spark import Cluster, executors, kill, running
from support.world import new_service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("spark"),
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
]
FILES, ROWS, ACCOUNTS = 8, 50_000, 5_000
SMALL = {
    "spark.executor.memory": "512m",
    "spark.executor.cores": "1",
    "spark.sql.files.maxPartitionBytes": "1m",  # many tasks, to die between
}


@pytest.fixture(scope="module", params=["standalone", "local-cluster"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    """A Spark with two executors."""
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        master = "local-cluster[2,1,1024]"
        if request.param == "standalone":
            started = stack.enter_context(Cluster(folder, workers=2))
            master = started.url
        spark = stack.enter_context(running(master, folder, **SMALL))
        yield spark


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same calls as CSV and as Parquet, and a snapshot; accounts without a pattern in their order."""
    folder = tmp_path_factory.mktemp("lake")
    for number in range(FILES):
        numbers = [(row * 7919 + number * 104729) % ACCOUNTS for row in range(ROWS)]
        names = [None if n == 17 else f"acct-{n:06}" for n in numbers]
        table = pa.table({"account_id": names, "minutes": [n % 90 for n in numbers]})
        for kind in ("csv", "parquet"):
            (folder / kind).mkdir(exist_ok=True)
        parquet.write_table(table, folder / "parquet" / f"{number:02}.parquet", row_group_size=ROWS // 4)
        pa.csv.write_csv(table, folder / "csv" / f"{number:02}.csv")
    known = [f"acct-{n:06}" for n in range(ACCOUNTS)]
    groups = pa.array([1 + n % 3 for n in range(ACCOUNTS)], pa.int32())
    parquet.write_table(pa.table({"account_id": known, "group": groups}), folder / "snapshot.parquet")
    return folder


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_the_census_is_duckdbs_while_an_executor_dies(cluster: Spark, lake: Path, tmp_path: Path, kind: str) -> None:
    source = dataset(str(lake / kind), "account_id")
    here = _counts(take_census(source, tmp_path / "here.parquet"))
    there = _with_a_death(lambda: take_census(source, tmp_path / "there.parquet", cluster))
    assert _counts(there) == here
    snapshot = str(lake / "snapshot.parquet")
    assert count_coverage(there, snapshot) == count_coverage(source, snapshot)


def test_the_subset_is_duckdbs_while_an_executor_dies(cluster: Spark, lake: Path, tmp_path: Path) -> None:
    source, snapshot = dataset(str(lake / "csv"), "account_id"), str(lake / "snapshot.parquet")
    here = write_subset(source, snapshot, {1, 2}, str(tmp_path / "here"))
    there = _with_a_death(lambda: write_subset(source, snapshot, {1, 2}, str(tmp_path / "there"), spark=cluster))
    assert there.digest == here.digest
    assert {path.name for path in tmp_path.iterdir()} == {"here", "there"}


OVER_CONNECT = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from datetime import UTC, datetime
from gate.domain.dataset import dataset
from gate.scan.census import take_census
from gate.scan.contracts.checking import check_dataset_contract
from gate.scan.spark.cluster import Spark
from gate.scan.subset import write_subset
spark, lake, out = Spark(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
for kind in ("parquet", "csv"):
    take_census(dataset(f"{lake}/{kind}", "account_id"), out / f"{kind}.parquet", spark)
write_subset(dataset(f"{lake}/csv", "account_id"), f"{lake}/snapshot.parquet", {1}, str(out / "there"), spark=spark)
found = check_dataset_contract(dataset(f"{lake}/csv", "account_id"), ["chat"], datetime.now(UTC), spark=spark)
assert [(rule.rule, rule.outcome, rule.empty) for rule in found.rules] == [("account", "failed", 80)], found
"""


def test_spark_connect(lake: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with Cluster(tmp_path_factory.mktemp("connect"), workers=0) as started:
        words = [sys.executable, "-c", OVER_CONNECT, started.connect_server(), str(lake), str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    for kind in ("parquet", "csv"):
        source = dataset(str(lake / kind), "account_id")
        here = take_census(source, tmp_path / "here.parquet")
        assert _counts(Census(source, tmp_path / f"{kind}.parquet")) == _counts(here)
    here = write_subset(source, str(lake / "snapshot.parquet"), {1}, str(tmp_path / "here"))
    assert measure(dataset(str(tmp_path / "there"), "account_id"))[0].digest == here.digest


def test_spark_submit(lake: Path, tmp_path: Path) -> None:
    import pyspark

    import gate

    new_service(tmp_path / "home").close()
    words = ["check", "--engine", "spark", "--dataset", str(lake / "parquet"), "--account", "account_id", "--json"]
    words += ["--categories", "chat", "--purpose", "train", "--feature", "meeting_summary", "--model", "ms-1"]
    small = ["--driver-memory", "1g", "--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.ui.enabled=false"]
    submit = [str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), "--master", "local[2]", *small]
    environ = {name: value for name, value in os.environ.items() if name != "GATE_SPARK"}
    environ |= {"GATE_HOME": str(tmp_path / "home"), "PYSPARK_PYTHON": sys.executable}
    main = str(Path(gate.__file__).with_name("__main__.py"))
    done = subprocess.run(
        [*submit, main, *words], env=environ, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 3, done.stderr
    (told,) = json.loads(done.stdout.splitlines()[-1])["coverage"]  # spark-submit writes logs there, too
    assert told["rows_unattributed"] == FILES * ROWS // ACCOUNTS
    assert told["accounts"] == ACCOUNTS - 1


def _counts(census: Census) -> dict[str | None, int]:
    rows = parquet.read_table(census.path).to_pylist()
    return {row["account"]: row["n"] for row in rows}


def _with_a_death(work: Callable[[], Any]) -> Any:
    """Do the work; kill an executor once the first of its tasks is done and others are not."""
    from pyspark import SparkContext

    tracker = SparkContext._active_spark_context.statusTracker()
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except GateError as error:
            found.append(error)

    before = _alive(2)
    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and not (middle := _in_the_middle(tracker)):
        time.sleep(0.01)
    assert middle, "the work was done before an executor could be killed"
    kill(before[0])
    thread.join(240)
    assert not thread.is_alive()
    _alive(2)
    assert before[0] not in executors()
    assert found, "the work ended otherwise"
    if isinstance(found[0], GateError):
        raise found[0]
    return found[0]


def _in_the_middle(tracker: Any) -> bool:
    stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    return any(
        stage is not None and stage.numTasks > 2 and 0 < stage.numCompletedTasks < stage.numTasks for stage in stages
    )


def _alive(number: int) -> list[int]:
    for _ in range(600):
        if len(found := executors()) == number:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"{number} executors")
