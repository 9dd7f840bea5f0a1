"""The permits room: keys, DSSE envelopes and permits; verification does no I/O."""

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

__all__ = [
    "PAYLOAD_TYPE",
    "Permit",
    "PublicKey",
    "SigningKey",
    "create_key",
    "issue",
    "load_key",
    "public_key_from_text",
    "public_key_to_text",
    "read_envelope",
    "seal",
    "unseal",
    "verify_permit",
]
