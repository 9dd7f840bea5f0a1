"""Fixed decisions about fixed datasets, for every test of what is said about them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gate.domain.dataset import DatasetVersion, dataset
from gate.domain.decision import Citation, Coverage, Decision, Finding, Use
from gate.domain.words import Ownership, Purpose, Reason, Requirement, Verdict
from gate.lineage.facets import DecisionRef, Tagging

MEETINGS = DatasetVersion(dataset("file:///lake/meetings", "account_id"), "sha256:" + "a" * 64, 3, 4096)
TELEMETRY = DatasetVersion(dataset("s3://lake/telemetry", "column:account"), "sha256:" + "b" * 64, 1, 512)
USE = Use(Purpose.TRAIN, "meeting_summary", "ms-1", Ownership.FIRST_PARTY)
REF = DecisionRef(41, "sha256:" + "1" * 64, (40, "2" * 64), "consent-gate", ())
TAGGING = Tagging((("audio", "declared"), ("audio", "detected"), ("chat", "declared")), (7, 9), (("audio", "stream"),))
RUN_ID = "01939c1e-0000-7000-8000-000000000001"

CONSENT = Citation("S0", "terms", "10.4", "we will not use audio, video or chat without your consent")
SERVICE = Citation("S1", "blog", None, "service generated data")


def blocked(**changes: Any) -> Decision:
    name = MEETINGS.dataset.name
    reasons = (Reason.CONSENT_WITHDRAWN, Reason.NO_CONSENT)
    fields: dict[str, Any] = {
        "verdict": Verdict.BLOCK,
        "use": USE,
        "findings": (
            Finding(name, "audio", Verdict.BLOCK, Requirement.CONSENT, "Z-07", reasons, 2, 30, (1, 2), (CONSENT,)),
            Finding(
                name, "chat", Verdict.ALLOW, Requirement.CONSENT, "Z-07", (), 3, 50, (0,), (CONSENT,), ("2023-08-07",)
            ),
            Finding(
                TELEMETRY.dataset.name,
                "telemetry",
                Verdict.ALLOW,
                Requirement.ALLOW,
                "Z-01",
                (),
                5,
                900,
                (0,),
                (SERVICE,),
            ),
        ),
        "coverage": (
            Coverage(name, "audio", 80, 30, 5, 2, 0),
            Coverage(name, "chat", 50, 0, 3, 0, 0),
            Coverage(TELEMETRY.dataset.name, "telemetry", 900, 0, 5, 0, 0),
        ),
        "passing": (frozenset({0}), frozenset({0})),
        "subset_possible": True,
        "policy_name": "zoom-2023-08",
        "policy_digest": "sha256:" + "3" * 64,
        "decided_at": datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
        "terms_version": "2023-08-07",
    }
    return Decision(**(fields | changes))


def allowed() -> Decision:
    findings = tuple(f for f in blocked().findings if f.verdict is Verdict.ALLOW)
    coverage = tuple(row for row in blocked().coverage if not row.rows_blocked)
    return blocked(verdict=Verdict.ALLOW, findings=findings, coverage=coverage, subset_possible=False)
