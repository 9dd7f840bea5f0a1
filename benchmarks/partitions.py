"""What partitioning the ledger by account hash would cost and bring on PostgreSQL; the figures of ADR 22. By hand only.

`GATE_TEST_POSTGRES_URL=… python -m benchmarks.partitions [ROWS]`
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import sys
import time
from collections.abc import Iterator
from typing import Any

ROWS, PARTS, PAGE, LOOKUPS = 400_000, 16, 2000, 3000

_COLUMNS = """idx bigint NOT NULL, kind text COLLATE "C" NOT NULL, subject text COLLATE "C" NOT NULL,
    account_ref text COLLATE "C" NOT NULL, effective_at text COLLATE "C",
    payload bytea NOT NULL, leaf_hash bytea NOT NULL"""

# As it is; and by account hash, with what it then takes to keep places and subjects unique: a table for each.
LAYOUTS = {
    "one table": f"""
        CREATE TABLE entry ({_COLUMNS}, PRIMARY KEY (idx));
        CREATE UNIQUE INDEX ON entry (kind, subject);
        CREATE INDEX ON entry (account_ref, kind, idx);
        CREATE INDEX ON entry (kind, idx)""",
    "by account hash": f"""
        CREATE TABLE entry ({_COLUMNS}, PRIMARY KEY (account_ref, idx)) PARTITION BY HASH (account_ref);
        CREATE INDEX ON entry (account_ref, kind, idx);
        CREATE INDEX ON entry (idx);
        CREATE INDEX ON entry (kind, idx);
        CREATE TABLE place (idx bigint PRIMARY KEY, account_ref text COLLATE "C" NOT NULL);
        CREATE TABLE named (kind text COLLATE "C", subject text COLLATE "C", account_ref text COLLATE "C" NOT NULL,
            PRIMARY KEY (kind, subject)) PARTITION BY HASH (subject)""",
}


def main(rows: int) -> None:
    """Print insert, lookup, verification order and size of each layout."""
    import psycopg

    server = os.environ["GATE_TEST_POSTGRES_URL"]
    for name, schema in LAYOUTS.items():
        database = f"gate_bench_{secrets.token_hex(6)}"
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {database}")
            try:
                with psycopg.connect(f"{server.rpartition('/')[0]}/{database}", autocommit=True) as connection:
                    connection.execute(schema)  # type: ignore[arg-type]  # no literal
                    if "HASH" in schema:
                        _parts(connection)
                    print(name, _measured(connection, rows, "HASH" in schema), flush=True)
            finally:
                admin.execute(f"DROP DATABASE {database} WITH (FORCE)")


def _parts(connection: Any) -> None:
    for table in ("entry", "named"):
        for part in range(PARTS):
            connection.execute(
                f"CREATE TABLE {table}_{part} PARTITION OF {table} FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {part})"
            )


def _measured(connection: Any, rows: int, parted: bool) -> dict[str, str]:
    began = time.perf_counter()
    for page in _pages(rows):
        with connection.transaction():
            _copy(connection, "entry", page)
            if parted:
                _copy(connection, "place", [(row[0], row[3]) for row in page])
                _copy(connection, "named", [(row[1], row[2], row[3]) for row in page])
    inserting = time.perf_counter() - began
    connection.execute("VACUUM ANALYZE")
    spent, chance = [], random.Random(2)
    for _ in range(LOOKUPS):
        began = time.perf_counter()
        query = "SELECT payload FROM entry WHERE account_ref = %s AND kind = 'consent'"
        connection.execute(query, (_ref(chance.randrange(rows // 2)),)).fetchall()
        spent.append(time.perf_counter() - began)
    spent.sort()
    began, after = time.perf_counter(), -1
    while page := connection.execute(
        "SELECT idx, payload FROM entry WHERE idx > %s ORDER BY idx LIMIT %s", (after, PAGE)
    ).fetchall():
        after = page[-1][0]
    walking = time.perf_counter() - began
    size = connection.execute("SELECT pg_database_size(current_database())").fetchone()[0]
    return {
        "insert": f"{inserting / rows * 1e6:.1f} us a row",
        "lookup": f"median {spent[LOOKUPS // 2] * 1e3:.2f} ms, p99 {spent[LOOKUPS * 99 // 100] * 1e3:.2f} ms",
        "in order": f"{walking / rows * 1e6:.1f} us a row",
        "size": f"{size / rows:.0f} bytes a row",
    }


def _pages(rows: int) -> Iterator[list[tuple[Any, ...]]]:
    chance = random.Random(1)
    for start in range(0, rows, 10_000):
        yield [
            (
                idx,
                "consent",
                "sha256:" + hashlib.sha256(b"%d" % idx).hexdigest(),
                _ref(chance.randrange(rows // 2)),
                "2024-01-11T14:22:30Z",
                b"x" * 700,
                hashlib.sha256(b"%d" % idx).digest(),
            )
            for idx in range(start, min(start + 10_000, rows))
        ]


def _ref(number: int) -> str:
    return hashlib.sha256(b"account %d" % number).hexdigest()


def _copy(connection: Any, table: str, rows: list[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else ROWS)
