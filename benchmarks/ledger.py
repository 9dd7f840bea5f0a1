"""The ledger beside what it cannot do without: importing and bare inserts, verifying and bare hashing, looking up.

SQLite always, PostgreSQL when GATE_TEST_POSTGRES_URL names a server.
By hand: `python -m benchmarks.ledger [--large] [--json]`.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import random
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._common import Row, alone

SIZES = (15_000, 45_000, 135_000)
LARGE = (250_000, 1_000_000, 4_000_000)
RATE = 20.0  # microseconds an event: 50,000 a second
LOOKUPS = 2000
P99 = 2.0  # milliseconds
TABLES = {"entry": 7, "opening": 5}  # what an import fills, and columns
CHUNK = 10_000  # rows inserted at once by the peer

Measured = dict[str, float]


def main(sizes: tuple[int, ...] = SIZES) -> list[Row]:
    """Measure all on each database; every measurement is a process of its own, so that its memory is its own."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="gate-bench-") as folder:
        for database in ("SQLite", "PostgreSQL"):
            if database == "SQLite" or os.environ.get("GATE_TEST_POSTGRES_URL"):
                rows += _measured(Path(folder), database, sizes)
    return rows


def _measured(folder: Path, database: str, sizes: tuple[int, ...]) -> list[Row]:
    imports, inserts, verified = [], [], []
    for size in sizes:
        file = folder / f"{size}.jsonl"
        if not file.exists():
            _write_events(file, size)
        with (
            _database(folder / f"{database}-{size}", database) as (home, url),
            _database(folder, database) as (_, other),
        ):
            imports.append(_in_a_process(_import, home, url, str(file)))
            inserts.append(_in_a_process(_raw_insert, url, other))
            _in_a_process(_appoint, home, url, size)
            if size == sizes[-1]:
                bare = _in_a_process(_bare_verify, url)
                found = _in_a_process(_look_up, url, size)
            verified.append(_in_a_process(_verify, url))
        if database == "PostgreSQL" or not os.environ.get("GATE_TEST_POSTGRES_URL"):
            file.unlink()
    work, raw, checked, size = imports[-1], inserts[-1], verified[-1], sizes[-1]
    events = f"{size:,} events"
    return [
        _times(f"import / bare insert, {database}", work, raw, 6.0, size),
        {
            "what": f"import, {database}",
            "measured": work["seconds"] / size * 1e6,
            "bar": RATE,
            "unit": "us",
            "note": f"per event; {size / work['seconds']:,.0f} events/s; processor {work['cpu'] / size * 1e6:.1f} us; "
            f"the bare insert alone {raw['seconds'] / size * 1e6:.1f} us",
        },
        _flat(f"import, {database}", imports, sizes),
        _growth(f"import, {database}", imports, sizes, inserts),
        _times(f"verify / bare hashing and parsing, {database}", checked, bare, 1.5, size),
        _flat(f"verify, {database}", verified, sizes),
        _growth(f"verify, {database}", verified, sizes),
        {
            "what": f"consent lookup p99, {database}",
            "measured": found["p99"],
            "bar": P99,
            "unit": "ms",
            "note": f"median {found['median']:.2f} ms; {LOOKUPS} accounts of a ledger of {events}",
        },
    ]


def _times(what: str, work: Measured, peer: Measured, bar: float, size: int) -> Row:
    return {
        "what": what,
        "measured": work["seconds"] / peer["seconds"],
        "bar": bar,
        "unit": "x",
        "note": f"{work['seconds']:.1f} s against {peer['seconds']:.1f} s for {size:,} events; "
        f"processor {work['cpu']:.1f} s against {peer['cpu']:.1f} s",
    }


def _flat(what: str, measured: list[Measured], sizes: tuple[int, ...]) -> Row:
    """Compare the peaks of the two larger sizes: the smallest one may not even fill the buffers."""
    before, last = measured[-2]["peak"], measured[-1]["peak"]
    note = f"{last:.0f} MiB for {sizes[-1]:,} against {before:.0f} for {sizes[-2]:,}"
    return {"what": f"memory of {what}, by size", "measured": last / before, "bar": 1.25, "unit": "x", "note": note}


def _growth(what: str, measured: list[Measured], sizes: tuple[int, ...], peer: list[Measured] | None = None) -> Row:
    """Compare how processor time grows with the bar; a peer's own growth says what the database cannot do without."""
    note = "processor " + ", ".join(f"{one['cpu']:.1f}" for one in measured) + " s"
    if peer is not None:
        note += f"; the bare insert's exponent, by the clock: {_exponent(sizes, [one['seconds'] for one in peer]):.2f}"
    exponent = _exponent(sizes, [one["cpu"] for one in measured])
    return {"what": f"growth of {what}", "measured": exponent, "bar": 1.05, "unit": "", "note": note}


def _exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Fit time = size ** exponent through all sizes, by least squares of the logarithms."""
    xs, ys = [math.log(size) for size in sizes], [math.log(one) for one in seconds]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def _in_a_process(work: Callable[..., Measured], *arguments: Any) -> Measured:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_observed, work, *arguments).result()


def _observed(work: Callable[..., Measured], *arguments: Any) -> Measured:
    found = work(*arguments)
    status = Path("/proc/self/status").read_text("ascii")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return {"peak": peak / 1024, **found}


@contextmanager
def _timed(found: Measured) -> Iterator[None]:
    began, used = time.perf_counter(), time.process_time()
    yield
    found["seconds"] = found.get("seconds", 0.0) + time.perf_counter() - began
    found["cpu"] = found.get("cpu", 0.0) + time.process_time() - used


def _import(home: str, url: str, file: str) -> Measured:
    """As `gate consent import`: reading, checking, sorting, recording."""
    from gate.service.consents import record_lines
    from gate.service.core import set_up
    from gate.service.imports import read_consent_file
    from gate.service.settings import read_settings

    found: Measured = {}
    settings = read_settings({"GATE_HOME": home, "GATE_DATABASE_URL": url})
    with set_up(settings) as service, _timed(found), closing(read_consent_file(Path(file))) as lines:
        record_lines(service, lines, by="bench")
    return found


def _appoint(home: str, url: str, size: int) -> Measured:
    """Give every account its admin, so that what is verified and looked up is a whole ledger."""
    from gate.domain.consent import Appointment
    from gate.domain.words import Role
    from gate.service.consents import record_appointments
    from gate.service.core import open_service
    from gate.service.settings import read_settings

    since = datetime(2023, 1, 1, tzinfo=UTC)
    with open_service(read_settings({"GATE_HOME": home, "GATE_DATABASE_URL": url})) as service:
        for start in range(0, size // 2, CHUNK):
            names = [_name(number) for number in range(start, min(start + CHUNK, size // 2))]
            said = [Appointment(name, f"admin@{name}", "appoint", Role.ADMIN, since) for name in names]
            record_appointments(service, said, via="import")
    return {}


def _raw_insert(url: str, other: str) -> Measured:
    """Insert the same rows into the same tables with the same indices, without triggers, in one transaction."""
    from gate.ledger.store import create_ledger

    create_ledger(other)
    found: Measured = {}
    with closing(_connected(url)) as source, closing(_connected(other)) as target:
        triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if isinstance(target, sqlite3.Connection):
            for (name,) in target.execute(triggers).fetchall():
                target.execute(f"DROP TRIGGER {name}")
        target.execute("BEGIN")
        for table, key in (("entry", "idx"), ("opening", "ref")):
            for rows in _chunks(source, table, key):
                with _timed(found):
                    _insert(target, table, rows)
        with _timed(found):
            target.execute("COMMIT")
    return found


def _insert(target: Any, table: str, rows: list[tuple[Any, ...]]) -> None:
    if isinstance(target, sqlite3.Connection):
        target.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * TABLES[table])})", rows)
        return
    types = ["int8", "text", "text", "text", "text", "bytea", "bytea"] if table == "entry" else None
    with target.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types or ["text", "text", "text", "bytea", "bytea"])
        for row in rows:
            copy.write_row(row)


def _bare_verify(url: str) -> Measured:
    """Parse and hash the same bytes: every payload and opening once, each leaf, and an inner node per leaf."""
    found: Measured = {}
    sha256, loads = hashlib.sha256, json.loads
    with closing(_connected(url)) as source, _timed(found):
        for rows in _chunks(source, "entry", "idx"):
            for row in rows:
                loads(row[5])
                leaf = sha256(b"\x00" + row[5]).digest()
                sha256(b"\x01" + leaf + leaf).digest()
        for rows in _chunks(source, "opening", "ref"):
            for _, kind, value, salt, _ in rows:
                loads(value)
                opening = f'["{kind}",{value}]'.encode()
                sha256(opening).digest()
                sha256(b"consent-gate ref v1\x00" + salt + opening).hexdigest()
    return found


def _verify(url: str) -> Measured:
    from gate.ledger.store import open_ledger
    from gate.ledger.verify import verify

    found: Measured = {}
    with closing(open_ledger(url)) as ledger, ledger.read() as reader, _timed(found):
        report = verify(reader)
    assert report.ok, report.findings
    return found


def _look_up(url: str, size: int) -> Measured:
    """Ask for all facts of one account, each time in a transaction of its own."""
    from gate.ledger.state import account_facts
    from gate.ledger.store import open_ledger

    chance, spent = random.Random(1), list[float]()
    with closing(open_ledger(url)) as ledger:
        for _ in range(LOOKUPS):
            name = _name(chance.randrange(size // 2))
            began = time.perf_counter()
            with ledger.read() as reader:
                account_facts(reader, name)
            spent.append((time.perf_counter() - began) * 1000)
    spent.sort()
    return {"p99": spent[len(spent) * 99 // 100], "median": spent[len(spent) // 2]}


def _chunks(source: Any, table: str, key: str) -> Iterator[list[tuple[Any, ...]]]:
    columns, after, mark = ", ".join(_columns(table)), None, "?" if isinstance(source, sqlite3.Connection) else "%s"
    place = _columns(table).index(key)
    while True:
        where, values = ("", ()) if after is None else (f"WHERE {key} > {mark}", (after,))
        query = f"SELECT {columns} FROM {table} {where} ORDER BY {key} LIMIT {CHUNK}"
        rows = source.execute(query, values).fetchall()
        if not rows:
            return
        yield rows
        after = rows[-1][place]


def _columns(table: str) -> list[str]:
    from gate.ledger import tables

    return [column.name for column in tables.metadata.tables[table].columns]


def _connected(url: str) -> Any:
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        for pragma in ("synchronous = FULL", "cache_size = -65536", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        return connection
    import psycopg

    return psycopg.connect(url, autocommit=True)


@contextmanager
def _database(folder: Path, database: str) -> Iterator[tuple[str, str]]:
    """Give a home, and the URL of a database that is new and gone at the end."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as home:
        if database == "SQLite":
            yield home, f"sqlite:///{home}/ledger.db"
            return
        import psycopg

        server, name = os.environ["GATE_TEST_POSTGRES_URL"], f"gate_bench_{secrets.token_hex(6)}"
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
            try:
                yield home, f"{server.rpartition('/')[0]}/{name}"
            finally:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _name(number: int) -> str:
    return f"account-{number:08}"


def _write_events(path: Path, count: int) -> None:
    """Write a console's export: two events an account on average, in no order, a tenth with a form of their own."""
    chance, start = random.Random(7), datetime(2023, 8, 10, tzinfo=UTC)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            name = _name(chance.randrange(count // 2))
            at = start + timedelta(days=chance.randrange(800), seconds=chance.randrange(86_400))
            event = {
                "account_id": name,
                "action": "grant" if chance.random() < 0.8 else "withdraw",
                "toggle": "share_for_training",
                "categories": chance.choice([["audio"], ["chat"], ["audio", "chat"]]),
                "features": ["meeting_summary"],
                "purposes": ["train"],
                "principal": {"id": f"admin@{name}", "role": "admin"},
                "notice": {"terms_version": "2023-08-07", "text_sha256": "ab" * 32, "language": "en"},
                "withdrawal_channel": "admin console",
                "evidence": f"form {number}" if chance.random() < 0.1 else "console",
                "effective_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            }
            file.write(json.dumps(event) + "\n")


if __name__ == "__main__":
    sys.exit(alone(partial(main, LARGE if "--large" in sys.argv[1:] else SIZES)))
