"""Large tables and snapshots for benchmarks: the same bytes every time, made in seconds."""

from __future__ import annotations

from pathlib import Path

import duckdb

SEED = 20230807
GROUPS = 7  # consent groups in the snapshot
KNOWN = 0.8  # share of accounts in the snapshot
SKEW = 2.5  # exponent: how much more some accounts are there than others


def account(number: str) -> str:
    """Return SQL for an account's id: 36 characters, like a UUID."""
    hexed = f"md5({number}::VARCHAR)"
    return f"{hexed}[1:8]||'-'||{hexed}[9:12]||'-'||{hexed}[13:16]||'-'||{hexed}[17:20]||'-'||{hexed}[21:32]"


def generate(folder: Path, rows: int, accounts: int, *, skewed: bool = False) -> tuple[Path, Path]:
    """Write a table (account_id, minutes, title) in an order without pattern, and a snapshot of its accounts.

    Args:
        folder: where; it must exist.
        rows: of the table.
        accounts: that may occur in it.
        skewed: a few accounts have most of the rows, as customers do; else all have as many.
    """
    table, snapshot = folder / "calls.parquet", folder / "snapshot.parquet"
    spread = f"(hash(i + {SEED}) / 18446744073709551616.0)"
    drawn = f"(pow({spread}, {SKEW}) * {accounts})::BIGINT" if skewed else f"(hash(i + {SEED}) % {accounts})::BIGINT"
    with duckdb.connect(config={"preserve_insertion_order": False}) as con:
        con.execute("SET enable_progress_bar = false")
        con.execute(f"CREATE TABLE account AS SELECT i, {account('i')} AS id FROM range({accounts}) t(i)")
        con.execute(
            f"""COPY (SELECT id AS account_id, (hash(r.i) % 90)::INTEGER AS minutes, 'call ' || (r.i % 1000) AS title
            FROM (SELECT i, least({drawn}, {accounts - 1}) AS who FROM range({rows}) t(i)) r
            JOIN account ON r.who = account.i) TO '{table}'"""
        )
        con.execute(
            f"""COPY (SELECT id AS account_id, (1 + i % {GROUPS})::INTEGER AS "group" FROM account
            WHERE i < {int(accounts * KNOWN)}) TO '{snapshot}'"""
        )
    return table, snapshot
