"""A bundle is checked without our code: the standard library, `cryptography`, and securesystemslib for the envelope."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from support.audited import audited, bundle


def _root(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.3.2, recursively."""
    if size == 1:
        assert not path
        return leaf
    split = 1 << ((size - 1).bit_length() - 1)
    *lower, top = path
    if index < split:
        return hashlib.sha256(b"\x01" + _root(index, split, leaf, lower) + top).digest()
    return hashlib.sha256(b"\x01" + top + _root(index - split, size - split, leaf, lower)).digest()


def test_a_stranger_checks_a_bundle(tmp_path: Path) -> None:
    with audited(tmp_path) as service:
        file = tmp_path / "bundle.zip"
        file.write_bytes(bundle(service))
        [key] = service.pinned_keys
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}

    envelope = Envelope.from_dict(json.loads(files["manifest.dsse.json"]))
    envelope.verify([SSlibKey(key.key_id, "ed25519", "ed25519", {"public": key.raw.hex()})], 1)
    assert envelope.payload == files["manifest.json"]
    manifest = json.loads(envelope.payload)
    assert {one["name"] for one in manifest["files"]} == set(files) - {"manifest.json", "manifest.dsse.json"}
    for one in manifest["files"]:
        assert "sha256:" + hashlib.sha256(files[one["name"]]).hexdigest() == one["sha256"]

    text, _, signed = files["checkpoint.note"].decode().partition("\n\n")
    signature = base64.b64decode(signed.split(" ")[2])[4:]
    Ed25519PublicKey.from_public_bytes(key.raw).verify(signature, f"{text}\n".encode())
    origin, size, root = text.split("\n")
    assert (origin, int(size)) == (manifest["ledger_origin"], manifest["checkpoint"]["size"])

    entries = [json.loads(line) for line in files["entries.jsonl"].splitlines()]
    assert len(entries) > 15
    for entry in entries:
        leaf = hashlib.sha256(b"\x00" + entry["payload"].encode()).digest()
        path = [bytes.fromhex(node) for node in entry["inclusion"]]
        assert _root(entry["index"], int(size), leaf, path) == base64.b64decode(root)

    said = [json.loads(entry["payload"]) for entry in entries]
    [attested] = [one["body"]["envelope"] for one in said if one["kind"] == "attestation"]
    model = Envelope.from_dict(attested)
    model.verify([SSlibKey(key.key_id, "ed25519", "ed25519", {"public": key.raw.hex()})], 1)
    assert json.loads(model.payload)["subject"][0]["name"].endswith("/models/ms-1.bin")
