"""Who is in data that is no file: the census of rows somebody else's engine counted, with a version of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gate.domain.canonical import sha256_hex
from gate.domain.dataset import Dataset, DatasetVersion, dataset
from gate.errors import DatasetError
from gate.scan.census import Census, Look, write_census
from gate.scan.engine import engine, reading
from gate.scan.readers import account_kind

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = "gx:///batch"  # names no table and no partition: those may name an account


def look_at_counts(counts: pa.Table, column: str, folder: Path) -> Look:
    """Make a census of counted accounts, and a version whose digest is that of the census' content.

    The digest is the SHA-256 of the JSON list of `[account, rows]`, sorted by account: two batches have the same one
    when the same accounts have as many rows in both, whatever else differs and whichever engine counted.

    Args:
        counts: the columns `account` (text, integers, or lists of them) and `n` (rows, at least 1); an account may
            come several times.
        column: what the data calls the column; for messages.
        folder: where the census may be written.

    Raises:
        DatasetError: accounts of a type that names no account, or no rows.
        CannotDecide: the census cannot be written.
    """
    subject = dataset(BATCH, f"column:{column}")
    if not counts.num_rows:
        raise DatasetError("holds no rows", where=subject.name, hint="an empty batch cannot be decided about")
    kind = account_kind(counts.schema.field("account").type, column, subject.name)
    counted = _summed(counts, subject, listed=kind.startswith("lists"))
    pairs = list(zip(counted["account"].to_pylist(), counted["n"].to_pylist(), strict=True))
    content = json.dumps(pairs, separators=(",", ":"), ensure_ascii=False).encode()
    path = folder / "batch.parquet"
    write_census(counted, path)
    return Look(DatasetVersion(subject, sha256_hex(content), files=1, size=len(content)), Census(subject, path))


def _summed(counts: pa.Table, subject: Dataset, *, listed: bool) -> pa.Table:
    """Return the census' table: each account once, as text, in the order of its bytes."""
    sql_type = "VARCHAR[]" if listed else "VARCHAR"
    with engine() as con, reading(subject):
        con.con.register("gate_counts", counts)
        return con.con.sql(
            f"SELECT account::{sql_type} AS account, '' AS category, false AS no_category, sum(n)::BIGINT AS n "  # noqa: S608
            "FROM gate_counts GROUP BY 1 ORDER BY 1 NULLS FIRST"
        ).to_arrow_table()
