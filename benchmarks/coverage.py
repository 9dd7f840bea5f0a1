"""Coverage and subset of a large table against DuckDB's scan, join and copy, and against pandas; counts recomputed."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from benchmarks._common import Row, alone, best_of, gib, growth, peak, ratio
from benchmarks._lake import generate
from benchmarks.expectations import frames_asset
from gate.domain.dataset import dataset
from gate.scan.coverage import CoverageCounts, count_coverage
from gate.scan.digest import measure
from gate.scan.subset import write_subset

CUT = 100_000  # rows for a set of values in Great Expectations, which would take too long on all
BAR = 2.5  # raw scans
JOIN_BAR = 1.5  # DuckDB's own anti join
MEMORY, LARGE_MEMORY = 2.0, 4.0  # GiB
LIMIT = "2500MB"  # of the engine, for the largest table; the process takes more than its engine
PASSING = (1, 3, 5)  # groups whose rows the subset keeps


def raw_scan(table: Path) -> int:
    """Read every value of the account column and do next to nothing with it."""
    with duckdb.connect() as con:
        return int(con.execute(f"SELECT bit_xor(hash(account_id)) FROM '{table}'").fetchone()[0])


def anti_join(table: Path, snapshot: Path) -> int:
    """Count the rows of unknown accounts: the least that a join of the two answers."""
    with duckdb.connect() as con:
        query = f"SELECT count(*) FROM '{table}' ANTI JOIN '{snapshot}' USING (account_id)"
        return int(con.execute(query).fetchone()[0])


def semi_copy(table: Path, snapshot: Path, target: Path, *, ordered: bool) -> int:
    """Copy the rows of passing accounts, in whatever order they come or in their own."""
    target.unlink(missing_ok=True)
    with duckdb.connect() as con:
        known = f"""SELECT account_id FROM '{snapshot}' WHERE "group" IN {PASSING}"""
        rows = f"SELECT * FROM read_parquet('{table}', file_row_number = true) WHERE account_id IN ({known})"
        order = "ORDER BY file_row_number" if ordered else ""
        query = f"COPY (SELECT * EXCLUDE (file_row_number) FROM ({rows}) {order}) TO '{target}'"
        return int(con.execute(query).fetchone()[0])


def subset(table: Path, snapshot: Path, target: Path) -> int:
    """Cut the same rows as the gate does: in their order, with the file's schema."""
    target.unlink(missing_ok=True)
    write_subset(dataset(str(table), "account_id"), str(snapshot), PASSING, str(target))
    return int(parquet.read_metadata(target).num_rows)


def with_pandas(table: Path, snapshot: Path) -> Counter[int]:
    """Count rows by group as a notebook would: one `isin` per consent group."""
    frame, known = pd.read_parquet(table, columns=["account_id"]), pd.read_parquet(snapshot)
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


def memory(table: Path, snapshot: Path, limit: str = "") -> tuple[float, float]:
    """Return the most memory a process of its own takes to count, in GiB, and the seconds that it counts.

    Args:
        table: what to count.
        snapshot: who is in which group.
        limit: what the engine may take, as `GATE_SCAN_MEMORY`.
    """
    script = (
        "import sys; from gate.domain.dataset import dataset; from gate.scan.coverage import count_coverage;"
        "count_coverage(dataset(sys.argv[1], 'account_id'), sys.argv[2])"
    )
    return peak(script, [str(table), str(snapshot)], {"GATE_SCAN_MEMORY": limit})


def of_table(folder: Path, rows: int, accounts: int, *, skewed: bool) -> list[Row]:
    """Compare counting one table with scanning and joining it."""
    table, snapshot = generate(folder, rows, accounts, skewed=skewed)
    source = dataset(str(table), "account_id")
    (raw, _), (joined, _), (ours, counts) = best_of(
        4, partial(raw_scan, table), partial(anti_join, table, snapshot), partial(count_coverage, source, str(snapshot))
    )
    exact = same(counts, table, snapshot)
    what = f"coverage of {rows:,} {'skewed ' if skewed else ''}rows"
    note = f"{accounts:,} accounts, {table.stat().st_size / 1e9:.2f} GB; {told(exact)}"
    return [
        ratio(f"{what} / raw scan", ours, raw, BAR, note=note, ok=exact),
        ratio(f"{what} / DuckDB's anti join", ours, joined, JOIN_BAR, ok=exact),
    ]


def of_subset(table: Path, snapshot: Path, target: Path) -> list[Row]:
    """Compare cutting a subset with DuckDB's own copy of the same rows."""
    (peer, theirs), (sorting, _), (ours, kept) = best_of(
        2,
        partial(semi_copy, table, snapshot, target, ordered=False),
        partial(semi_copy, table, snapshot, target, ordered=True),
        partial(subset, table, snapshot, target),
    )
    note, same_rows = f"{kept:,} rows; ours keeps order and schema, and has its digest", kept == theirs
    return [
        ratio("subset / semi join COPY that loses the order", ours, peer, 1.2, note=note, ok=same_rows),
        ratio("subset / semi join COPY in order", ours, sorting, 1.2, ok=same_rows),
    ]


def of_pandas(table: Path, snapshot: Path) -> Row:
    """Compare with a notebook."""
    source = dataset(str(table), "account_id")
    (pandas, by_pandas), (ours, counts) = best_of(
        2, partial(with_pandas, table, snapshot), partial(count_coverage, source, str(snapshot))
    )
    by_group = Counter({group.groups[0]: group.rows for group in counts.rows})
    exact = same(counts, table, snapshot) and by_pandas == by_group
    return ratio("coverage / pandas isin", ours, pandas, 0.1, note=told(exact), ok=exact)


def of_value_set(table: Path, snapshot: Path, each: float) -> Row:
    """Compare, per row, with the set of all accounts that consented in an expectation of GX.

    Args:
        table: the whole table; GX gets the first rows of it.
        snapshot: who is in which group.
        each: seconds that coverage takes for a row of the whole.
    """
    frames = frames_asset()
    import great_expectations as gx

    known = parquet.read_table(snapshot)
    agreed = known.filter(pc.is_in(known["group"], pa.array(PASSING, pa.int32())))["account_id"].to_pylist()
    frame = next(parquet.ParquetFile(table).iter_batches(CUT, columns=["account_id"])).to_pandas()
    batch = frames.get_batch({"dataframe": frame})
    asked = gx.expectations.ExpectColumnValuesToBeInSet(column="account_id", value_set=agreed)
    ((spent, told_by_gx),) = best_of(1, lambda: batch.validate(asked, result_format={"result_format": "BASIC"}))
    unexpected = int((~frame["account_id"].isin(agreed)).sum())
    note = f"a million rows; GX on {len(frame):,} rows, its set of {len(agreed):,} values, {spent:.1f} s"
    exact = told_by_gx.result["unexpected_count"] == unexpected
    million = 1e6 * each, 1e6 * spent / len(frame)
    return ratio("coverage / GX's value set, per row", *million, 1 / 500, note=note, ok=exact)


def of_more_than_memory(folder: Path, rows: int, accounts: int) -> Row:
    """Count a table for which the engine may take so little that it spills."""
    folder.mkdir()
    table, snapshot = generate(folder, rows, accounts)
    taken, seconds = memory(table, snapshot, LIMIT)
    note = f"GATE_SCAN_MEMORY={LIMIT}, {accounts:,} accounts, {seconds:.0f} s"
    return gib(f"peak memory, {rows:,} rows", taken, LARGE_MEMORY, note)


def main(rows: int = 20_000_000, accounts: int = 2_000_000) -> list[Row]:
    """Measure all; a row's `ok` says whether every count was the recount's."""
    found, times, writing = list[Row](), list[tuple[int, float]](), list[tuple[int, float]]()
    with tempfile.TemporaryDirectory(prefix="gate-bench-") as name:
        for number, (part, skewed) in enumerate([(1, False), (1, True)]):
            folder = Path(name) / str(number)
            folder.mkdir()
            found += of_table(folder, rows // part, accounts // part, skewed=skewed)
        folder = Path(name) / "0"
        table, snapshot = folder / "calls.parquet", folder / "snapshot.parquet"
        ((hashing, (version, _)),) = best_of(1, partial(measure, dataset(str(table), "account_id")))
        note = f"{rows:,} rows; digest {version.size / hashing / 1e9:.2f} GB/s"
        found.append(gib("peak memory of coverage", memory(table, snapshot)[0], MEMORY, note))
        found += of_subset(table, snapshot, Path(name) / "subset.parquet")
        for part in (16, 4, 1):
            small = Path(name) / f"part-{part}"
            small.mkdir()
            cut, known = generate(small, rows // part, accounts // part) if part > 1 else (table, snapshot)
            (spent, _), (written, _) = best_of(
                3 if part > 1 else 2,
                partial(count_coverage, dataset(str(cut), "account_id"), str(known)),
                partial(subset, cut, known, small / "subset.parquet"),
            )
            times.append((rows // part, spent))
            writing.append((rows // part, written))
        found += [growth("coverage", times), growth("subset", writing)]
        found.append(of_pandas(table, snapshot))
        found.append(of_value_set(table, snapshot, spent / rows))
        found.append(of_more_than_memory(Path(name) / "large", rows * 5, accounts * 5))
    return found


def told(exact: bool) -> str:
    """Say whether counts are right."""
    return "counts equal the recount" if exact else "COUNTS DIFFER from the recount"


if __name__ == "__main__":
    sys.exit(alone(main))
