"""The list of decisions with 10,000 of them (or as many as are asked for): first read, memory, a filtered page.

By hand: `python -m benchmarks.pages [COUNT] [--json]`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import tracemalloc
from pathlib import Path

from benchmarks._common import Row, alone, best_of, ratio
from gate.service.core import Service
from gate.service.decision_index import DecisionIndex

COUNT = 10_000
PATHS = ("/ui/decisions", "/ui/decisions?verdict=block&q=chat&page=3", "/ui/causes")
SLOWEST = 150.0  # ms a page may take the server once it is warm
HEAVIEST = 2.0  # KB a decision may take in memory

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # the decisions are those the tests look at


def main(count: int = COUNT) -> list[Row]:
    """Measure; the first read is compared with merely reading the entries' JSON."""
    from support.many_decisions import busy_service

    with tempfile.TemporaryDirectory(prefix="gate-bench-") as folder, busy_service(Path(folder), count) as service:
        (plain, _), (first, rows) = best_of(2, lambda: _parsed(service), lambda: _indexed(service))
        tracemalloc.start()
        index = DecisionIndex(lambda: service.ledger)
        index.rows()
        size = tracemalloc.get_traced_memory()[0] / rows / 1000
        tracemalloc.stop()
        slowest = _slowest(service)
    note = f"{rows:,} decisions"
    return [
        ratio("first read of decisions / parsing them", first, plain, 3.0, note=note),
        {"what": "memory of a decision", "measured": size, "bar": HEAVIEST, "unit": "KB", "note": note},
        {"what": "slowest page of decisions, warm", "measured": slowest, "bar": SLOWEST, "unit": "ms", "note": note},
    ]


def _parsed(service: Service) -> int:
    with service.ledger.read() as reader:
        return sum(len(json.loads(entry.payload)) for entry in reader.entries(("decision", "refusal")))


def _indexed(service: Service) -> int:
    return len(DecisionIndex(lambda: service.ledger).rows())


def _slowest(service: Service) -> float:
    """Return the milliseconds of the slowest page, each at its best of some tries."""
    from fastapi.testclient import TestClient

    from support.pages import site

    client = TestClient(site(service), headers={"X-Person": "ada auditor"})

    def opened(path: str) -> int:
        return client.get(path).raise_for_status().status_code

    return 1000 * max(best_of(4, lambda path=path: opened(path))[0][0] for path in PATHS)  # type: ignore[misc]


if __name__ == "__main__":
    asked = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    sys.exit(alone(lambda: main(*asked)))
