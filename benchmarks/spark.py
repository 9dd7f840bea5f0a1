"""Coverage counted on Spark against Spark SQL written by hand for the same answer; every count is compared."""

from __future__ import annotations

import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._common import Row, alone, best_of, ratio
from benchmarks.coverage import generate, same
from gate.domain.dataset import dataset
from gate.scan.census import take_census
from gate.scan.coverage import CoverageCounts, count_coverage
from gate.scan.spark.cluster import Spark, session

ROWS, ACCOUNTS = 5_000_000, 500_000
BAR = 1.25  # times the hand-written query
MASTER = f"local[{min(4, os.cpu_count() or 1)}]"
CONF = {
    "spark.driver.memory": "2g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "8",
    "spark.ui.showConsoleProgress": "false",
}
BY_HAND = """
SELECT coalesce(known.`group`, 0) AS gate_group, count(*) AS calls, count(DISTINCT calls.account_id) AS accounts
FROM calls LEFT JOIN known ON calls.account_id = known.account_id
GROUP BY 1"""
BY_AN_EXPERT = """
SELECT coalesce(known.`group`, 0) AS gate_group, sum(n) AS calls, count(*) AS accounts
FROM (SELECT account_id, count(*) AS n FROM calls GROUP BY 1) each LEFT JOIN known ON each.account_id = known.account_id
GROUP BY 1"""


def by_hand(query: str, own: Any, table: Path, snapshot: Path) -> dict[int, tuple[int, int]]:
    """Return rows and accounts by consent group."""
    own.read.parquet(str(table)).createOrReplaceTempView("calls")
    own.read.parquet(str(snapshot)).createOrReplaceTempView("known")
    return {row.gate_group: (row.calls, row.accounts) for row in own.sql(query).collect()}


def ours(spark: Spark, table: Path, snapshot: Path, folder: Path) -> CoverageCounts:
    """Return what the gate works out on Spark: census, then coverage."""
    census = take_census(dataset(str(table), "account_id"), folder / "census.parquet", spark)
    return count_coverage(census, str(snapshot))


def main(rows: int = ROWS, accounts: int = ACCOUNTS) -> list[Row]:
    """Measure both in one Spark; a row's `ok` says whether every count was right."""
    with tempfile.TemporaryDirectory(prefix="gate-bench-") as name:
        folder = Path(name)
        table, snapshot = generate(folder, rows, accounts)
        spark = Spark(MASTER, CONF | {"spark.sql.warehouse.dir": name})
        with session(spark) as own:
            own.sparkContext.setLogLevel("ERROR")
            (plain, counted), (expert, again), (seconds, counts) = best_of(
                4,
                partial(by_hand, BY_HAND, own, table, snapshot),
                partial(by_hand, BY_AN_EXPERT, own, table, snapshot),
                partial(ours, spark, table, snapshot, folder),
            )
            own.stop()
        told = {group: (found.rows, counts.accounts[None, group]) for found in counts.rows for group in found.groups}
        exact = told == counted == again and same(counts, table, snapshot)
    note = f"{MASTER}; {'counts equal those of both' if exact else 'COUNTS DIFFER'}"
    what = f"Spark: coverage of {rows:,} rows"
    return [
        ratio(f"{what} / Spark SQL by hand", seconds, plain, BAR, note=note, ok=exact),
        ratio(f"{what} / Spark SQL by an expert", seconds, expert, BAR, note=note, ok=exact),
    ]


if __name__ == "__main__":
    sys.exit(alone(main))
