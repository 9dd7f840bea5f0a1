"""DSSE v1 envelopes, read strictly: one algorithm, pinned keys, one spelling of every byte."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from gate.errors import PermitRefused
from gate.permits.keys import PublicKey, SigningKey

MAX_ENVELOPE = 1_048_576  # bytes of the encoded payload, or of an envelope's JSON text

_ENVELOPE_FIELDS = {"payload", "payloadType", "signatures"}
_SIGNATURE_FIELDS = {"keyid", "sig"}


def seal(payload: bytes, payload_type: str, key: SigningKey) -> dict[str, Any]:
    """Sign `payload` into a DSSE envelope.

    Returns:
        `{"payload", "payloadType", "signatures": [{"keyid", "sig"}]}`, byte strings as standard base64.
    """
    signature = key.sign(_pre_authentication(payload, payload_type))
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": key.key_id, "sig": base64.b64encode(signature).decode()}],
    }


def unseal(envelope: Mapping[str, Any], payload_type: str, keys: Sequence[PublicKey]) -> bytes:
    """Return the payload if every signature is by a different pinned key and holds.

    No algorithm is read from the envelope: Ed25519 is the only one.

    Args:
        envelope: what `seal` returned, from anywhere.
        payload_type: the only type accepted.
        keys: the pinned keys, at least one.

    Raises:
        PermitRefused: anything else, `permit_mismatch`.
    """
    _check_fields(envelope, _ENVELOPE_FIELDS, "envelope")
    if envelope["payloadType"] != payload_type:
        raise _refused(f"its type is not {payload_type}", "envelope.payloadType")
    payload = _decoded(envelope["payload"], "envelope.payload")
    signed = _pre_authentication(payload, payload_type)
    signatures = envelope["signatures"]
    if not isinstance(signatures, list | tuple) or not signatures:
        raise _refused("it is not signed", "envelope.signatures")
    unused = {key.key_id: key for key in keys}
    for signature in signatures:
        _check_signature(signature, signed, unused)
    return payload


def read_envelope(text: str | bytes) -> dict[str, Any]:
    """Read an envelope's JSON text; `unseal` judges what it holds.

    Raises:
        PermitRefused: too large, not JSON, no object, or a field named twice.
    """
    if len(text) > MAX_ENVELOPE:
        raise _refused(f"it is larger than {MAX_ENVELOPE} bytes", "envelope")
    try:
        envelope = json.loads(text, object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError):
        raise _refused("it is not JSON", "envelope") from None
    if not isinstance(envelope, dict):
        raise _refused("it is no JSON object", "envelope")
    return envelope


def refusal(message: str, where: str | None = None, *, hint: str | None = None, what: str = "permit") -> PermitRefused:
    """Build the refusal of a permit, receipt or envelope that is not what it should be: `permit_mismatch`."""
    hint = hint or "ask the gate for a new permit; do not edit or copy one"
    return PermitRefused(f"the {what} is refused: {message}", where=where, hint=hint, reason="permit_mismatch")


_refused = partial(refusal, what="envelope")  # whatever it holds: a permit, a receipt, …


def _pre_authentication(payload: bytes, payload_type: str) -> bytes:
    # PAE of the DSSE v1 protocol: lengths are bytes, in decimal.
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _check_signature(signature: object, signed: bytes, unused: dict[str, PublicKey]) -> None:
    _check_fields(signature, _SIGNATURE_FIELDS, "envelope.signatures")
    key_id = signature["keyid"]  # type: ignore[index]
    key = unused.pop(key_id, None) if isinstance(key_id, str) else None
    if key is None:
        raise _refused("it is signed by a key that is not pinned, or twice by one", "envelope.signatures")
    if not key.verifies(_decoded(signature["sig"], "envelope.sig"), signed):  # type: ignore[index]
        raise _refused("its signature does not hold", "envelope.sig")


def _check_fields(value: object, fields: set[str], where: str) -> None:
    if not isinstance(value, Mapping) or set(value) != fields:
        raise _refused(f"expected exactly the fields {', '.join(sorted(fields))}", where)


def _decoded(text: object, where: str) -> bytes:
    if not isinstance(text, str) or len(text) > MAX_ENVELOPE:
        raise _refused(f"expected base64 text of at most {MAX_ENVELOPE} characters", where)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _refused("it is not base64", where) from None
    if base64.b64encode(data).decode() != text:
        raise _refused("its base64 is not in canonical form", where)
    return data


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError
    return fields
