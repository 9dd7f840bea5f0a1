"""A fixed key, and a fixed permit, receipt and attestation, for every test that needs one."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gate.domain.dataset import DatasetVersion, dataset
from gate.domain.decision import Use
from gate.domain.run import TaskRun
from gate.domain.words import Ownership, Purpose
from gate.permits import Permit, Receipt, SigningKey
from gate.permits.attestation import Artifact, Attestation, Named

SEED = bytes(range(32))
NOW = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)


def signing_key(seed: bytes = SEED) -> SigningKey:
    return SigningKey.of(Ed25519PrivateKey.from_private_bytes(seed))


def version(name: str = "meetings", digit: str = "a") -> DatasetVersion:
    return DatasetVersion(dataset(f"file:///lake/{name}", "account_id"), "sha256:" + digit * 64, 3, 4096)


def permit() -> Permit:
    return Permit(
        permit_id="0e8dfa5c-6a0f-4f0a-9a3c-0f6a3b6d1f10",
        ledger_origin="consent-gate.example/ledger",
        decision_index=41,
        decision_digest="sha256:" + "1" * 64,
        checkpoint=(41, "2" * 64),
        policy_digest="sha256:" + "3" * 64,
        use=Use(Purpose.TRAIN, "meeting_summary", "ms-1", Ownership.FIRST_PARTY),
        datasets=(version("meetings", "a"), version("chat", "b")),
        dag_id="train_meeting_summary",
        run_id="manual__2026-11-21T12:00:00+00:00",
        task_id="train",
        facts_from="trusted_scanner",
        issued_at=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
        expires_at=datetime(2026, 11, 21, 13, 0, tzinfo=UTC),
    )


def receipt() -> Receipt:
    return Receipt(
        permit_id=permit().permit_id,
        run=TaskRun(permit().dag_id, permit().run_id, permit().task_id, -1, 2),
        index=43,
        nonce="5" * 64,
        checkpoint=(44, "6" * 64),
        issued_at=datetime(2026, 11, 21, 12, 4, 30, tzinfo=UTC),
    )


def attestation() -> Attestation:
    return Attestation(
        model=Artifact("file:///models/ms-1.joblib", "sha256:" + "7" * 64, 1, 2048),
        datasets=tuple(Artifact.of(version) for version in permit().datasets),
        use=permit().use,
        run=receipt().run,
        ledger_origin=permit().ledger_origin,
        decision=Named(permit().decision_index, permit().decision_digest),
        redemption=Named(receipt().index, "sha256:" + "8" * 64),
        permit_id=permit().permit_id,
        policy=Named("zoom-2023-08", permit().policy_digest),
        checkpoint=receipt().checkpoint,
        facts_from="worker_asserted",
        recorded_at=NOW,
    )
