"""`make bench`: runs every benchmark, prints measured against bar, exits 1 when a bar is missed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from benchmarks import (
    coverage,
    decision,
    detection,
    expectations,
    guard,
    impact,
    imports,
    ledger,
    lineage,
    pages,
    permits,
    policy,
    service,
    spark,
)

ALL: tuple[Callable[[], list[dict[str, object]]], ...] = (
    imports.main,
    policy.main,
    coverage.main,
    decision.main,
    expectations.main,
    permits.main,
    guard.main,
    service.main,
    pages.main,
    impact.main,
    ledger.main,
    lineage.main,
    detection.main,
    spark.main,
)


def run() -> int:
    """Run all; a row's `ok` may be false for a reason of its own."""
    rows = [row for main in ALL for row in main()]
    for row in rows:
        row["ok"] = bool(row.get("ok", True)) and float(str(row["measured"])) <= float(str(row["bar"]))
    if "--json" in sys.argv:
        print(json.dumps({"benchmarks": rows}))
    else:
        for row in rows:
            verdict = "ok  " if row["ok"] else "MISS"
            print(f"{verdict} {row['what']:<45} {row['measured']:8.2f} of {row['bar']} {row['unit']:<3} {row['note']}")
    return 0 if all(row["ok"] for row in rows) else 1


sys.exit(run())
