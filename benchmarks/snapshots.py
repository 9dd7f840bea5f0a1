"""Deciding with a consent snapshot that is kept, made from the mirror, or behind by 1,000 events, beside a raw scan."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks._common import Row, alone, gib, growth, peak, ratio
from benchmarks._lake import generate
from benchmarks.coverage import MEMORY, raw_scan
from gate.domain.consent import ConsentEvent, Profile, parse_consent_event
from gate.domain.dataset import dataset
from gate.domain.words import Authority
from gate.ledger import records
from gate.ledger.mirror import files
from gate.ledger.mirror.accounts import Row as Account
from gate.ledger.mirror.coding import NEVER, Codes, microseconds
from gate.ledger.mirror.mirror import NAME, schema, state_of, table_of
from gate.ledger.snapshots import Snapshot, current_snapshot
from gate.ledger.store import Ledger, create_ledger, open_ledger
from gate.scan.coverage import count_coverage

ACCOUNTS = 2_000_000
ROWS = 20_000_000
NOW = datetime(2026, 6, 1, tzinfo=UTC)
TERMS = [datetime(2023, 3, 1, tzinfo=UTC), datetime(2023, 7, 27, tzinfo=UTC), datetime(2023, 8, 7, tzinfo=UTC)]
COMMON = {"recorded_at": NOW, "by": "service:bench", "via": "import"}
BATCH = 100_000
NEWER = 1000  # events
EACH = 1.9  # events an account: 3.8 M of 2 M accounts


def event(account: str, action: str, since: datetime) -> ConsentEvent:
    """Return one event."""
    return parse_consent_event(
        {
            "account_id": account,
            "action": action,
            "toggle": "share_for_training",
            "categories": ["audio", "chat"],
            "features": "*",
            "purposes": ["train"],
            "principal": {"id": f"admin of {account}", "role": "admin"},
            "notice": {"terms_version": "2023-08-07"},
            "effective_at": since.isoformat(),
        }
    )


def histories(codes: Codes, names: list[str]) -> Iterator[Account]:
    """Yield accounts with one to three events each, 1.9 on average, at times of their own."""
    dice = random.Random(7)
    start = datetime(2023, 1, 1, tzinfo=UTC)
    terms = {
        (action, answer): codes.term(answer, event("a", action, start))
        for action in ("grant", "withdraw", "refuse")
        for answer in (Authority.ADMIN, Authority.NOT_ADMIN)
    }
    for number, name in enumerate(names):
        said, times = list[int](), list[int]()
        for place in range(dice.choices((1, 2, 3), (30, 50, 20))[0]):
            answer = Authority.ADMIN if dice.random() < 0.98 else Authority.NOT_ADMIN
            said.append(terms[("grant", "withdraw", "grant")[place] if dice.random() < 0.9 else "refuse", answer])
            times.append(microseconds(start + timedelta(minutes=dice.randrange(1_500_000))))
        shape = codes.shape(Profile("US", None, "2023-08-07"), said, times)
        yield Account(f"{number:064x}", name, shape, tuple(times), (NEVER,) * len(times))


@contextmanager
def mirrored(folder: Path, names: list[str]) -> Iterator[Ledger]:
    """Open a ledger with a mirror that holds these accounts, as if it had been made from entries."""
    url, kept = f"sqlite:///{folder / 'ledger.db'}", folder / "kept"
    kept.mkdir(parents=True)
    create_ledger(url)
    codes = Codes()
    accounts = histories(codes, names)

    def batches() -> Iterator[object]:
        for _ in range(0, len(names), BATCH):
            yield table_of(account for account, _ in zip(accounts, range(BATCH), strict=False))

    layer = files.write_layer(kept, NAME, schema(), batches(), codes.to_json)
    ledger = open_ledger(url)
    try:
        with ledger.read() as reader:
            files.write_manifest(kept, NAME, reader.size, {**state_of(reader), "layers": [asdict(layer)]})
        yield ledger
    finally:
        ledger.close()


def current(ledger: Ledger, folder: Path) -> Snapshot:
    """Return the snapshot as a decision gets it."""
    with ledger.read() as reader:
        return current_snapshot(reader, NOW, TERMS, folder / "kept")


def forget(folder: Path) -> None:
    """Remove what is kept, but for the mirror."""
    for path in (folder / "kept").glob("snapshot*"):
        path.unlink()


def decided(ledger: Ledger, folder: Path, table: Path) -> float:
    """Return the seconds that snapshot and coverage take."""
    began = time.perf_counter()
    snapshot = current(ledger, folder)
    count_coverage(dataset(str(table), "account_id"), [str(path) for path in snapshot.paths])
    return time.perf_counter() - began


def withdraw(ledger: Ledger, names: list[str], day: int) -> None:
    """Record `NEWER` events of as many accounts."""
    some = random.Random(day).sample(names, NEWER)
    said = [event(name, "withdraw", NOW - timedelta(days=100 - day)) for name in some]
    with ledger.write() as tx:
        records.record_consents(tx, said, **COMMON)


def main(rows: int = ROWS, accounts: int = ACCOUNTS) -> list[Row]:
    """Measure all."""
    with tempfile.TemporaryDirectory(prefix="gate-bench-") as name:
        lake = Path(name) / "lake"
        lake.mkdir()
        table, snapshot = generate(lake, rows, accounts)
        names = pq.read_table(snapshot, columns=["account_id"])["account_id"].to_pylist()
        found = _of(Path(name), table, names)
        sizes = [(size, _made(Path(name) / str(size), names[:size])) for size in (len(names) // 16, len(names) // 4)]
        found.append(growth("snapshot from the mirror", [*sizes, (len(names), _made(Path(name) / "all", names))]))
    return found


def _of(folder: Path, table: Path, names: list[str]) -> list[Row]:
    raw, kept, made, behind = list[float](), list[float](), list[float](), list[float]()
    with mirrored(folder, names) as ledger:
        for _ in range(3):
            began = time.perf_counter()
            raw_scan(table)
            raw.append(time.perf_counter() - began)
            forget(folder)
            made.append(decided(ledger, folder, table))
            kept.append(decided(ledger, folder, table))
        for turn in range(3):
            withdraw(ledger, names, turn)
            behind.append(decided(ledger, folder, table))
        forget(folder)
        taken, _ = peak(_DECIDING, [str(folder), str(table)])
    scan, note = min(raw), f"{len(names):,} accounts, {EACH} events each"
    return [
        ratio("snapshot kept, and coverage / raw scan", min(kept), scan, 2.5, note=note),
        ratio("snapshot made from the mirror, and coverage / raw scan", min(made), scan, 5.0, note=note),
        gib("peak memory, snapshot made and coverage", taken, MEMORY, note),
        ratio(f"coverage after {NEWER:,} new events / before", min(behind), min(kept), 1.2, note=note),
    ]


_DECIDING = """
import sys
from pathlib import Path
from benchmarks.snapshots import current
from gate.domain.dataset import dataset
from gate.ledger.store import open_ledger
from gate.scan.coverage import count_coverage
folder = Path(sys.argv[1])
snapshot = current(open_ledger(f"sqlite:///{folder / 'ledger.db'}"), folder)
count_coverage(dataset(sys.argv[2], "account_id"), [str(path) for path in snapshot.paths])"""


def _made(folder: Path, names: list[str]) -> float:
    """Return the seconds that a snapshot from the mirror takes."""
    best = float("inf")
    with mirrored(folder, names) as ledger:
        for _ in range(3):
            forget(folder)
            began = time.perf_counter()
            current(ledger, folder)
            best = min(best, time.perf_counter() - began)
    return best


if __name__ == "__main__":
    sys.exit(alone(main))
