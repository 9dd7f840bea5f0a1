"""Times things within one run, so that a benchmark compares ratios and not machines, and runs one benchmark alone."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Row = dict[str, object]


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
