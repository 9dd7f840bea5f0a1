"""A witness signs what continues what it signed before, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gate.errors import CannotDecide, CheckFailed, InputError, TamperingFound
from gate.ledger.checkpoints import NOTE_NAME, sign_note
from gate.permits.keys import SigningKey
from gate.service.core import Service
from gate.service.cosigned import cosigned_by, parse_cosigners
from gate.service.cosigning import Witness, cosign, parse_proof
from gate.service.proofs import prove_consistency
from gate.service.publishing import sign_checkpoint
from support.notes import check_cosigned, check_signed
from support.world import add_account, new_service

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def service(tmp_path: Path, ledger_url: str) -> Iterator[Service]:
    with new_service(tmp_path / "home", url=ledger_url) as opened:
        yield opened


def witness(folder: Path) -> Witness:
    key = SigningKey.of(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    return Witness("witness.example", key, folder / "seen")


def proof(service: Service, old: int, new: int) -> dict[str, Any]:
    """Take the proof the way it travels: as a JSON file."""
    return parse_proof(json.dumps(prove_consistency(service, old, new)), "proof.json")


def test_a_witness_follows_a_ledger_with_proofs(service: Service, tmp_path: Path) -> None:
    one = witness(tmp_path)
    first = sign_checkpoint(service)
    cosigned = cosign(one, first.note, service.pinned_keys, at=AT)
    check_signed(cosigned, NOTE_NAME, service.key.public)
    assert check_cosigned(cosigned, one.name, one.key.public) == int(AT.timestamp())
    assert cosigned_by(cosigned, {one.name: one.key.public_key}) == [{"name": one.name, "at": "2026-01-01T00:00:00Z"}]
    assert cosign(one, first.note, service.pinned_keys, at=AT) == cosigned  # the same again needs no proof
    add_account(service, "acme")
    second = sign_checkpoint(service)
    with pytest.raises(InputError, match="nothing shows") as missing:
        cosign(one, second.note, service.pinned_keys, at=AT)
    assert f"--consistency {first.size} {second.size}" in str(missing.value)
    with pytest.raises(InputError, match="it is from"):
        cosign(one, second.note, service.pinned_keys, at=AT, proof=proof(service, first.size - 1, second.size))
    shown = proof(service, first.size, second.size)
    assert cosign(one, second.note, service.pinned_keys, at=AT, proof=shown).startswith(second.note)
    with pytest.raises(CheckFailed, match="cosigned already"):
        cosign(one, first.note, service.pinned_keys, at=AT)


def test_a_ledger_that_was_rewritten_gets_no_signature(service: Service, tmp_path: Path) -> None:
    one, first = witness(tmp_path), sign_checkpoint(service)
    cosign(one, first.note, service.pinned_keys, at=AT)
    forged_root = sign_note(
        f"{first.origin}\n{first.size}\n{'A' * 43}=\n", NOTE_NAME, service.key.sign, service.key.public
    )
    with pytest.raises(TamperingFound, match="rewritten"):
        cosign(one, forged_root, service.pinned_keys, at=AT)
    add_account(service, "acme")
    larger = sign_checkpoint(service)
    shown = proof(service, first.size, larger.size)
    forged = sign_note(f"{first.origin}\n{larger.size}\n{'A' * 43}=\n", NOTE_NAME, service.key.sign, service.key.public)
    with pytest.raises(TamperingFound, match="rewritten"):
        cosign(one, forged, service.pinned_keys, at=AT, proof=shown)
    for number in range(len(shown["consistency"])):
        wrong = [node if n != number else bytes(32) for n, node in enumerate(shown["consistency"])]
        with pytest.raises(TamperingFound, match="rewritten"):
            cosign(one, larger.note, service.pinned_keys, at=AT, proof={**shown, "consistency": wrong})
    assert cosign(one, larger.note, service.pinned_keys, at=AT, proof=shown)  # none of it was remembered


def test_a_witness_without_its_memory_goes_by_the_last_note(service: Service, tmp_path: Path) -> None:
    one, first = witness(tmp_path / "old"), sign_checkpoint(service)
    cosigned = cosign(one, first.note, service.pinned_keys, at=AT)
    add_account(service, "acme")
    moved, second = witness(tmp_path / "new"), sign_checkpoint(service)
    with pytest.raises(InputError, match="nothing shows"):
        cosign(moved, second.note, service.pinned_keys, at=AT, previous=cosigned)
    with pytest.raises(TamperingFound, match="did not cosign"):
        cosign(moved, second.note, service.pinned_keys, at=AT, previous=first.note)
    shown = proof(service, first.size, second.size)
    assert cosign(moved, second.note, service.pinned_keys, at=AT, previous=cosigned, proof=shown)


def test_what_the_ledger_did_not_sign_is_not_cosigned(service: Service, tmp_path: Path) -> None:
    note, stranger = sign_checkpoint(service).note, SigningKey.of(Ed25519PrivateKey.generate())
    for keys in ([], [stranger.public_key]):
        with pytest.raises(TamperingFound):
            cosign(witness(tmp_path), note, keys, at=AT)
    assert cosign(witness(tmp_path), note, [stranger.public_key, *service.pinned_keys], at=AT)


def test_a_memory_that_cannot_be_read_is_no_fresh_start(service: Service, tmp_path: Path) -> None:
    one, note = witness(tmp_path), sign_checkpoint(service).note
    cosign(one, note, service.pinned_keys, at=AT)
    [kept] = one.memory.glob("*.note")
    kept.write_bytes(b"\xff\xfe")
    with pytest.raises(CannotDecide, match="signed last"):
        cosign(one, note, service.pinned_keys, at=AT)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"old_size": -1, "new_size": 2, "consistency": []}', "null"])
def test_what_is_no_proof(text: str) -> None:
    with pytest.raises(InputError, match="not a consistency proof"):
        parse_proof(text, "proof.json")


@pytest.mark.parametrize("text", ["witness.example", "=AAAA", "witness.example=", "witness.example=AAAA"])
def test_what_names_no_cosigner(text: str) -> None:
    with pytest.raises(InputError):
        parse_cosigners([text])
