from __future__ import annotations

import base64
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

KEY = signing_key()
PINNED = [KEY.public_key]
ENVELOPE = issue(permit(), KEY)
TEXT = json.dumps(ENVELOPE)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def is_refused(envelope, **bindings) -> bool:
    try:
        verify_permit(envelope, PINNED, now=NOW, **bindings)
    except PermitRefused as error:
        return error.reason in {"permit_missing", "permit_expired", "permit_mismatch"}
    return False


@settings(max_examples=300, deadline=None)
@given(json_values)
def test_anything_at_all_is_refused_cleanly(value):
    assert is_refused(value)
    assert is_refused(ENVELOPE | value if isinstance(value, dict) and value else value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig"]), json_values)
def test_any_field_of_another_value_is_refused(name, value):
    envelope = copy.deepcopy(ENVELOPE)
    target = envelope if name in envelope else envelope["signatures"][0]
    if target[name] != value:
        target[name] = value
        assert is_refused(envelope)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.sampled_from(string.printable + "\x00é\ud800"))
def test_any_character_changed_is_refused(at, character):
    text = TEXT[:at] + character + TEXT[at + 1 :]
    try:
        envelope = read_envelope(text)
    except PermitRefused:
        return
    assert envelope == ENVELOPE or is_refused(envelope)  # white space outside strings says the same


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_bit_flipped_in_what_is_signed_is_refused(data):
    envelope = copy.deepcopy(ENVELOPE)
    target, name = data.draw(st.sampled_from([(envelope, "payload"), (envelope["signatures"][0], "sig")]))
    raw = bytearray(base64.b64decode(target[name]))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    target[name] = base64.b64encode(raw).decode()
    assert is_refused(envelope)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(TEXT)))
def test_any_cut_is_refused(at):
    try:
        envelope = read_envelope(TEXT[:at])
    except PermitRefused:
        return
    assert envelope == ENVELOPE


texts = st.text(string.ascii_letters + "_:+-.é", min_size=1, max_size=12)
hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
moments = st.datetimes(timezones=st.just(NOW.tzinfo), min_value=NOW.replace(tzinfo=None)).filter(
    lambda t: t.year < 2099
)
other_values = {
    "permit_id": st.uuids(version=4).map(str),
    "ledger_origin": texts,
    "decision_index": st.integers(0, 2**40),
    "decision_digest": hexes.map("sha256:".__add__),
    "checkpoint": st.tuples(st.integers(0, 2**40), hexes),
    "policy_digest": hexes.map("sha256:".__add__),
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
    moved = ENVELOPE | {"payload": base64.b64encode(other.to_payload()).decode()}
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
@example(b"[" * 100_000)
@example(b'{"v":1e400}')
@example(b"9" * 5000)
def test_a_signed_payload_that_is_no_permit_is_refused(payload):
    assert is_refused(seal(payload, PAYLOAD_TYPE, KEY))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=500), st.text(string.printable, max_size=30))
def test_what_is_sealed_unseals(payload, payload_type):
    assert unseal(seal(payload, payload_type, KEY), payload_type, PINNED) == payload
