from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gate.domain.canonical import canonical
from gate.domain.decision import Use
from gate.domain.words import Ownership, Purpose
from gate.errors import InputError, PermitRefused
from gate.permits import PAYLOAD_TYPE, Permit, issue, seal, verify_permit
from support.permits import NOW, SEED, permit, signing_key, version

KEY = signing_key()
PINNED = [KEY.public_key]
GOLDEN = Path(__file__).parents[2] / "golden" / "permit_v1.json"


def bindings() -> dict:
    p = permit()
    return {
        "dag_id": p.dag_id,
        "run_id": p.run_id,
        "task_id": p.task_id,
        "use": p.use,
        "datasets": p.datasets,
        "ledger_origin": p.ledger_origin,
    }


def refused(**overrides) -> PermitRefused:
    with pytest.raises(PermitRefused) as caught:
        verify_permit(issue(permit(), KEY), PINNED, **({"now": NOW} | bindings() | overrides))
    return caught.value


def test_the_bytes_of_a_permit_are_frozen():
    golden = json.loads(GOLDEN.read_text())
    assert bytes.fromhex(golden["seed"]) == SEED
    assert permit().to_payload().decode() == golden["payload"]
    assert issue(permit(), KEY) == golden["envelope"]
    assert verify_permit(golden["envelope"], PINNED, now=NOW, **bindings()) == permit()


def test_a_permit_that_fits_is_returned():
    assert verify_permit(issue(permit(), KEY), PINNED, now=NOW, **bindings()) == permit()
    assert verify_permit(issue(permit(), KEY), PINNED, now=NOW) == permit()


def test_datasets_fit_in_any_order_and_whatever_their_locators():
    reads = [replace(v, dataset=replace(v.dataset, category_column="kind")) for v in reversed(permit().datasets)]
    assert verify_permit(issue(permit(), KEY), PINNED, now=NOW, datasets=reads) == permit()


@pytest.mark.parametrize(
    ("binding", "value", "told"),
    [
        ("dag_id", "other", "dag_id 'train_meeting_summary', not 'other'"),
        ("run_id", "manual__2", "run_id"),
        ("task_id", "TRAIN", "task_id"),
        ("task_id", "", "task_id"),
        ("ledger_origin", "evil", "ledger_origin"),
        ("use", Use(Purpose.TRAIN, "meeting_summary", "ms-2", Ownership.FIRST_PARTY), "model 'ms-1', not 'ms-2'"),
        ("use", Use(Purpose.TRAIN, "meeting_summary", "ms-1"), "ownership 'first_party', not 'unknown'"),
        ("datasets", [version("chat", "b")], "for dataset file:///lake/meetings too"),
        ("datasets", [], "too, which is not asked for"),
        ("datasets", [version("meetings", "c"), version("chat", "b")], "lake/meetings holds other bytes"),
        ("datasets", [*permit().datasets, version("x", "a")], "file:///lake/x is not among those permitted"),
    ],
)
def test_the_binding_that_differs_is_named(binding, value, told):
    error = refused(**{binding: value})
    assert error.reason == "permit_mismatch"
    assert error.where == ("permit.use" if binding == "use" else f"permit.{binding}")
    assert told in error.message


def test_without_a_permit_there_is_none():
    with pytest.raises(PermitRefused) as caught:
        verify_permit(None, PINNED, now=NOW)
    assert caught.value.reason == "permit_missing"


def test_a_permit_holds_from_issue_until_just_before_expiry():
    last = permit().expires_at - timedelta(microseconds=1)
    for moment in (permit().issued_at, last, permit().issued_at - timedelta(seconds=30)):
        assert verify_permit(issue(permit(), KEY), PINNED, now=moment) == permit()
    for moment in (permit().expires_at, permit().expires_at + timedelta(days=1)):
        assert refused(now=moment).reason == "permit_expired"
    early = refused(now=permit().issued_at - timedelta(seconds=30, microseconds=1))
    assert early.reason == "permit_mismatch"
    assert "clocks" in early.hint


def test_a_moment_without_zone_is_our_own_mistake():
    with pytest.raises(InputError):
        verify_permit(issue(permit(), KEY), PINNED, now=NOW.replace(tzinfo=None))


def test_a_permit_of_another_key_is_refused():
    with pytest.raises(PermitRefused):
        verify_permit(issue(permit(), signing_key(b"\1" * 32)), PINNED, now=NOW)


def resealed(**fields) -> dict:
    data = json.loads(permit().to_payload()) | fields
    return seal(canonical(data), PAYLOAD_TYPE, KEY)


SIGNED_BUT_WRONG = {
    "another version": {"v": 2},
    "a boolean as version": {"v": True},
    "an unknown field": {"note": "x"},
    "an empty dag": {"dag_id": ""},
    "a number as dag": {"dag_id": 1},
    "an upper-case id": {"permit_id": "0E8DFA5C-6A0F-4F0A-9A3C-0F6A3B6D1F10"},
    "an id of another kind": {"permit_id": "0e8dfa5c-6a0f-1f0a-9a3c-0f6a3b6d1f10"},
    "a boolean index": {"decision_index": True},
    "a negative index": {"decision_index": -1},
    "a bare digest": {"decision_digest": "1" * 64},
    "no checkpoint": {"checkpoint": None},
    "a short root": {"checkpoint": {"size": 1, "root": "ab"}},
    "a fuller checkpoint": {"checkpoint": {"size": 1, "root": "2" * 64, "extra": 1}},
    "an unknown purpose": {"use": {"purpose": "sell", "feature": None, "model": None, "ownership": "unknown"}},
    "a feature that is no text": {"use": permit().use.to_dict() | {"feature": 5}},
    "no datasets": {"datasets": []},
    "a dataset twice": {"datasets": [version().to_dict()] * 2},
    "a dataset without digest": {"datasets": [version().to_dict() | {"digest": ""}]},
    "a dataset that is text": {"datasets": ["file:///lake"]},
    "a dataset without locator": {"datasets": [version().to_dict() | {"account": 5}]},
    "a subset of no text": {"datasets": [version().to_dict() | {"subset_of": 1}]},
    "a size that is text": {"datasets": [version().to_dict() | {"size": "5"}]},
    "facts from nowhere": {"facts_from": "rumour"},
    "a local time": {"issued_at": "2026-11-21T12:00:00"},
    "another spelling of the time": {"issued_at": "2026-11-21T12:00:00+00:00"},
    "expiry at issue": {"expires_at": "2026-11-21T12:00:00Z"},
    "an unset gate dag": {"gate_dag_id": None},
    "an empty gate dag": {"gate_dag_id": ""},
    "its own dag as gate dag": {"gate_dag_id": permit().dag_id},
    "a number as gate dag": {"gate_dag_id": 1},
    "an unset override": {"override": None},
    "a boolean override": {"override": True},
    "a negative override": {"override": -1},
    "offline by default": {"offline": False},
    "offline as a number": {"offline": 1},
    "offline as text": {"offline": "true"},
    "a break-glass that is used offline": {"offline": True, "override": 7},
}


@pytest.mark.parametrize("what", SIGNED_BUT_WRONG)
def test_even_signed_a_statement_must_be_a_permit(what):
    with pytest.raises(PermitRefused, match="not a version 1 permit"):
        verify_permit(resealed(**SIGNED_BUT_WRONG[what]), PINNED, now=NOW)


def test_another_spelling_of_the_same_permit_is_refused():
    spaced = json.dumps(json.loads(permit().to_payload()), sort_keys=True).encode()
    with pytest.raises(PermitRefused):
        verify_permit(seal(spaced, PAYLOAD_TYPE, KEY), PINNED, now=NOW)


def test_a_permit_is_frozen_and_checked_when_made():
    with pytest.raises(FrozenInstanceError):
        permit().task_id = "other"
    with pytest.raises(InputError, match="expires_at"):
        replace(permit(), expires_at=permit().issued_at)
    with pytest.raises(InputError, match=r"permit\.datasets"):
        replace(permit(), datasets=())


def test_a_zone_does_not_change_the_bytes():
    zoned = replace(permit(), issued_at=datetime.fromisoformat("2026-11-21T14:00:00+02:00"))
    assert zoned.to_payload() == permit().to_payload()
    assert Permit.from_payload(zoned.to_payload()).issued_at == datetime(2026, 11, 21, 12, tzinfo=UTC)


OPTIONAL = {"gate_dag_id": "gate_meetings", "override": 7, "offline": True}


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_optional_field_stands_in_the_payload_only_when_set(name):
    assert name not in json.loads(permit().to_payload())
    given = replace(permit(), **{name: OPTIONAL[name]})
    assert json.loads(given.to_payload())[name] == OPTIONAL[name]
    assert Permit.from_payload(given.to_payload()) == given


def test_a_permit_of_another_dags_gate_fits_only_where_that_gate_is_expected():
    elsewhere = replace(permit(), gate_dag_id="gate_meetings")
    envelope = issue(elsewhere, KEY)
    fitting = {"now": NOW} | bindings()
    assert verify_permit(envelope, PINNED, gate_dag_id="gate_meetings", **fitting) == elsewhere
    for expected in ({}, {"gate_dag_id": None}, {"gate_dag_id": ""}, {"gate_dag_id": "gate_other"}):
        with pytest.raises(PermitRefused) as caught:
            verify_permit(envelope, PINNED, **expected, **fitting)
        assert (caught.value.reason, caught.value.where) == ("permit_mismatch", "permit.gate_dag_id")
    with pytest.raises(PermitRefused, match="gate_dag_id None, not 'gate_meetings'"):
        verify_permit(issue(permit(), KEY), PINNED, gate_dag_id="gate_meetings", **fitting)


def test_offline_use_must_be_written_in_the_permit():
    assert refused(offline=True).where == "permit.offline"
    allowed = replace(permit(), offline=True)
    for offline in (True, False):
        assert verify_permit(issue(allowed, KEY), PINNED, now=NOW, offline=offline, **bindings()) == allowed


def test_after_a_rotation_old_permits_hold_while_their_key_is_pinned():
    new, old = signing_key(b"\1" * 32), KEY
    pinned = [new.public_key, old.public_key]
    for signer in (old, new):
        assert verify_permit(issue(permit(), signer), pinned, now=NOW) == permit()
    revoked = [new.public_key]
    with pytest.raises(PermitRefused, match="not pinned") as caught:
        verify_permit(issue(permit(), old), revoked, now=NOW)
    assert caught.value.reason == "permit_mismatch"
    assert verify_permit(issue(permit(), new), revoked, now=NOW) == permit()
    with pytest.raises(PermitRefused, match="not pinned"):
        verify_permit(issue(permit(), new), [], now=NOW)


def test_a_second_signature_helps_nobody_whose_key_is_not_pinned():
    other = signing_key(b"\1" * 32)
    both = issue(permit(), KEY)
    both["signatures"] += issue(permit(), other)["signatures"]
    with pytest.raises(PermitRefused, match="not pinned"):
        verify_permit(both, [other.public_key], now=NOW)
    assert verify_permit(both, [KEY.public_key, other.public_key], now=NOW) == permit()


def test_importing_permits_costs_no_heavy_library():
    heavy = ["pandas", "pyarrow", "duckdb", "ibis", "av", "sqlalchemy", "airflow", "openlineage", "jsonschema"]
    code = f"import sys, gate.permits; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
