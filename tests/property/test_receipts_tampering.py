"""Whatever is changed in a receipt, in its envelope or in what it answers, no altered one is taken."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gate.domain.run import TaskRun
from gate.errors import PermitRefused
from gate.permits import RECEIPT_TYPE, Receipt, issue_receipt, seal, verify_receipt
from support.permits import NOW, receipt, signing_key
from support.tampering import (
    anything_is_refused,
    character_is_refused,
    characters,
    hexes,
    json_values,
    moved_to,
    no_payloads,
    texts,
    with_flipped_bit,
)

KEY = signing_key()
PINNED = [KEY.public_key]
ENVELOPE = issue_receipt(receipt(), KEY)
TEXT = json.dumps(ENVELOPE)
ASKED = {"permit_id": receipt().permit_id, "run": receipt().run, "nonce": receipt().nonce, "now": NOW}

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
    anything_is_refused(ENVELOPE, value, is_refused)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(TEXT) - 1), characters)
def test_any_character_changed_is_refused(at, character):
    character_is_refused(ENVELOPE, TEXT, at, character, is_refused)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_bit_flipped_in_what_is_signed_is_refused(data):
    assert is_refused(with_flipped_bit(ENVELOPE, data))


def test_every_field_is_covered_below():
    assert set(other_values) | {"v"} == {field.name for field in fields(Receipt)}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(other_values)), st.data())
def test_a_signature_does_not_carry_over_to_a_receipt_with_any_field_changed(name, data):
    other = replace(receipt(), **{name: data.draw(other_values[name])})
    if other == receipt():
        return
    assert is_refused(moved_to(ENVELOPE, other.to_payload()))
    assert Receipt.from_payload(other.to_payload()) == other  # as a receipt of its own it would be sound


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["permit_id", "run", "nonce"]), st.data())
def test_a_receipt_of_anything_else_is_refused(name, data):
    asked = data.draw(other_values[name])
    assert is_refused(ENVELOPE, **{name: asked}) == (asked != ASKED[name])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@example(no_payloads[0])
@example(no_payloads[1])
@example(no_payloads[2])
def test_a_signed_payload_that_is_no_receipt_is_refused(payload):
    assert is_refused(seal(payload, RECEIPT_TYPE, KEY))
