"""What a deployment of any size costs, from constants measured on this machine: reproduces the tables of docs/scale.md.

`python -m benchmarks.scale` prints the tables from the constants in benchmarks/scale.json; with `--measure` it measures
the constants anew (some minutes) and writes them there; with `--write` it puts the tables into docs/scale.md.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

CONSTANTS = Path(__file__).with_name("scale.json")
DOCS = Path(__file__).parents[1] / "docs" / "scale.md"
MARKED = re.compile(r"(<!-- scale:begin[^\n]*-->\n).*?(<!-- scale:end -->)", re.DOTALL)

ROWS, ACCOUNTS = 5_000_000, 500_000  # of the lake that is measured
LEDGER = 20_000  # accounts of the ledger that is measured
CORES = 16  # of the worker in the tables
CLUSTER = 256  # cores of the cluster in the tables
GIB = 2**30

# What the tables are about: rows of the lake, accounts, and how many of them are in one dataset.
SIZES = ((10**8, 10**6), (10**9, 10**7), (10**10, 10**8), (10**12, 10**9))
EVENTS = 1.9  # consent events an account
YEARLY = 0.2  # consent events an account and year, once it is running


# Measuring. Seconds are a processor's: what other programs do meanwhile does not count, and cores multiply.


def measure() -> dict[str, float]:
    """Return the constants, in seconds of one core and in bytes."""
    with tempfile.TemporaryDirectory(prefix="gate-scale-") as name:
        folder = Path(name)
        return _of_lake(folder) | _of_ledger(folder)


def _cpu(work: Callable[[], object], times: int = 3) -> float:
    least = float("inf")
    for _ in range(times):
        began = time.process_time()
        work()
        least = min(least, time.process_time() - began)
    return least


def _of_lake(folder: Path) -> dict[str, float]:
    from benchmarks._lake import generate
    from benchmarks.coverage import raw_scan, subset
    from gate.domain.dataset import dataset
    from gate.scan.census import take_census
    from gate.scan.coverage import count_coverage
    from gate.scan.digest import measure as digest

    table, snapshot = generate(folder, ROWS, ACCOUNTS)
    source, census = dataset(str(table), "account_id"), folder / "census.parquet"
    size = table.stat().st_size
    found = {
        "scan a row": _cpu(partial(raw_scan, table)) / ROWS,
        "census a row": _cpu(partial(take_census, source, census)) / ROWS,
        "subset a row": _cpu(partial(subset, table, snapshot, folder / "subset.parquet")) / ROWS,
        "digest a byte": _cpu(partial(digest, source)) / size,
        "bytes of a row": size / ROWS,
        "bytes of an account in the census": census.stat().st_size / ACCOUNTS,
    }
    counted = replace(take_census(source, census), dataset=source)
    found["join an account"] = _cpu(partial(count_coverage, counted, str(snapshot))) / ACCOUNTS
    return found


def _of_ledger(folder: Path) -> dict[str, float]:
    from benchmarks.ledger import _import, _write_events
    from benchmarks.snapshots import NOW, TERMS
    from gate.ledger.references import Known, commit_refs, known_refs
    from gate.ledger.snapshots import current_snapshot
    from gate.ledger.store import open_ledger
    from gate.ledger.verify import verify

    file, url, events = folder / "events.jsonl", f"sqlite:///{folder / 'ledger.db'}", LEDGER * 2
    _write_events(file, events)
    found = {"import an event": _import(str(folder / "gate"), url, str(file))["cpu"] / events}
    ledger = open_ledger(url)
    with ledger.read() as reader:
        found["verify an entry"] = _cpu(lambda: verify(reader), 1) / reader.size
        found["mirror an account"] = _cpu(lambda: current_snapshot(reader, NOW, TERMS, folder / "small"), 1) / LEDGER
    names = [f"account-{number:08}" for number in range(LEDGER)]

    def look_up() -> Known:
        with ledger.read() as reader:
            return known_refs(reader, "account", names)

    known = look_up()

    def name_accounts() -> None:
        with suppress(_Undone), ledger.write() as tx:
            refs = commit_refs(tx, "account", set(names), known)
            tx.attach(b"".join(bytes.fromhex(ref) for ref in sorted(refs.values())), "application/octet-stream")
            raise _Undone

    found["look up an account's reference"] = _cpu(look_up) / LEDGER
    found["name an account in a decision"] = _cpu(name_accounts) / LEDGER
    ledger.close()
    found["bytes of an event in the ledger"] = sum(p.stat().st_size for p in folder.glob("ledger.db*")) / events
    return found | _of_snapshots(folder)


def _of_snapshots(folder: Path) -> dict[str, float]:
    import pyarrow.parquet as pq

    from benchmarks.snapshots import NEWER, current, forget, mirrored, withdraw

    names = pq.read_table(folder / "snapshot.parquet")["account_id"].to_pylist()
    with mirrored(folder / "mirrored", names) as ledger:

        def made() -> None:
            forget(folder / "mirrored")
            current(ledger, folder / "mirrored")

        found = {"snapshot an account from the mirror": _cpu(made) / len(names)}
        kept = folder / "mirrored" / "kept"
        for kind in ("mirror", "snapshot"):
            size = next(kept.glob(f"{kind}-*.parquet")).stat().st_size
            found[f"bytes of an account in the {kind}"] = size / len(names)
        withdraw(ledger, names, 1)
        found["bring an event into the snapshot"] = _cpu(lambda: current(ledger, folder / "mirrored"), 1) / NEWER
    return found


class _Undone(Exception):
    """Takes a measured transaction back."""


# The model


def of_lake(constants: Mapping[str, float], rows: int, accounts: int) -> list[str]:
    """Return one line of the table about looking at a dataset once."""
    size = rows * constants["bytes of a row"]
    one = rows * constants["census a row"] + size * constants["digest a byte"]
    joined = accounts * constants["join an account"]
    return [
        f"{rows:.0e}".replace("e+", "e"),
        f"{accounts:.0e}".replace("e+", "e"),
        amount(size),
        span(rows * constants["scan a row"] / CORES),
        span(one / CORES),
        span(one / CLUSTER),
        amount(accounts * constants["bytes of an account in the census"]),
        span(joined / CORES),
        span(rows * constants["subset a row"] / CORES),
    ]


def of_ledger(constants: Mapping[str, float], accounts: int) -> list[str]:
    """Return one line of the table about the record of so many accounts."""
    entries = accounts * (EVENTS + 1)  # an appointment each, taken to cost what an event costs
    return [
        f"{accounts:.0e}".replace("e+", "e"),
        amount(entries * constants["bytes of an event in the ledger"]),
        span(entries * constants["import an event"]),
        span(entries * constants["verify an entry"]),
        span(accounts * constants["mirror an account"]),
        amount(accounts * constants["bytes of an account in the mirror"]),
        span(accounts * constants["snapshot an account from the mirror"]),
        amount(accounts * constants["bytes of an account in the snapshot"]),
        span(accounts * YEARLY / 365 * constants["bring an event into the snapshot"]),
        span(accounts * constants["look up an account's reference"]),
        span(accounts * constants["name an account in a decision"]),
        amount(accounts * 32),
    ]


def tables(constants: Mapping[str, float]) -> str:
    """Return the constants and both tables as Markdown."""
    known = [[name, shown(value, name)] for name, value in constants.items()]
    lake = [
        "rows",
        "accounts",
        "Parquet",
        "bare scan",
        "census and digest",
        f"… on {CLUSTER} cores",
        "census",
        "join",
        "subset",
    ]
    record = [
        "accounts",
        "ledger",
        "import",
        "verify",
        "mirror, once",
        "mirror",
        "snapshot from it",
        "snapshot",
        "a day's events into it",
        "an allow looks all up",
        "… and names them",
        "… and attaches",
    ]
    return "\n".join(
        [
            "### Constants\n",
            _table(["to", "of one core"], known),
            f"\n### Looking at a dataset once, {CORES} cores\n",
            _table(lake, [of_lake(constants, rows, accounts) for rows, accounts in SIZES]),
            "\n### The record, one core\n",
            _table(record, [of_ledger(constants, accounts) for _, accounts in SIZES]),
            "",
        ]
    )


def shown(value: float, name: str) -> str:
    """Return a constant as people read it."""
    if name.startswith("bytes"):
        return f"{value:,.1f} bytes"
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.2g} ns"


def span(seconds: float) -> str:
    """Return a time as people say it."""
    for unit, length in (("years", 31_557_600), ("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.3g} {unit}"
    return f"{seconds:.3g} s"


def amount(size: float) -> str:
    """Return a number of bytes as people say it."""
    for unit, bytes_ in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= bytes_:
            return f"{size / bytes_:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def document() -> str:
    """Return docs/scale.md with the tables that the constants give."""
    told = "\n" + tables(json.loads(CONSTANTS.read_text("utf-8"))) + "\n"
    return MARKED.sub(lambda match: match[1] + told + match[2], DOCS.read_text("utf-8"))


if __name__ == "__main__":
    if "--measure" in sys.argv[1:]:
        CONSTANTS.write_text(json.dumps(measure(), indent=2) + "\n", "utf-8")
    if "--write" in sys.argv[1:]:
        DOCS.write_text(document(), "utf-8")
    print(tables(json.loads(CONSTANTS.read_text("utf-8"))))
