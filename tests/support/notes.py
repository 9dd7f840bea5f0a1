"""Reads C2SP signed notes by the specification alone, with `cryptography` and nothing of ours."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def lines_of(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Return the signed text, and per signature line its name and bytes."""
    text, _, rest = note.partition("\n\n")
    found = []
    for line in rest.splitlines():
        dash, name, signed = line.split(" ")
        assert dash == "\N{EM DASH}"
        found.append((name, base64.b64decode(signed)))
    assert note.endswith("\n")
    return text + "\n", found


def check_signed(note: str, name: str, public: bytes) -> None:
    """Check a plain Ed25519 signature line; raises `InvalidSignature` or `StopIteration`."""
    text, lines = lines_of(note)
    key_id = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    signed = next(raw for who, raw in lines if (who, raw[:4]) == (name, key_id))
    Ed25519PublicKey.from_public_bytes(public).verify(signed[4:], text.encode())


def check_cosigned(note: str, name: str, public: bytes) -> int:
    """Check a cosignature/v1 line; return its time."""
    text, lines = lines_of(note)
    key_id = hashlib.sha256(name.encode() + b"\n\x04" + public).digest()[:4]
    signed = next(raw for who, raw in lines if (who, raw[:4]) == (name, key_id))
    assert len(signed) == 4 + 8 + 64
    at = int.from_bytes(signed[4:12], "big")
    message = f"cosignature/v1\ntime {at}\n{text}".encode()
    Ed25519PublicKey.from_public_bytes(public).verify(signed[12:], message)
    return at
