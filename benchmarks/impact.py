"""What an account concerns among 10,000 dataset versions (or as many as are asked for), in ledger and lineage.

By hand: `python -m benchmarks.impact [COUNT] [--json]`.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks._common import Row, alone, best_of
from gate.domain.run import TaskRun
from gate.ledger.store import NewEntry
from gate.service.anchors import recording
from gate.service.core import Service
from gate.service.impact import Subject, impact
from gate.service.lineage_store import open_lineage

COUNT = 10_000
SLOWEST = 1.0  # seconds
ACCOUNTS = 1000
SETS = 50  # lists of 200 accounts that the versions share
BATCH = 2000

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # the first decision is made as the tests do


def main(count: int = COUNT) -> list[Row]:
    """Measure; half of the versions hold the account, each with a run of its own that read it."""
    from support.impact import chats, trained
    from support.world import Clock, add_account, event, new_service, say

    with (
        tempfile.TemporaryDirectory(prefix="gate-bench-") as folder,
        new_service(Path(folder) / "home", Clock()) as one,
    ):
        add_account(one, "acme")
        say(one, event("acme"))
        outcome = trained(one, chats(Path(folder), "mine", ["acme"]))
        one.clock.forward(hours=1)  # type: ignore[attr-defined]
        _decide(one, dict(outcome.record), count)
        with open_lineage(one.settings) as store:
            _tell(store, count)
            ((seconds, found),) = best_of(3, lambda: impact(one, store, Subject("account", "acme")))
    versions = found["counts"]["versions"]
    return [
        {
            "what": "impact of an account",
            "measured": seconds,
            "bar": SLOWEST,
            "unit": "s",
            "note": f"{versions:,} of {count:,} versions, {found['counts']['runs']:,} runs",
        }
    ]


def _digest(number: int) -> str:
    return f"sha256:{number:064x}"


def _decide(service: Service, body: dict[str, Any], count: int) -> None:
    """Append decisions about other versions; every other of their lists names the account."""
    chance = random.Random(5)
    with recording(service, patience=60.0) as tx:
        mine = bytes.fromhex(tx.commit_ref("account", "acme"))
        others = [bytes.fromhex(ref) for ref in tx.commit_refs("account", [f"a{n}" for n in range(ACCOUNTS)]).values()]
        lists = [
            tx.attach(
                b"".join(sorted([*chance.sample(others, 200), *([mine] if number % 2 else [])])),
                "application/octet-stream",
            )
            for number in range(SETS)
        ]
    for start in range(0, count, BATCH):
        with recording(service, patience=60.0) as tx:
            tx.append_many(_entries(service, body, lists, range(start, min(start + BATCH, count))))


def _entries(service: Service, body: dict[str, Any], lists: list[str], numbers: range) -> Iterator[NewEntry]:
    for number in numbers:
        run = TaskRun(f"train_{number % 40}", f"manual__{number}", "consent_gate")
        item = body["datasets"][0]
        version = {**item["version"], "uri": f"file:///lake/{number}.jsonl", "digest": _digest(number)}
        said = {
            **body,
            "run": run.to_dict(),
            "datasets": [{**item, "version": version}],
            "accounts": lists[number % SETS],
        }
        at = service.clock() + timedelta(seconds=number // BATCH)
        yield NewEntry("decision", run.key, said, at, "service:airflow", "airflow")


def _tell(store: Any, count: int) -> None:
    from gate.lineage.observed import observe
    from gate.lineage.store.ingest import store_events
    from support.impact import _dataset

    def events() -> Iterator[Any]:
        for number in range(count):
            yield observe(
                {
                    "eventType": "COMPLETE",
                    "eventTime": "2024-01-01T00:00:00Z",
                    "run": {"runId": f"00000000-0000-4000-8000-{number:012x}", "facets": {}},
                    "job": {"namespace": "default", "name": f"features_{number % 40}"},
                    "inputs": [_dataset((f"/lake/{number}.jsonl", _digest(number)))],
                    "outputs": [_dataset((f"/features/{number}", _digest(count + number)))],
                    "producer": "https://example.org",
                    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
                }
            )

    store_events(store, events())


if __name__ == "__main__":
    asked = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    sys.exit(alone(lambda: main(*asked)))
