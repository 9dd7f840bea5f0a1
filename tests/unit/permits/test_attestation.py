"""Attestations: the statement follows in-toto and its schema, another tool verifies it, other files are refused."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from gate.domain.dataset import dataset
from gate.errors import InputError, TamperingFound
from gate.permits import issue, issue_attestation, issue_receipt, seal, verify_attestation
from gate.permits.attestation import PAYLOAD_TYPE, Artifact, Attestation, Named, check_model
from gate.resources import shipped
from gate.scan.digest import measure
from support.permits import attestation, permit, receipt, signing_key, version

KEY = signing_key()
PINNED = [KEY.public_key]
SCHEMA = json.loads((shipped("schemas") / "attestation" / "training-v1.schema.json").read_text("utf-8"))
VALID = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
UNPERMITTED = replace(attestation(), permit_id=None)


def their_key(seed: bytes | None = None) -> SSlibKey:
    key = KEY if seed is None else signing_key(seed)
    return SSlibKey(key.key_id, "ed25519", "ed25519", {"public": key.public.hex()})


def test_what_was_signed_is_read_again() -> None:
    assert verify_attestation(issue_attestation(attestation(), KEY), PINNED) == attestation()
    assert verify_attestation(issue_attestation(UNPERMITTED, KEY), PINNED).unpermitted


def test_securesystemslib_verifies_it_as_in_totos() -> None:
    envelope = Envelope.from_dict(copy.deepcopy(issue_attestation(attestation(), KEY)))
    assert set(envelope.verify([their_key()], 1)) == {KEY.key_id}
    assert envelope.payload_type == "application/vnd.in-toto+json"
    statement = json.loads(envelope.payload)
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == SCHEMA["$id"]
    assert statement["subject"] == [{"name": "file:///models/ms-1.joblib", "digest": {"sha256": "7" * 64}}]
    with pytest.raises(VerificationError):
        envelope.verify([their_key(b"\1" * 32)], 1)


@pytest.mark.parametrize(
    "said",
    [
        attestation(),
        UNPERMITTED,
        replace(attestation(), override=7),
        replace(attestation(), datasets=(replace(attestation().datasets[0], subset_of="file:///lake/all"),)),
    ],
    ids=["permitted", "unpermitted", "override", "subset"],
)
def test_the_predicate_follows_its_schema(said: Attestation) -> None:
    VALID.validate(said.to_statement()["predicate"])
    assert Attestation.from_payload(said.to_payload()) == said


def test_the_schema_refuses_what_is_none() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    predicate = attestation().to_statement()["predicate"]
    for name in predicate:
        assert not VALID.is_valid({key: value for key, value in predicate.items() if key != name}), name
    assert not VALID.is_valid(predicate | {"more": 1})
    lie = copy.deepcopy(predicate)
    lie["permission"]["unpermitted"] = True  # and yet with a permit
    assert not VALID.is_valid(lie)


def test_the_account_locator_stays_behind() -> None:
    named = replace(version(), dataset=dataset("file:///lake/meetings", "constant:acme-corp"))
    said = replace(attestation(), datasets=(Artifact.of(named),))
    assert b"acme-corp" not in said.to_payload()


SHA = "sha256:" + "1" * 64
UNSOUND: list[dict[str, Any]] = [
    {"model": replace(attestation().model, digest="7" * 64)},
    {"model": replace(attestation().model, uri="")},
    {"model": replace(attestation().model, subset_of="file:///x")},
    {"datasets": ()},
    {"datasets": (replace(attestation().model, size=-1),)},
    {"run": replace(attestation().run, try_number=0)},
    {"ledger_origin": ""},
    {"decision": Named(44, SHA)},  # after its redemption
    {"redemption": Named(44, SHA)},  # not within the checkpoint
    {"redemption": Named(43, "1" * 64)},
    {"permit_id": "p-1"},
    {"permit_id": None, "override": 7},
    {"policy": Named("", SHA)},
    {"checkpoint": (44, "6" * 63)},
    {"facts_from": "hearsay"},
    {"recorded_at": datetime(2026, 1, 1)},  # noqa: DTZ001  # that is the point
]


@pytest.mark.parametrize("change", UNSOUND, ids=repr)
def test_an_attestation_that_could_not_be_is_not_made(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replace(attestation(), **change)


def test_other_signed_things_are_no_attestation() -> None:
    for envelope in (
        issue(permit(), KEY),
        issue_receipt(receipt(), KEY),
        seal(permit().to_payload(), PAYLOAD_TYPE, KEY),
        seal(b" " + attestation().to_payload(), PAYLOAD_TYPE, KEY),
        issue_attestation(attestation(), signing_key(b"\1" * 32)),
    ):
        with pytest.raises(TamperingFound):
            verify_attestation(envelope, PINNED)


def test_an_outsider_computes_the_digest_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "ms-1.bin").write_bytes(b"weights")
    manifest = [["ms-1.bin", 7, hashlib.sha256(b"weights").hexdigest()]]
    text = json.dumps(manifest, separators=(",", ":"), ensure_ascii=False)
    found = measure(dataset(str(tmp_path / "ms-1.bin")))[0]
    assert found.digest == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_a_model_is_known_wherever_it_lies_and_no_other_is(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "ms-1.bin").write_bytes(b"weights")
    here, there = (measure(dataset(str(tmp_path / place / "ms-1.bin")))[0] for place in ("a", "b"))
    said = replace(attestation(), model=Artifact.of(here))
    check_model(said, there)
    (tmp_path / "b" / "ms-1.bin").write_bytes(b"weighty")
    with pytest.raises(TamperingFound, match="not the model"):
        check_model(said, measure(there.dataset)[0])
