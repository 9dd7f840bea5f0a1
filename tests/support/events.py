"""The events our facets go out in, made of the fixed decisions."""

from __future__ import annotations

from gate.domain.dataset import DatasetVersion, dataset
from gate.domain.decision import Decision
from gate.lineage.events import decision_event, run_event
from gate.lineage.facets import subset_output, tag_facets
from gate.lineage.training import training_facets
from support.decisions import MEETINGS, REF, RUN_ID, TAGGING, TELEMETRY, USE, allowed, blocked

MODEL = DatasetVersion(dataset("file:///models/ms-1"), "sha256:" + "c" * 64, 1, 99)
JOB = {"namespace": "airflow", "run_id": RUN_ID}


def event(decision: Decision, permits: tuple[str, ...] = ()) -> dict:
    return decision_event(
        decision,
        [MEETINGS, TELEMETRY],
        **JOB,
        job="train_meeting_summary.consent_gate",
        decision_index=REF.index,
        decision_digest=REF.digest,
        checkpoint=REF.checkpoint,
        ledger_origin=REF.origin,
        permit_ids=permits,
        taggings={MEETINGS.key: TAGGING},
    )


EVENTS = {
    "decision_block": lambda: event(blocked()),
    "decision_allow": lambda: event(allowed(), ("0e8dfa5c-6a0f-4f0a-9a3c-0f6a3b6d1f10",)),
    "training": lambda: trained(),
    "training_refused": lambda: trained(refused=["permit_missing"]),
    "tag": lambda: run_event(
        "COMPLETE", "2026-11-21T12:00:00Z", **JOB, job="d.tag", run_facets={}, inputs=[tag_facets(MEETINGS, TAGGING)]
    ),
    "subset": lambda: run_event(
        "OTHER", "2026-11-21T12:00:00Z", **JOB, job="d.gate", run_facets={}, outputs=[subset_output(MODEL, MEETINGS)]
    ),
}


def trained(refused: tuple[str, ...] = ()) -> dict:
    facets, inputs, outputs = training_facets(
        [MEETINGS, TELEMETRY.dataset], [MODEL], use=USE, permit_id="p-1", decision_index=41, refused=refused
    )
    kind = "FAIL" if refused else "COMPLETE"
    return run_event(
        kind, "2026-11-21T12:00:00Z", **JOB, job="d.train", run_facets=facets, inputs=inputs, outputs=outputs
    )
