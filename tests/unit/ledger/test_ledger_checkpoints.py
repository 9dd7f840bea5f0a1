"""Signed notes: the text others keep, and every way it can be wrong."""

from __future__ import annotations

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gate.errors import InputError, TamperingFound
from gate.ledger.checkpoints import key_id, note_text, parse_note, sign_note, verify_note

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
NAME = "gate.example"
ROOT = bytes(range(32))
NOTE = sign_note(note_text("example/ledger", 7, ROOT), NAME, KEY.sign, PUBLIC)


def verify(signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(PUBLIC).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_the_key_id_is_that_of_the_published_format() -> None:
    """The example key of the signed-note specification and of the Go checksum database."""
    _, expected, key = ["sum.golang.org", "033de0ae", "Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"]
    assert key_id("sum.golang.org", base64.b64decode(key)[1:]).hex() == expected


def test_a_note_comes_back_as_it_was_written() -> None:
    note = verify_note(NOTE, NAME, PUBLIC, verify)
    assert note[:3] == ("example/ledger", 7, ROOT)
    assert NOTE.split("\n")[:4] == ["example/ledger", "7", base64.b64encode(ROOT).decode(), ""]
    assert NOTE.endswith("\n")


def test_signatures_of_others_do_not_disturb() -> None:
    other = Ed25519PrivateKey.generate()
    line = sign_note("x\n", "witness.example", other.sign, other.public_key().public_bytes_raw()).split("\n\n")[1]
    assert verify_note(NOTE + line, NAME, PUBLIC, verify).size == 7
    assert len(parse_note(NOTE + line).signatures) == 2


@pytest.mark.parametrize(
    ("old", "new"), [("\n7\n", "\n8\n"), ("example/ledger", "example/other"), ("AAEC", "AAED")], ids=str
)
def test_a_changed_text_is_tampering(old: str, new: str) -> None:
    assert old in NOTE
    with pytest.raises(TamperingFound, match="wrong"):
        verify_note(NOTE.replace(old, new, 1), NAME, PUBLIC, verify)


def test_a_note_of_another_key_is_not_ours() -> None:
    other = Ed25519PrivateKey.generate()
    forged = sign_note(note_text("example/ledger", 7, ROOT), NAME, other.sign, other.public_key().public_bytes_raw())
    with pytest.raises(TamperingFound, match="did not sign"):
        verify_note(forged, NAME, PUBLIC, verify)
    with pytest.raises(TamperingFound, match="did not sign"):
        verify_note(NOTE, "somebody.else", PUBLIC, verify)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "example/ledger\n7\n",
        NOTE.replace("\n7\n", "\n07\n"),
        NOTE.replace("\n7\n", "\n-7\n"),
        NOTE.replace("\n7\n", "\n٧\n"),
        NOTE.replace("\n7\n", "\n7\nmore\n"),
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("example/ledger\n", "\n"),
        NOTE.replace("— ", "- "),
        NOTE.replace(f"— {NAME} ", "— "),
        NOTE[:-1],
        NOTE + "\n",
        NOTE.replace("AAECAw", "AAECA!"),
        NOTE.replace("AAECAw", ""),
        "example/ledger\n7\nAAEC\n\n— a AAAAAAA=\n",
        note_text("o", 1, ROOT) + "\n— a AAAA\n",
        note_text("o", 1, ROOT) + "\n— a AAAAAA==\n",
        note_text("o", 1, ROOT) + "\n— a AAAAAAB=\n",
        note_text("o", 1, ROOT) + "\n",
    ],
)
def test_what_is_not_a_note_is_refused_clearly(note: str) -> None:
    with pytest.raises(InputError, match="not a signed checkpoint"):
        parse_note(note)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "line\nbreak"])
def test_a_name_that_would_break_the_format_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        sign_note(note_text("o", 1, ROOT), name, KEY.sign, PUBLIC)
