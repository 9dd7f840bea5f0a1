"""A small history of lineage: chat and telemetry, a blocked gate, a subset, two models, a secret DAG, an orphan."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from gate.lineage.observed import Observed, observe

CHAT = "/lake/meetings/chat.jsonl"
TELEMETRY = "/lake/telemetry"
SUBSET = "/subsets/11/chat.jsonl"
MODEL = "/models/ms-1/model.joblib"
SECRET = "/models/secret/model.joblib"


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


def run_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def data(
    name: str,
    version: str | None = None,
    *,
    categories: Iterable[str] = (),
    coverage: tuple[int, Mapping[str, list[str]]] | None = None,
    model: str | None = None,
) -> dict[str, Any]:
    """Build a dataset of an event; `coverage`: of a decision, the reasons by category."""
    tags = [{"key": f"data_category.{category}", "value": "declared"} for category in categories]
    tags += [{"key": "gate.model", "value": model}] if model else []
    facets: dict[str, Any] = {"datasetType": {"datasetType": "MODEL" if model else "FILE"}, "tags": {"tags": tags}}
    if version:
        facets["version"] = {"datasetVersion": version}
    found: dict[str, Any] = {"namespace": "file", "name": name, "facets": facets}
    if coverage:
        rows = [
            {"category": category, "verdict": "block" if reasons else "allow", "reasons": reasons}
            for category, reasons in coverage[1].items()
        ]
        told = {"decision_index": coverage[0], "coverage": rows}
        found["inputFacets"] = {"gate_consentCoverage": told}
    return found


def event(
    job: str,
    minute: int,
    kind: str | None = "COMPLETE",
    *,
    reads: Iterable[dict[str, Any]] = (),
    writes: Iterable[dict[str, Any]] = (),
    decision: tuple[int, list[str]] | None = None,
    permitted_by: int | None = None,
    run: str = "monday",
) -> dict[str, Any]:
    """Build the event of a task `DAG.TASK`; a decision without reasons allows."""
    dag, _, task = job.partition(".")
    facets: dict[str, Any] = {
        "airflow": {"dag": {"dag_id": dag}, "dagRun": {"run_id": run}, "task": {"task_id": task}, "taskInstance": {}}
    }
    if decision:
        index, reasons = decision
        facets["gate_decision"] = {
            "verdict": "block" if reasons else "allow",
            "reasons": reasons,
            "policy": {"name": "strict"},
            "ledger": {"index": index},
        }
    if permitted_by is not None:
        facets["tags"] = {"tags": [{"key": "gate.decision", "value": str(permitted_by)}]}
    found: dict[str, Any] = {
        "eventTime": f"2026-11-22T10:{minute:02}:00Z",
        "job": {"namespace": "airflow", "name": job},
        "run": {"runId": run_id(f"{job}/{run}"), "facets": facets},
        "inputs": list(reads),
        "outputs": list(writes),
    }
    return found | ({"eventType": kind} if kind else {})


def scene() -> list[dict[str, Any]]:
    """Return the history, in the order of its times."""
    chat, telemetry, subset = data(CHAT, digest("a")), data(TELEMETRY, digest("b")), data(SUBSET, digest("c"))
    no_consent = {"chat": ["no_consent"]}
    whole = data(CHAT, digest("a"), coverage=(11, no_consent))
    return [
        event("notes.tag", 0, reads=[data(CHAT, digest("a"), categories=["chat"])]),
        event("notes.tag_telemetry", 1, reads=[data(TELEMETRY, digest("b"), categories=["telemetry"])]),
        event(
            "notes.gate",
            2,
            "FAIL",
            reads=[
                data(CHAT, digest("a"), coverage=(10, no_consent)),
                data(TELEMETRY, digest("b"), coverage=(10, {"telemetry": []})),
            ],
            decision=(10, ["no_consent"]),
        ),
        event("part.gate", 3, None, reads=[whole], decision=(11, ["no_consent"])),
        event(
            "part.gate",
            4,
            reads=[data(SUBSET, digest("c"), categories=["chat"], coverage=(12, {"chat": []}))],
            writes=[data(SUBSET, digest("c"), categories=["chat"])],
            decision=(12, []),
        ),
        event("part.train", 5, "START", reads=[data(CHAT)]),
        event(
            "part.train",
            6,
            reads=[subset, telemetry],
            writes=[data(MODEL, digest("d"), model="ms-1")],
            permitted_by=12,
        ),
        event("secret.gate", 7, reads=[data(CHAT, digest("a"), coverage=(13, {"chat": []}))], decision=(13, [])),
        event(
            "secret.train", 8, reads=[chat], writes=[data(SECRET, digest("e"), model="secret-model")], permitted_by=13
        ),
        event("orphan.read", 9, "START", reads=[data(CHAT)]),
    ]


def observed(events: Iterable[dict[str, Any]] | None = None) -> list[Observed]:
    """Return events as the store takes them."""
    return [observe(json.loads(json.dumps(one))) for one in (scene() if events is None else events)]
