"""Whatever is changed in a permit, in its envelope or in what it binds, no altered one is taken."""

from __future__ import annotations

import copy
import json
import string
from dataclasses import fields, replace
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gate.domain.decision import Use
from gate.domain.words import Ownership, Purpose
from gate.errors import PermitRefused
from gate.permits import PAYLOAD_TYPE, Permit, issue, read_envelope, seal, unseal, verify_permit
from support.permits import NOW, permit, signing_key, version
from support.tampering import (
    anything_is_refused,
    character_is_refused,
    characters,
    digests,
    hexes,
    json_values,
    moved_to,
    no_payloads,
    texts,
    with_flipped_bit,
)

KEY = signing_key()
PINNED = [KEY.public_key]
ENVELOPE = issue(permit(), KEY)
TEXT = json.dumps(ENVELOPE)


def is_refused(envelope, **bindings) -> bool:
    try:
        verify_permit(envelope, PINNED, now=NOW, **bindings)
    except PermitRefused as error:
        return error.reason in {"permit_missing", "permit_expired", "permit_mismatch"}
    return False


@settings(max_examples=300, deadline=None)
@given(json_values)
def test_anything_at_all_is_refused_cleanly(value):
    anything_is_refused(ENVELOPE, value, is_refused)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig"]), json_values)
def test_any_field_of_another_value_is_refused(name, value):
    envelope = copy.deepcopy(ENVELOPE)
    target = envelope if name in envelope else envelope["signatures"][0]
    if target[name] != value:
        target[name] = value
        assert is_refused(envelope)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(TEXT) - 1), characters)
def test_any_character_changed_is_refused(at, character):
    character_is_refused(ENVELOPE, TEXT, at, character, is_refused)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_bit_flipped_in_what_is_signed_is_refused(data):
    assert is_refused(with_flipped_bit(ENVELOPE, data))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(TEXT)))
def test_any_cut_is_refused(at):
    try:
        envelope = read_envelope(TEXT[:at])
    except PermitRefused:
        return
    assert envelope == ENVELOPE


moments = st.datetimes(timezones=st.just(NOW.tzinfo), min_value=NOW.replace(tzinfo=None)).filter(
    lambda t: t.year < 2099
)
other_values = {
    "permit_id": st.uuids(version=4).map(str),
    "ledger_origin": texts,
    "decision_index": st.integers(0, 2**40),
    "decision_digest": digests,
    "checkpoint": st.tuples(st.integers(0, 2**40), hexes),
    "policy_digest": digests,
    "use": st.builds(Use, st.sampled_from(Purpose), st.none() | texts, st.none() | texts, st.sampled_from(Ownership)),
    "datasets": st.lists(
        st.builds(
            version, st.text(string.ascii_lowercase, min_size=1, max_size=5), st.sampled_from("0123456789abcdef")
        ),
        min_size=1,
        max_size=3,
        unique=True,
    ).map(tuple),
    "dag_id": texts,
    "run_id": texts,
    "task_id": texts,
    "facts_from": st.just("worker_asserted"),
    "issued_at": st.integers(1, 10**6).map(lambda s: permit().issued_at - timedelta(seconds=s)),
    "expires_at": moments.map(lambda t: t + timedelta(hours=1)),
    "gate_dag_id": texts,
    "override": st.integers(0, 2**40),
    "offline": st.just(True),
}


def test_every_field_is_covered_below():
    assert set(other_values) | {"v"} == {field.name for field in fields(Permit)}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(other_values)), st.data())
def test_a_signature_does_not_carry_over_to_a_permit_with_any_field_changed(name, data):
    other = replace(permit(), **{name: data.draw(other_values[name])})
    if other == permit():
        return
    moved = moved_to(ENVELOPE, other.to_payload())
    assert is_refused(moved)
    assert Permit.from_payload(other.to_payload()) == other  # as a permit of its own it would be sound


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["dag_id", "run_id", "task_id", "use", "datasets", "ledger_origin", "gate_dag_id"]), st.data())
def test_a_permit_of_anything_else_is_refused(name, data):
    wanted = data.draw(other_values[name])
    if wanted == getattr(permit(), name) or (name == "datasets" and set(wanted) == set(permit().datasets)):
        return
    assert is_refused(ENVELOPE, **{name: wanted})


@settings(max_examples=100, deadline=None)
@given(texts, st.none() | texts)
def test_a_gate_of_another_dag_is_always_named(gate, expected):
    elsewhere = issue(replace(permit(), gate_dag_id=gate), KEY)
    assert is_refused(elsewhere, gate_dag_id=expected) == (gate != expected)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_a_permit_of_another_key_is_refused(seed):
    key = signing_key(seed)
    if key != KEY:
        forged = issue(permit(), key)
        assert is_refused(forged)
        forged["signatures"][0]["keyid"] = KEY.key_id
        assert is_refused(forged)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@example(no_payloads[0])
@example(no_payloads[1])
@example(no_payloads[2])
def test_a_signed_payload_that_is_no_permit_is_refused(payload):
    assert is_refused(seal(payload, PAYLOAD_TYPE, KEY))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=500), st.text(string.printable, max_size=30))
def test_what_is_sealed_unseals(payload, payload_type):
    assert unseal(seal(payload, payload_type, KEY), payload_type, PINNED) == payload
