from __future__ import annotations

import base64
import copy
import json

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from gate.errors import PermitRefused
from gate.permits import PublicKey, read_envelope, seal, unseal
from support.permits import signing_key

TYPE = "application/vnd.example+json"
KEY = signing_key()
PINNED = [KEY.public_key]


def their_key() -> SSlibKey:
    return SSlibKey(KEY.key_id, "ed25519", "ed25519", {"public": KEY.public.hex()})


def test_securesystemslib_accepts_ours():
    envelope = Envelope.from_dict(copy.deepcopy(seal(b"{}", TYPE, KEY)))
    assert envelope.payload == b"{}"
    assert set(envelope.verify([their_key()], 1)) == {KEY.key_id}


def test_we_accept_theirs():
    envelope = Envelope(b'{"a":1}', TYPE, {})
    envelope.sign(CryptoSigner(KEY._private, their_key()))
    assert unseal(envelope.to_dict(), TYPE, PINNED) == b'{"a":1}'


def test_every_signature_must_be_by_a_pinned_key_of_its_own():
    other = signing_key(b"\1" * 32)
    envelope = seal(b"x", TYPE, KEY)
    envelope["signatures"] += seal(b"x", TYPE, other)["signatures"]
    assert unseal(envelope, TYPE, [KEY.public_key, other.public_key]) == b"x"
    with pytest.raises(PermitRefused, match="not pinned"):
        unseal(envelope, TYPE, PINNED)


def changed(**fields) -> dict:
    return seal(b"payload", TYPE, KEY) | fields


def signature(**fields) -> dict:
    return changed(signatures=[seal(b"payload", TYPE, KEY)["signatures"][0] | fields])


ONE = seal(b"payload", TYPE, KEY)["signatures"][0]
REFUSED = {
    "nothing": None,
    "a list": [],
    "no fields": {},
    "an unknown field": changed(alg="none"),
    "a missing field": {k: v for k, v in changed().items() if k != "payloadType"},
    "another type": changed(payloadType="application/json"),
    "a type of another case": changed(payloadType=TYPE.upper()),
    "no type": changed(payloadType=None),
    "another payload": changed(payload=base64.b64encode(b"other").decode()),
    "a payload in bytes": changed(payload=b"cGF5bG9hZA=="),
    "an unpadded payload": changed(payload="cGF5bG9hZA"),
    "a payload with white space": changed(payload="cGF5bG9hZA==\n"),
    "a payload with stray bits": changed(payload="cGF5bG9hZB=="),
    "a url-safe payload": changed(payload="__79"),
    "a huge payload": changed(payload="A" * 1_048_580),
    "a payload with half a surrogate": changed(payload="\ud800"),
    "no signatures": changed(signatures=[]),
    "signatures as an object": changed(signatures={"keyid": KEY.key_id}),
    "the same signature twice": changed(signatures=[ONE, ONE]),
    "a signature with an algorithm": signature(alg="HS256"),
    "a signature without key": changed(signatures=[{"sig": ONE["sig"]}]),
    "a foreign key id": signature(keyid="0" * 64),
    "a key id that is no text": signature(keyid=["0"]),
    "an empty signature": signature(sig=""),
    "a short signature": signature(sig=base64.b64encode(b"s" * 63).decode()),
    "a signature as number": signature(sig=1),
    "a signature that is text": changed(signatures=["sig"]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_anything_else_is_refused(what):
    with pytest.raises(PermitRefused) as caught:
        unseal(REFUSED[what], TYPE, PINNED)
    assert caught.value.reason == "permit_mismatch"
    assert caught.value.exit_code == 3


def test_a_foreign_key_under_the_pinned_id_is_refused():
    forged = seal(b"payload", TYPE, signing_key(b"\1" * 32))
    forged["signatures"][0]["keyid"] = KEY.key_id
    with pytest.raises(PermitRefused, match="does not hold"):
        unseal(forged, TYPE, PINNED)


def test_no_pinned_key_accepts_nothing():
    with pytest.raises(PermitRefused):
        unseal(seal(b"x", TYPE, KEY), TYPE, [])


def test_a_pinned_key_that_is_no_point_accepts_nothing():
    bad = PublicKey.of(b"\xff" * 32)
    with pytest.raises(PermitRefused):
        unseal(changed(signatures=[ONE | {"keyid": bad.key_id}]), TYPE, [bad])


def test_the_type_is_signed():
    envelope = seal(b"payload", "other", KEY)
    envelope["payloadType"] = TYPE
    with pytest.raises(PermitRefused, match="does not hold"):
        unseal(envelope, TYPE, PINNED)


def test_the_text_of_an_envelope_reads_back():
    envelope = seal(b"payload", TYPE, KEY)
    assert read_envelope(json.dumps(envelope)) == envelope
    assert read_envelope(json.dumps(envelope).encode()) == envelope


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", "\ud800", b"\xff\xff", '{"payload":1,"payload":1}', "[" * 100_000, " " * 1_048_577],
    ids=["empty", "array", "null", "cut", "surrogate", "bytes", "twice", "deep", "large"],
)
def test_other_text_is_refused(text):
    with pytest.raises(PermitRefused):
        read_envelope(text)
