"""`make bench`: runs every benchmark, prints measured against bar as they come, writes docs/benchmarks.md.

`--only NAME[,NAME]` runs some of them and `--json` prints JSON: neither writes the page. Exits 1 when a bar is missed.
"""

from __future__ import annotations

import json
import sys
import traceback
from importlib import import_module

from benchmarks._common import Row
from benchmarks._page import write_page

ALL = (
    "imports",
    "policy",
    "coverage",
    "snapshots",
    "decision",
    "expectations",
    "permits",
    "guard",
    "task",
    "service",
    "pages",
    "impact",
    "ledger",
    "lineage",
    "detection",
    "spark",
)


def measured(name: str) -> list[Row]:
    """Run a benchmark; one that fails is a bar missed, and the others are still measured."""
    try:
        found: list[Row] = import_module(f"benchmarks.{name}").main()
    except Exception:  # noqa: BLE001 of whatever kind
        traceback.print_exc()
        return [{"what": f"{name} did not end", "measured": 1.0, "bar": 0.0, "unit": "", "note": "see stderr"}]
    return found


def run(arguments: list[str]) -> int:
    """Run all; a row's `ok` may be false for a reason of its own."""
    only = arguments[arguments.index("--only") + 1].split(",") if "--only" in arguments else ALL
    as_json, rows = "--json" in arguments, list[Row]()
    for name in only:
        for row in measured(name):
            row["ok"] = bool(row.get("ok", True)) and float(str(row["measured"])) <= float(str(row["bar"]))
            rows.append({**row, "of": name})
            if not as_json:
                verdict = "ok  " if row["ok"] else "MISS"
                shown = f"{row['measured']:8.2f} of {row['bar']} {row['unit']:<3}"
                print(f"{verdict} {row['what']:<45} {shown} {row['note']}", flush=True)
    if as_json:
        print(json.dumps({"benchmarks": rows}))
    elif only is ALL:
        write_page(rows)
    return 0 if all(row["ok"] for row in rows) else 1


sys.exit(run(sys.argv[1:]))
