"""Thousands of decisions at once, made from real ones: other runs, verdicts, days and models, for pages to bear."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gate.domain.canonical import canonical
from gate.domain.instants import utc_now
from gate.domain.run import TaskRun
from gate.ledger.store import Entry, NewEntry
from gate.service.anchors import recording
from gate.service.core import Service
from support.pages import demo_service

BATCH = 2000  # entries per transaction
DAGS = 40
DAYS = 45  # over which `busy_service` spreads them


def busy_service(folder: Path, count: int) -> Service:
    """Open a service with the demo's decisions, made `DAYS` ago, and `count` since then."""
    long_ago = utc_now() - timedelta(days=DAYS)
    service = demo_service(folder, lambda: long_ago)
    service.clock = utc_now
    add_decisions(service, count)
    return service


def add_decisions(service: Service, count: int, *, seed: int = 7) -> None:
    """Append decisions and some refusals, made from those the ledger holds; accounts are shared with them.

    Args:
        service: its ledger holds a decision that blocks for missing consent.
        count: how many entries, spread from the ledger's newest entry until now.
        seed: the same one gives the same entries.
    """
    with service.ledger.read() as reader:
        real = list(reader.entries("decision"))
        newest = reader.newest()
    assert newest is not None
    began = newest.recorded_at
    spread = service.clock() - began
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        with recording(service, patience=60.0) as tx:
            tx.append_many(
                _entries(
                    random.Random(seed + start), real, numbers, lambda number: began + spread * ((number + 1) / count)
                )
            )


def _entries(
    chance: random.Random, real: list[Entry], numbers: range, instant: Callable[[int], datetime]
) -> Iterator[NewEntry]:
    """Yield the entries of one transaction, the oldest first."""
    for number in numbers:
        at = instant(number)
        dag = chance.randrange(DAGS)
        feature = real[dag % len(real)].body["decision"]["use"]["feature"]
        name = f"train_{feature}_{dag:02}"
        run = TaskRun(name, f"scheduled__{at:%Y-%m-%dT%H:%M}_{number}", "consent_gate", try_number=1)
        if chance.random() < 0.03:
            body: dict[str, Any] = {"run": {**run.to_dict(), "task_id": "train"}, "reason": "permit_missing"}
            body["message"] = "there is no permit for this task of this run"
            subject = canonical([name, run.run_id, "train", -1, 1]).decode()
            yield NewEntry("refusal", subject, body, at, "service:airflow", "airflow")
            continue
        yield NewEntry("decision", run.key, _body(chance, real, run, dag), at, "service:airflow", "airflow")


def _body(chance: random.Random, real: list[Entry], run: TaskRun, dag: int) -> dict[str, Any]:
    """Return a decision about another run: a DAG blocks for its own cause, or passes."""
    made_from = real[dag % len(real)].body
    decision = dict(made_from["decision"])
    decision["use"] = {**decision["use"], "model": f"model-{dag % 8}"}
    body = {**made_from, "decision": decision, "run": run.to_dict(), "observed": chance.random() < 0.02}
    if chance.random() < 0.6:
        passes = {"verdict": "allow", "reasons": []}
        decision |= {**passes, "subset_possible": False}
        decision["findings"] = [{**finding, **passes} for finding in decision["findings"]]
        nobody = {"rows_blocked": 0, "accounts_blocked": 0}
        decision["coverage"] = [{**row, **nobody} for row in decision["coverage"]]
        body |= {**nobody, "observed": False}
    return body
