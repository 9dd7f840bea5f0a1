"""Coverage of a large table against a raw scan of the same column and against pandas; every count is recomputed."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.compute as pc
from pyarrow import parquet

from benchmarks._common import Row, alone, best_of, ratio
from gate.domain.dataset import dataset
from gate.scan.coverage import CoverageCounts, count_coverage
from gate.scan.digest import measure

SEED = 20230807
GROUPS = 7  # consent groups in the snapshot
KNOWN = 0.8  # share of accounts in the snapshot
CUT = 500_000  # rows for pandas, which would take too long on all
BAR = 5.0  # raw scans


def generate(folder: Path, rows: int, accounts: int) -> tuple[Path, Path]:
    """Write the table (account_id, minutes) in an order without pattern, and the snapshot; same bytes every time."""
    table, snapshot = folder / "calls.parquet", folder / "snapshot.parquet"
    account = f"'acct-' || lpad((hash(i + {SEED}) % {accounts})::VARCHAR, 7, '0')"
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT {account} AS account_id, hash(i) % 90 AS minutes FROM range({rows}) t(i)) TO '{table}'"
        )
        con.execute(
            f"""COPY (SELECT 'acct-' || lpad(i::VARCHAR, 7, '0') AS account_id, (1 + i % {GROUPS})::INTEGER AS "group"
            FROM range({int(accounts * KNOWN)}) t(i)) TO '{snapshot}'"""
        )
    return table, snapshot


def raw_scan(table: Path) -> int:
    """Read every value of the account column and do next to nothing with it."""
    with duckdb.connect() as con:
        return int(con.execute(f"SELECT bit_xor(hash(account_id)) FROM '{table}'").fetchone()[0])


def with_pandas(table: Path, snapshot: Path) -> Counter[int]:
    """Count rows by group as a notebook would: one `isin` per consent group."""
    frame, known = pd.read_parquet(table), pd.read_parquet(snapshot)
    counts = {group: int(frame["account_id"].isin(part["account_id"]).sum()) for group, part in known.groupby("group")}
    return Counter(counts | {0: len(frame) - sum(counts.values())})


def recount(table: Path, snapshot: Path) -> tuple[Counter[int], Counter[int]]:
    """Count rows and accounts by group with Arrow and a dictionary, without DuckDB or Ibis."""
    known = parquet.read_table(snapshot)
    groups = dict(zip(known["account_id"].to_pylist(), known["group"].to_pylist(), strict=True))
    tally = pc.value_counts(parquet.read_table(table, columns=["account_id"])["account_id"].combine_chunks())
    rows, accounts = Counter[int](), Counter[int]()
    for name, number in zip(tally.field("values").to_pylist(), tally.field("counts").to_pylist(), strict=True):
        group = groups.get(name, 0)
        rows[group] += number
        accounts[group] += 1
    return rows, accounts


def same(counts: CoverageCounts, table: Path, snapshot: Path) -> bool:
    """Whether the counts are those of the independent recount, to the row."""
    rows, accounts = recount(table, snapshot)
    return (
        {group.groups: group.rows for group in counts.rows} == {(group,): number for group, number in rows.items()}
        and {group: number for (_, group), number in counts.accounts.items()} == accounts
        and counts.total_rows == rows.total()
        and not counts.unattributed
    )


def main(rows: int = 5_000_000, accounts: int = 500_000) -> list[Row]:
    """Measure both; a row's `ok` says whether every count was the recount's."""
    with tempfile.TemporaryDirectory(prefix="gate-bench-") as name:
        folder = Path(name)
        table, snapshot = generate(folder, rows, accounts)
        source = dataset(str(table), "account_id")
        (raw, _), (ours, counts) = best_of(5, partial(raw_scan, table), partial(count_coverage, source, str(snapshot)))
        ((hashing, (version, _)),) = best_of(2, partial(measure, source))
        (folder / "cut").mkdir()
        cut, cut_snapshot = generate(folder / "cut", min(rows, CUT), accounts)
        small = dataset(str(cut), "account_id")
        (pandas, by_pandas), (ours_small, small_counts) = best_of(
            3, partial(with_pandas, cut, cut_snapshot), partial(count_coverage, small, str(cut_snapshot))
        )
        exact = same(counts, table, snapshot)
        small_exact = same(small_counts, cut, cut_snapshot) and by_pandas == Counter(
            {group.groups[0]: group.rows for group in small_counts.rows}
        )
    speed = f"digest {version.size / hashing / 1e9:.2f} GB/s"
    return [
        ratio(f"coverage of {rows:,} rows / raw scan", ours, raw, BAR, note=f"{told(exact)}; {speed}", ok=exact),
        ratio(
            f"coverage of {min(rows, CUT):,} rows / pandas isin",
            ours_small,
            pandas,
            1.0,
            note=told(small_exact),
            ok=small_exact,
        ),
    ]


def told(exact: bool) -> str:
    return "counts equal the recount" if exact else "COUNTS DIFFER from the recount"


if __name__ == "__main__":
    sys.exit(alone(main))
