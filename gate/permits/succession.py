"""How a verifier that pins an old key comes to trust its successor: the old key signs a statement about the new one."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from gate.domain.canonical import canonical
from gate.domain.instants import format_instant
from gate.errors import InputError, PermitRefused
from gate.permits.envelope import seal, unseal
from gate.permits.keys import PublicKey, SigningKey, public_key_from_text, public_key_to_text

SUCCESSION_TYPE = "application/vnd.consent-gate.key.v1+json"
MAX_STATEMENTS = 1000  # far more rotations than a ledger sees; more of them is somebody trying something


def introduce(successor: PublicKey, key: SigningKey, *, ledger_origin: str, at: datetime) -> dict[str, Any]:
    """Let the key that signs now vouch for the one that will.

    Returns:
        A DSSE envelope whose payload names ledger, both keys and the instant.
    """
    statement = {
        "v": 1,
        "ledger_origin": ledger_origin,
        "previous": key.key_id,
        "public_key": public_key_to_text(successor),
        "issued_at": format_instant(at),
    }
    return seal(canonical(statement), SUCCESSION_TYPE, key)


def successors(
    pinned: Sequence[PublicKey],
    statements: Iterable[Mapping[str, Any]],
    *,
    ledger_origin: str,
    revoked: Collection[str] = (),
) -> tuple[PublicKey, ...]:
    """Return the keys to trust: those pinned, and those they vouch for, link by link.

    No I/O: the statements may come from anywhere. One that does not hold is passed over; it makes no key trusted.

    Args:
        pinned: the keys from the verifier's own configuration.
        statements: envelopes of `introduce`, in the ledger's order; at most 1,000 are read.
        ledger_origin: the ledger they must be about.
        revoked: ids of keys that are trusted no more, nor anything only they vouch for.
    """
    trusted = {key.key_id: key for key in pinned if key.key_id not in revoked}
    for statement in list(statements)[:MAX_STATEMENTS]:
        successor = _vouched_for(statement, trusted, ledger_origin)
        if successor is not None and successor.key_id not in revoked:
            trusted.setdefault(successor.key_id, successor)
    return tuple(trusted.values())


def _vouched_for(envelope: Mapping[str, Any], trusted: Mapping[str, PublicKey], origin: str) -> PublicKey | None:
    try:
        payload = unseal(envelope, SUCCESSION_TYPE, tuple(trusted.values()))
        statement = json.loads(payload)
        if canonical(statement) != payload or set(statement) != _FIELDS:
            return None
        signers = [signature["keyid"] for signature in envelope["signatures"]]
        if (statement["v"], statement["ledger_origin"], [statement["previous"]]) != (1, origin, signers):
            return None
        return public_key_from_text(statement["public_key"])
    except (PermitRefused, InputError, ValueError, TypeError, AttributeError, RecursionError):
        return None


_FIELDS = {"v", "ledger_origin", "previous", "public_key", "issued_at"}
