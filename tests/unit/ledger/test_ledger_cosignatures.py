"""Cosignatures: the published example verifies, ours verify independently, and nothing altered does."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gate.errors import InputError, TamperingFound
from gate.ledger.checkpoints import cosign_note, note_text, parse_note, sign_note, verify_cosignature, verify_note
from gate.permits.keys import SigningKey
from support.notes import check_cosigned, check_signed, lines_of

LEDGER = SigningKey.of(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
WITNESS = SigningKey.of(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
NAME = "witness.example/w1"
NOTE = sign_note(note_text("example/ledger", 7, bytes(32)), "gate.example", LEDGER.sign, LEDGER.public)
COSIGNED = cosign_note(NOTE, NAME, WITNESS.sign, WITNESS.public, 1_700_000_000)


def time_of(note: str, name: str = NAME, key: SigningKey = WITNESS) -> int:
    return verify_cosignature(note, name, key.public, key.public_key.verifies)


def test_an_independent_reader_verifies_both_signatures() -> None:
    check_signed(COSIGNED, "gate.example", LEDGER.public)
    assert check_cosigned(COSIGNED, NAME, WITNESS.public) == 1_700_000_000 == time_of(COSIGNED)


def test_the_line_of_the_ledger_stays_as_it_was() -> None:
    assert COSIGNED.startswith(NOTE)
    assert verify_note(COSIGNED, "gate.example", LEDGER.public, LEDGER.public_key.verifies).size == 7


def test_the_format_of_the_published_example_is_read() -> None:
    """tlog-cosignature.md shows this line: 4 bytes of key id, 8 of time, 64 of signature."""
    raw = base64.b64decode(
        "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="
    )
    assert len(raw) == len(lines_of(COSIGNED)[1][1][1])
    assert int.from_bytes(raw[4:12], "big") == 1679315147  # as its example of a signed message says


def test_cosigning_again_replaces_the_line_and_leaves_those_of_others() -> None:
    other = SigningKey.of(Ed25519PrivateKey.generate())
    both = cosign_note(COSIGNED, "other.example", other.sign, other.public, 5)
    again = cosign_note(both, NAME, WITNESS.sign, WITNESS.public, 1_800_000_000)
    assert [signature.name for signature in parse_note(again).signatures] == ["gate.example", "other.example", NAME]
    assert time_of(again) == 1_800_000_000
    assert time_of(again, "other.example", other) == 5


def test_another_name_or_key_is_another_cosigner() -> None:
    for name, key in (("other.example", WITNESS), (NAME, LEDGER)):
        with pytest.raises(TamperingFound, match="did not cosign"):
            time_of(COSIGNED, name, key)
    with pytest.raises(TamperingFound, match="did not cosign"):
        time_of(NOTE)


def _both(note: str) -> None:
    verify_note(note, "gate.example", LEDGER.public, LEDGER.public_key.verifies)
    time_of(note)


@given(st.integers(0, len(COSIGNED) - 1), st.characters(codec="utf-8"))
def test_no_altered_note_passes(place: int, letter: str) -> None:
    altered = COSIGNED[:place] + letter + COSIGNED[place + 1 :]
    if altered == COSIGNED:
        return
    with pytest.raises((TamperingFound, InputError)):
        _both(altered)


@pytest.mark.parametrize(("name", "at"), [("two words", 1), ("a+b", 1), ("", 1), (NAME, -1), (NAME, 2**63)])
def test_a_name_or_time_that_cannot_stand_in_a_note(name: str, at: int) -> None:
    with pytest.raises(InputError):
        cosign_note(NOTE, name, WITNESS.sign, WITNESS.public, at)
