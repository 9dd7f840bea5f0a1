"""Frozen bytes: what was written once must read, verify and come out the same forever, on every database.

The second half knows nothing of `gate`: it follows docs/ledger.md with the standard library alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gate.ledger.writing import KINDS
from support.golden_ledger import ADDED, ATTESTED, NAME, OWED, PLAIN, REVIEWED, golden

# The first release's ledger, and the same with the kinds that came later: a file here is never written again.
GOLDEN = Path(__file__).parents[1] / "golden"
FROZEN = {
    "ledger_v1.json": PLAIN,
    "ledger_v1_enforcement.json": PLAIN + ADDED,
    "ledger_v1_review.json": PLAIN + ADDED + REVIEWED,
    "ledger_v1_attestation.json": PLAIN + ADDED + REVIEWED + ATTESTED,
    "ledger_v1_obligation.json": PLAIN + ADDED + REVIEWED + ATTESTED + OWED,
}


@pytest.fixture(scope="module", params=FROZEN)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def frozen(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GOLDEN / name).read_text("utf-8"))
    return loaded


def test_the_same_records_give_the_same_bytes(ledger_url: str, name: str, frozen: dict[str, Any]) -> None:
    assert golden(ledger_url, FROZEN[name]) == frozen


def test_every_kind_is_frozen() -> None:
    newest = json.loads((GOLDEN / list(FROZEN)[-1]).read_text("utf-8"))
    assert {entry["columns"][0] for entry in newest["entries"]} == KINDS


# From here on: docs/ledger.md and the standard library.


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def tree(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"")
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha256(b"\x01" + tree(leaves[:half]) + tree(leaves[half:]))


def test_an_outsider_computes_leaves_and_roots(frozen: dict[str, Any]) -> None:
    leaves = [sha256(b"\x00" + entry["payload"].encode()) for entry in frozen["entries"]]
    assert [leaf.hex() for leaf in leaves] == [entry["leaf_hash"] for entry in frozen["entries"]]
    assert frozen["roots"] == [tree(leaves[:size]).hex() for size in range(len(leaves) + 1)]


def test_an_outsider_derives_the_columns(frozen: dict[str, Any]) -> None:
    for entry in frozen["entries"]:
        said = json.loads(entry["payload"])
        body = said["body"]
        assert entry["columns"] == [said["kind"], said["subject"], body.get("account_ref"), body.get("effective_at")]
        again = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert again == entry["payload"]


def test_an_outsider_opens_references(frozen: dict[str, Any]) -> None:
    for ref, kind, value, salt in frozen["openings"]:
        opened = json.dumps([kind, json.loads(value)], separators=(",", ":"), ensure_ascii=False).encode()
        assert ref == sha256(b"consent-gate ref v1\x00" + bytes.fromhex(salt) + opened).hex()
    mentioned = "".join(entry["payload"] for entry in frozen["entries"])
    assert all(ref in mentioned for ref, *_ in frozen["openings"])


def test_an_outsider_checks_the_checkpoint(frozen: dict[str, Any]) -> None:
    text, signatures = frozen["checkpoint"].split("\n\n")
    root = base64.b64encode(bytes.fromhex(frozen["roots"][-1])).decode()
    assert text.split("\n") == [frozen["origin"], str(len(frozen["entries"])), root]
    dash, name, signed = signatures.rstrip("\n").split(" ")
    assert (dash, name) == ("—", NAME)
    public, raw = bytes.fromhex(frozen["public_key"]), base64.b64decode(signed)
    assert raw[:4] == sha256(NAME.encode() + b"\n\x01" + public)[:4]
    Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], (text + "\n").encode())
