"""Times things within one run, so that a benchmark compares ratios and not machines, and runs one benchmark alone."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
Row = dict[str, object]
_NOTHING: Mapping[str, str] = {}


def best_of(times: int, *works: Callable[[], T]) -> list[tuple[float, T]]:
    """Run the works in turns, so that a busy moment hits all of them; return the shortest time and last result each."""
    best: list[tuple[float, T] | None] = [None] * len(works)
    for _ in range(times):
        for place, work in enumerate(works):
            start = time.perf_counter()
            result = work()
            spent = time.perf_counter() - start
            before = best[place]
            best[place] = (spent if before is None else min(spent, before[0]), result)
    return [found for found in best if found is not None]


def ratio(what: str, seconds: float, peer: float, bar: float, *, note: str = "", ok: bool = True) -> Row:
    """Return a row for `python -m benchmarks`: how many times as long as its peer something takes, and may take."""
    times = f"{seconds:.3f} s against {peer:.3f} s"
    return {
        "what": what,
        "measured": seconds / peer,
        "bar": bar,
        "unit": "x",
        "note": f"{times}; {note}" if note else times,
        "ok": ok,
    }


def gib(what: str, measured: float, bar: float, note: str) -> Row:
    """Return a row with an amount of memory."""
    return {"what": what, "measured": measured, "bar": bar, "unit": "GiB", "note": note}


def peak(script: str, arguments: Sequence[str], environ: Mapping[str, str] = _NOTHING) -> tuple[float, float]:
    """Run a script in a process of its own; return the most memory it took, in GiB, and its seconds."""
    told = (
        ";import re; print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1],"
        " __import__('time').perf_counter() - began)"
    )
    command = [sys.executable, "-c", f"import time; began = time.perf_counter(); {script}{told}", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | dict(environ))
    kib, seconds = done.stdout.split()[-2:]
    return int(kib) / 2**20, float(seconds)


def growth(what: str, times: Sequence[tuple[int, float]], bar: float = 1.05) -> Row:
    """Return a row with the exponent by which time grows with size: 1 is in proportion.

    Args:
        what: was measured.
        times: sizes and seconds, smallest first. What a run costs whatever its size is small beside the smallest.
        bar: the exponent may not exceed this.
    """
    (least, fast), (most, slow) = times[0], times[-1]
    shown = ", ".join(f"{size:,}: {seconds:.2f} s" for size, seconds in times)
    return {
        "what": f"{what}: growth",
        "measured": math.log(slow / fast) / math.log(most / least),
        "bar": bar,
        "unit": "exp",
        "note": shown,
    }


def alone(main: Callable[[], list[Row]]) -> int:
    """Run one benchmark and print its rows, as one JSON object with `--json`; return the exit code."""
    rows = main()
    for row in rows:
        row["ok"] = bool(row.get("ok", True)) and float(str(row["measured"])) <= float(str(row["bar"]))
    if "--json" in sys.argv[1:]:
        print(json.dumps({"benchmarks": rows}))
    else:
        for row in rows:
            verdict = "ok" if row["ok"] else "MISS"
            print(f"{verdict} {row['what']}: {row['measured']:.2f} of {row['bar']} {row['unit']} ({row['note']})")
    return 0 if all(row["ok"] for row in rows) else 1
