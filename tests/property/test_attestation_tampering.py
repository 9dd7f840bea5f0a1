"""Whatever is changed in an attestation, in its envelope or in what it says, no altered one is believed."""

from __future__ import annotations

import copy
import json
from dataclasses import fields, replace
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gate.domain.decision import Use
from gate.domain.run import TaskRun
from gate.domain.words import Ownership, Purpose
from gate.errors import TamperingFound
from gate.permits import Attestation, issue_attestation, seal, verify_attestation
from gate.permits.attestation import PAYLOAD_TYPE, Artifact, Named
from support.permits import NOW, attestation, signing_key
from support.tampering import (
    anything_is_refused,
    character_is_refused,
    characters,
    digests,
    hexes,
    json_values,
    moved_to,
    no_payloads,
    places,
    texts,
    with_flipped_bit,
)

KEY = signing_key()
PINNED = [KEY.public_key]
ENVELOPE = issue_attestation(attestation(), KEY)
TEXT = json.dumps(ENVELOPE)
STATEMENT = attestation().to_statement()

counts = st.integers(0, 2**40)
models = st.builds(Artifact, texts, digests, counts, counts)
other_values = {
    "model": models,
    "datasets": st.lists(st.builds(Artifact, texts, digests, counts, counts, st.none() | texts), min_size=1).map(tuple),
    "use": st.builds(Use, st.sampled_from(Purpose), st.none() | texts, st.none() | texts, st.sampled_from(Ownership)),
    "run": st.builds(TaskRun, texts, texts, texts, st.integers(-1, 5), st.integers(1, 5)),
    "ledger_origin": texts,
    "decision": st.builds(Named, st.integers(0, 42), digests),
    "redemption": st.builds(Named, st.integers(42, 43), digests),
    "permit_id": st.none() | st.uuids(version=4).map(str),
    "policy": st.builds(Named, texts, digests),
    "checkpoint": st.tuples(st.integers(44, 2**40), hexes),
    "facts_from": st.just("trusted_scanner"),
    "recorded_at": st.integers(-50, 50).map(lambda s: NOW + timedelta(seconds=s)),
    "override": st.integers(0, 40),
}


def is_refused(envelope) -> bool:
    try:
        verify_attestation(envelope, PINNED)
    except TamperingFound:
        return True
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
    assert set(other_values) == {field.name for field in fields(Attestation)}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(other_values)), st.data())
def test_a_signature_does_not_carry_over_to_a_statement_with_any_field_changed(name, data):
    other = replace(attestation(), **{name: data.draw(other_values[name])})
    if other == attestation():
        return
    assert is_refused(moved_to(ENVELOPE, other.to_payload()))
    assert Attestation.from_payload(other.to_payload()) == other  # as a statement of its own it would be sound


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(places(STATEMENT), key=str)), json_values)
def test_a_signed_statement_of_another_shape_is_refused(way, value):
    """Even one that our own key signed: what a reader does not know is not passed over."""
    altered = copy.deepcopy(STATEMENT)
    *before, last = way
    node = altered
    for step in before:
        node = node[step]
    node[last] = value
    try:
        payload = json.dumps(altered, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except (TypeError, UnicodeEncodeError):
        return  # bytes and half surrogates are no JSON
    try:
        said = verify_attestation(seal(payload, PAYLOAD_TYPE, KEY), PINNED)
    except TamperingFound:
        return
    assert said.to_payload() == payload  # another sound statement, every part of which was read


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@example(no_payloads[0])
@example(no_payloads[1])
@example(no_payloads[2])
def test_a_signed_payload_that_is_no_statement_is_refused(payload):
    assert is_refused(seal(payload, PAYLOAD_TYPE, KEY))
