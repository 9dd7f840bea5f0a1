"""What verifying a permit offline costs, beside the one thing nobody can leave out: an Ed25519 verification."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from benchmarks._common import alone, best_of, ratio
from gate.domain.dataset import DatasetVersion, dataset
from gate.domain.decision import Use
from gate.domain.words import Ownership, Purpose
from gate.permits import Permit, SigningKey, issue, verify_permit

TIMES = 500  # in a row, so that the clock's own cost does not count
NOW = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)


def _permit() -> Permit:
    versions = [DatasetVersion(dataset(f"s3://lake/{n}", "account_id"), f"sha256:{n:064x}", 3, 4096) for n in range(3)]
    return Permit(
        permit_id="0e8dfa5c-6a0f-4f0a-9a3c-0f6a3b6d1f10",
        ledger_origin="consent-gate.example/ledger",
        decision_index=41,
        decision_digest="sha256:" + "1" * 64,
        checkpoint=(41, "2" * 64),
        policy_digest="sha256:" + "3" * 64,
        use=Use(Purpose.TRAIN, "meeting_summary", "ms-1", Ownership.FIRST_PARTY),
        datasets=tuple(versions),
        dag_id="train_meeting_summary",
        run_id="manual__2026-11-21T12:00:00+00:00",
        task_id="train",
        facts_from="trusted_scanner",
        issued_at=NOW - timedelta(minutes=5),
        expires_at=NOW + timedelta(minutes=55),
        offline=True,
    )


def main() -> list[dict[str, object]]:
    """Verify a permit of three datasets with every binding, and a bare signature over as many bytes."""
    permit, key = _permit(), SigningKey.of(Ed25519PrivateKey.generate())
    envelope, payload = issue(permit, key), permit.to_payload()
    signature = key.sign(payload)

    def bare() -> None:
        for _ in range(TIMES):
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, payload)

    def whole() -> None:
        for _ in range(TIMES):
            verify_permit(
                envelope,
                [key.public_key],
                now=NOW,
                dag_id=permit.dag_id,
                run_id=permit.run_id,
                task_id=permit.task_id,
                use=permit.use,
                datasets=permit.datasets,
                ledger_origin=permit.ledger_origin,
                offline=True,
            )

    (peer, _), (spent, _) = best_of(7, bare, whole)
    each = {
        "what": "verify a permit offline",
        "measured": spent / TIMES * 1e3,
        "bar": 1.0,
        "unit": "ms",
        "note": f"a bare Ed25519 verification {peer / TIMES * 1e3:.3f} ms",
        "ok": True,
    }
    return [
        each,
        ratio("verify a permit, against bare Ed25519", spent, peer, 5.0, note=f"{TIMES} times each"),
    ]


if __name__ == "__main__":
    raise SystemExit(alone(main))
