"""The permits room: keys, DSSE envelopes, permits, receipts and attestations; verification does no I/O."""

from gate.permits.attestation import Attestation, issue_attestation, verify_attestation
from gate.permits.envelope import read_envelope, seal, unseal
from gate.permits.keys import (
    PublicKey,
    SigningKey,
    create_key,
    load_key,
    public_key_from_text,
    public_key_to_text,
)
from gate.permits.permit import PAYLOAD_TYPE, Permit, issue, verify_permit
from gate.permits.receipt import RECEIPT_TYPE, Receipt, issue_receipt, new_nonce, verify_receipt

__all__ = [
    "PAYLOAD_TYPE",
    "RECEIPT_TYPE",
    "Attestation",
    "Permit",
    "PublicKey",
    "Receipt",
    "SigningKey",
    "create_key",
    "issue",
    "issue_attestation",
    "issue_receipt",
    "load_key",
    "new_nonce",
    "public_key_from_text",
    "public_key_to_text",
    "read_envelope",
    "seal",
    "unseal",
    "verify_attestation",
    "verify_permit",
    "verify_receipt",
]
