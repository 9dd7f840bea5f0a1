"""The ledger whose bytes are frozen in tests/golden/ledger_v1*.json: one entry of each kind, fixed salts and times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gate.domain.consent import Profile
from gate.domain.words import Ownership
from gate.ledger import records
from gate.ledger.checkpoints import note_text, sign_note
from gate.ledger.store import Transaction
from support.ledgers import COMMON, appointment, consent, counting_salt, fresh

SEED = bytes(range(32))
NAME = "gate.example/checkpoints"
ODD = "“§ 10.4” – naïve\n\t\\\u0001"
PLAIN = ("key", "tag", "declassification", "decision", "permit", "redemption", "refusal", "override", "mode", "erasure")
ADDED = ("proposal", "approval", "token", "feed", "exposure", "clock")  # kinds that came with the second schema
REVIEWED = ("review", "access")  # kinds that came with the pages for reviewers
ATTESTED = ("attestation",)  # the kind that came with statements about models
OWED = ("obligation",)  # the kind that says what was done after a withdrawal


def record_one_of_each(tx: Transaction, plain: Sequence[str] = PLAIN) -> None:
    tx.append("genesis", tx.origin, {"origin": tx.origin}, **COMMON)
    text = tx.attach(b"rows: []\n", "application/yaml")
    tx.append("policy_activation", "p@1", {"name": "p", "digest": text, "text": text}, **COMMON)
    records.record_profile(tx, "acme", Profile("US", None, "2023-08-07"), **COMMON)
    records.record_appointments(tx, [appointment()], **COMMON)
    records.record_model(tx, "ms-1", Ownership.FIRST_PARTY, ["meeting_summary"], "card 7", **COMMON)
    full = consent(
        principal={"id": "ada", "role": "owner", "evidence": "passport seen"},
        ownership=["first_party"],
        instrument="contract",
        channel="letter",
        jurisdiction="DE",
        bundled_with_service=True,
        expires_at="2025-01-10T00:00:00.25Z",
    )
    records.record_consents(tx, [full, consent(action="withdraw", effective_at="2024-02-01T00:00:00Z")], **COMMON)
    person = {**COMMON, "by": "person:" + tx.commit_ref("person", "ada"), "via": "cli"}
    for number, kind in enumerate(plain):
        tx.append(
            kind, f"s{number}", {"number": number, "text": "“§ 10.4” – naïve\n\t\\\u0001", "none": None}, **person
        )


def golden(url: str, plain: Sequence[str] = PLAIN) -> dict[str, Any]:
    """Return everything that must never change, JSON-ready."""
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    public = key.public_key().public_bytes_raw()
    with fresh(url, salt=counting_salt()) as ledger:
        with ledger.write() as tx:
            record_one_of_each(tx, plain)
        with ledger.read() as reader:
            size, root = reader.head()
            openings = "SELECT ref, kind, value, salt FROM opening ORDER BY ref"
            return {
                "origin": reader.origin,
                "entries": [
                    {
                        "payload": entry.payload.decode(),
                        "leaf_hash": entry.leaf_hash.hex(),
                        "columns": [entry.kind, entry.subject, entry.account_ref, entry.effective_at],
                    }
                    for entry in reader.entries()
                ],
                "roots": [reader.root_at(count).hex() for count in range(size + 1)],
                "inclusion_of_3": [step.hex() for step in reader.inclusion_proof(3, size)],
                "consistency_from_5": [step.hex() for step in reader.consistency_proof(5, size)],
                "openings": [
                    [ref, kind, value, bytes(salt).hex()]
                    for ref, kind, value, salt in reader.connection.exec_driver_sql(openings)
                ],
                "public_key": public.hex(),
                "checkpoint": sign_note(note_text(reader.origin, size, root), NAME, key.sign, public),
            }
