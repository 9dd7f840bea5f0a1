"""Tree heads as C2SP signed notes: a text that anyone can keep elsewhere and hold against the ledger later."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from typing import NamedTuple

from gate.errors import InputError, TamperingFound

NOTE_NAME = "consent-gate"  # name of our own signature line in checkpoints

_ED25519 = b"\x01"  # signature type of the signed-note format
_COSIGNATURE = b"\x04"  # … and of a timestamped cosignature, tlog-cosignature's `cosignature/v1`
_TIME_SIZE = 8  # bytes before a cosignature that hold its time
_LAST_TIME = 2**63 - 1  # seconds since 1970
_KEY_ID_SIZE = 4  # bytes
_ROOT_SIZE = 32  # bytes
_NAME = re.compile(r"[^\s+]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


class Signature(NamedTuple):
    """One signature line: who signs, with which key (4 bytes of its hash), and the raw signature."""

    name: str
    key_id: bytes
    signature: bytes


class Note(NamedTuple):
    """A checkpoint: the ledger's name, how many entries it held, their 32-byte root, and who signed that."""

    origin: str
    size: int
    root: bytes
    signatures: tuple[Signature, ...] = ()


def note_text(origin: str, size: int, root: bytes) -> str:
    """Return the text that is signed: origin, size and base64 of the root, a line each."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def key_id(name: str, public_key: bytes) -> bytes:
    """Return the 4 bytes that name an Ed25519 key: of SHA-256(name || newline || 0x01 || public key)."""
    return _key_id(name, _ED25519, public_key)


def cosigner_id(name: str, public_key: bytes) -> bytes:
    """Return the 4 bytes that name a cosigner's Ed25519 key: as `key_id`, with 0x04 for 0x01."""
    return _key_id(name, _COSIGNATURE, public_key)


def sign_note(text: str, name: str, sign: Callable[[bytes], bytes], public_key: bytes) -> str:
    """Return the signed note.

    Args:
        text: from `note_text`.
        name: the signer; no white space, no `+`.
        sign: returns the raw Ed25519 signature of the bytes it is given.
        public_key: 32 raw bytes.

    Raises:
        InputError: a name that cannot stand in a note.
    """
    return f"{text}\n{_line(name, key_id(name, public_key), sign(text.encode()))}"


def parse_note(note: str) -> Note:
    """Read a signed note, without judging its signatures.

    Raises:
        InputError: not a checkpoint in the signed-note format.
    """
    text, blank, signed = note.partition("\n\n")
    lines = text.split("\n")
    if not blank or len(lines) != 3 or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise _malformed("expected origin, size and root, an empty line, then signatures")
    root = _decoded(lines[2])
    if len(root) != _ROOT_SIZE:
        raise _malformed("the root is not 32 bytes")
    if not signed.endswith("\n"):
        raise _malformed("it ends before its last line does")
    return Note(lines[0], int(lines[1]), root, tuple(map(_signature, signed[:-1].split("\n"))))


def verify_note(note: str, name: str, public_key: bytes, verify: Callable[[bytes, bytes], bool]) -> Note:
    """Read a signed note and check the signature of one key; signatures of others are left alone.

    Args:
        note: the signed note.
        name: the expected signer.
        public_key: the signer's 32 raw bytes.
        verify: takes signature and message, says whether they belong together.

    Raises:
        InputError: not a checkpoint in the signed-note format.
        TamperingFound: not signed by this key, or the signature is wrong.
    """
    parsed = parse_note(note)
    message = note_text(parsed.origin, parsed.size, parsed.root).encode()
    expected = key_id(name, public_key)
    ours = [s for s in parsed.signatures if s.name == name and s.key_id == expected]
    if not ours or not all(verify(s.signature, message) for s in ours):
        said = "the signature is wrong" if ours else "the expected key did not sign it"
        raise TamperingFound(said, where="checkpoint", hint="compare the key with the one you pinned")
    return parsed


def cosign_note(note: str, name: str, sign: Callable[[bytes], bytes], public_key: bytes, at: int) -> str:
    """Add a cosignature (C2SP tlog-cosignature, Ed25519): at this time this was the largest consistent tree we saw.

    An earlier cosignature by the same key makes way; the lines of others stay as they are.

    Args:
        note: the signed note.
        name: the cosigner; no white space, no `+`.
        sign: returns the raw Ed25519 signature of the bytes it is given.
        public_key: the cosigner's 32 raw bytes.
        at: seconds since 1970.

    Raises:
        InputError: not a checkpoint, or a name or time that cannot stand in one.
    """
    parsed, mine = parse_note(note), cosigner_id(name, public_key)
    if not 0 <= at <= _LAST_TIME:
        raise InputError("the time of a cosignature is out of range", where="checkpoint")
    text, _, lines = note.partition("\n\n")
    others = zip(parsed.signatures, lines[:-1].split("\n"), strict=True)
    kept = "".join(f"{line}\n" for other, line in others if (other.name, other.key_id) != (name, mine))
    signed = at.to_bytes(_TIME_SIZE, "big") + sign(_cosigned(parsed, at))
    return f"{text}\n\n{kept}{_line(name, mine, signed)}"


def verify_cosignature(note: str, name: str, public_key: bytes, verify: Callable[[bytes, bytes], bool]) -> int:
    """Check a cosigner's line of a signed note.

    Args:
        note: the signed note.
        name: the expected cosigner.
        public_key: the cosigner's 32 raw bytes.
        verify: takes signature and message, says whether they belong together.

    Returns:
        When it was cosigned, in seconds since 1970.

    Raises:
        InputError: not a checkpoint in the signed-note format.
        TamperingFound: this key did not cosign it, or its cosignature is wrong.
    """
    parsed, expected = parse_note(note), cosigner_id(name, public_key)
    found = [s.signature for s in parsed.signatures if (s.name, s.key_id) == (name, expected)]
    times = [int.from_bytes(raw[:_TIME_SIZE], "big") for raw in found]
    right = [
        at <= _LAST_TIME and verify(raw[_TIME_SIZE:], _cosigned(parsed, at))
        for raw, at in zip(found, times, strict=True)
    ]
    if not right or not all(right):
        said = "the cosignature is wrong" if found else f"{name} did not cosign it with this key"
        raise TamperingFound(said, where="checkpoint", hint="compare name and key with what the cosigner gave you")
    return max(times)


def _cosigned(note: Note, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{note_text(note.origin, note.size, note.root)}".encode()


def _key_id(name: str, kind: bytes, public_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + kind + public_key).digest()[:_KEY_ID_SIZE]


def _line(name: str, key: bytes, signature: bytes) -> str:
    if not _NAME.fullmatch(name):
        raise InputError("a signer's name holds neither white space nor '+'", where="checkpoint")
    return f"— {name} {base64.b64encode(key + signature).decode()}\n"


def _signature(line: str) -> Signature:
    match = _SIGNATURE_LINE.fullmatch(line)
    if not match:
        raise _malformed("a signature line does not read '— name base64'")
    raw = _decoded(match[2])
    if len(raw) <= _KEY_ID_SIZE:
        raise _malformed("a signature is too short")
    return Signature(match[1], raw[:_KEY_ID_SIZE], raw[_KEY_ID_SIZE:])


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("base64 cannot be read") from None
    if base64.b64encode(raw).decode() != text:
        raise _malformed("base64 is not in its one form")
    return raw


def _malformed(what: str) -> InputError:
    return InputError(f"not a signed checkpoint: {what}", where="checkpoint", hint="gate ledger checkpoint writes one")
