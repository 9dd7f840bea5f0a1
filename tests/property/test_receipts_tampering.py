from __future__ import annotations

import base64
import copy
import json
import string
from dataclasses import fields, replace
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gate.domain.run import TaskRun
from gate.errors import PermitRefused
from gate.permits import RECEIPT_TYPE, Receipt, issue_receipt, read_envelope, seal, verify_receipt
from support.permits import NOW, receipt, signing_key

KEY = signing_key()
PINNED = [KEY.public_key]
ENVELOPE = issue_receipt(receipt(), KEY)
TEXT = json.dumps(ENVELOPE)
ASKED = {"permit_id": receipt().permit_id, "run": receipt().run, "nonce": receipt().nonce, "now": NOW}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
texts = st.text(string.ascii_letters + "_:+-.é", min_size=1, max_size=12)
hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
runs = st.builds(TaskRun, texts, texts, texts, st.integers(-1, 5), st.integers(1, 5))
other_values = {
    "permit_id": st.uuids(version=4).map(str),
    "run": runs,
    "index": st.integers(0, 43),
    "nonce": hexes,
    "checkpoint": st.tuples(st.integers(44, 2**40), hexes),
    "issued_at": st.integers(-50, 50).map(lambda s: NOW + timedelta(seconds=s)),
}


def is_refused(envelope, **asked) -> bool:
    try:
        verify_receipt(envelope, PINNED, **ASKED | asked)
    except PermitRefused as error:
        return error.reason in {"permit_missing", "permit_mismatch"}
    return False


@settings(max_examples=200, deadline=None)
@given(json_values)
def test_anything_at_all_is_refused_cleanly(value):
    assert is_refused(value)
    assert is_refused(ENVELOPE | value if isinstance(value, dict) and value else value)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.sampled_from(string.printable + "\x00é\ud800"))
def test_any_character_changed_is_refused(at, character):
    try:
        envelope = read_envelope(TEXT[:at] + character + TEXT[at + 1 :])
    except PermitRefused:
        return
    assert envelope == ENVELOPE or is_refused(envelope)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_bit_flipped_in_what_is_signed_is_refused(data):
    envelope = copy.deepcopy(ENVELOPE)
    target, name = data.draw(st.sampled_from([(envelope, "payload"), (envelope["signatures"][0], "sig")]))
    raw = bytearray(base64.b64decode(target[name]))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    target[name] = base64.b64encode(raw).decode()
    assert is_refused(envelope)


def test_every_field_is_covered_below():
    assert set(other_values) | {"v"} == {field.name for field in fields(Receipt)}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(other_values)), st.data())
def test_a_signature_does_not_carry_over_to_a_receipt_with_any_field_changed(name, data):
    other = replace(receipt(), **{name: data.draw(other_values[name])})
    if other == receipt():
        return
    assert is_refused(ENVELOPE | {"payload": base64.b64encode(other.to_payload()).decode()})
    assert Receipt.from_payload(other.to_payload()) == other  # as a receipt of its own it would be sound


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["permit_id", "run", "nonce"]), st.data())
def test_a_receipt_of_anything_else_is_refused(name, data):
    asked = data.draw(other_values[name])
    assert is_refused(ENVELOPE, **{name: asked}) == (asked != ASKED[name])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@example(b"[" * 100_000)
@example(b'{"v":1e400}')
@example(b"9" * 5000)
def test_a_signed_payload_that_is_no_receipt_is_refused(payload):
    assert is_refused(seal(payload, RECEIPT_TYPE, KEY))
