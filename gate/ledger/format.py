"""The bytes of an entry and of a reference, judged without a database: what a verifier far away needs too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from gate.domain.canonical import Json, canonical, canonical_text
from gate.domain.instants import format_instant, parse_instant
from gate.errors import InputError

VERSION = 1  # of the entry format, see docs/ledger.md
KINDS = frozenset(
    {
        "genesis",
        "key",
        "policy_activation",
        "profile",
        "appointment",
        "model",
        "consent",
        "tag",
        "declassification",
        "decision",
        "permit",
        "redemption",
        "refusal",
        "override",
        "mode",
        "erasure",
        "proposal",
        "approval",
        "token",
        "feed",
        "exposure",
        "review",
        "access",
        "attestation",
        "obligation",
        "clock",
    }
)
_FIELDS = {"body", "by", "kind", "recorded_at", "subject", "v", "via"}
_REF_DOMAIN = b"consent-gate ref v1\x00"


def opening_bytes(kind: str, value: Json) -> bytes:
    """Return the canonical bytes a reference commits to."""
    if isinstance(value, str):
        return f'["{kind}",{canonical_text(value)}]'.encode()
    return canonical([kind, value])


def value_digest(opening: bytes) -> bytes:
    """Return the 32-byte digest an opening is found by."""
    return hashlib.sha256(opening).digest()


def make_ref(opening: bytes, salt: bytes) -> str:
    """Return the reference that stands for a personal value: 64 hex digits that reveal nothing without the salt."""
    return hashlib.sha256(_REF_DOMAIN + salt + opening).hexdigest()


def statement_of(payload: bytes) -> dict[str, Any] | None:
    """Return what the bytes of an entry state; `None` unless they are the canonical bytes of one."""
    try:
        statement = json.loads(payload)
        if canonical(statement) != payload or not isinstance(statement, dict) or set(statement) != _FIELDS:
            return None
        recorded_at = format_instant(parse_instant(statement["recorded_at"]))
    except (ValueError, RecursionError, InputError):
        return None
    well_formed = (
        isinstance(statement["body"], dict)
        and all(isinstance(statement[name], str) for name in ("by", "kind", "subject", "via"))
        and statement["kind"] in KINDS
        and type(statement["v"]) is int
        and statement["v"] == VERSION
        and recorded_at == statement["recorded_at"]
    )
    return statement if well_formed else None


def refs_in(value: Any) -> Iterator[str]:
    """Yield what stands in fields named `…_ref` or `…_refs`, at any depth."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name.endswith("_ref") and isinstance(item, str):
                yield item
            elif name.endswith("_refs") and isinstance(item, list):
                yield from (ref for ref in item if isinstance(ref, str))
            else:
                yield from refs_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from refs_in(item)


def opens(ref: object, kind: object, value: object, salt: object) -> bytes | None:
    """Return the digest an opening is found by; `None` unless it belongs to its reference.

    Args:
        value: canonical JSON.
        salt: bytes.
    """
    if not (isinstance(kind, str) and isinstance(value, str) and isinstance(salt, bytes)):
        return None
    try:
        meant = json.loads(value)
        written, opening = canonical(meant).decode(), opening_bytes(kind, meant)
    except (ValueError, RecursionError, InputError):
        return None
    return value_digest(opening) if (written, make_ref(opening, salt)) == (value, ref) else None
