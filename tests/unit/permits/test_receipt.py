from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gate.domain.canonical import canonical
from gate.domain.run import TaskRun
from gate.errors import InputError, PermitRefused
from gate.permits import (
    PAYLOAD_TYPE,
    RECEIPT_TYPE,
    Receipt,
    issue,
    issue_receipt,
    new_nonce,
    seal,
    verify_permit,
    verify_receipt,
)
from support.permits import NOW, SEED, permit, receipt, signing_key

KEY = signing_key()
PINNED = [KEY.public_key]
GOLDEN = Path(__file__).parents[2] / "golden" / "receipt_v1.json"
ASKED = {"permit_id": receipt().permit_id, "run": receipt().run, "nonce": receipt().nonce, "now": NOW}


def refused(envelope=None, **changes) -> PermitRefused:
    with pytest.raises(PermitRefused) as caught:
        verify_receipt(envelope or issue_receipt(receipt(), KEY), PINNED, **(ASKED | changes))
    return caught.value


def test_the_bytes_of_a_receipt_are_frozen():
    golden = json.loads(GOLDEN.read_text())
    assert bytes.fromhex(golden["seed"]) == SEED
    assert receipt().to_payload().decode() == golden["payload"]
    assert issue_receipt(receipt(), KEY) == golden["envelope"]
    assert verify_receipt(golden["envelope"], PINNED, **ASKED) == receipt()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("permit_id", "1e8dfa5c-6a0f-4f0a-9a3c-0f6a3b6d1f10", "another permit"),
        ("nonce", "4" * 64, "another nonce"),
        ("nonce", "", "another nonce"),
        ("run", replace(receipt().run, try_number=3), "another run"),
        ("run", replace(receipt().run, map_index=0), "another run"),
        ("run", replace(receipt().run, dag_id="other"), "another run"),
    ],
)
def test_an_answer_to_another_question_is_refused(field, value, told):
    error = refused(**{field: value})
    assert (error.reason, error.where) == ("permit_mismatch", f"receipt.{field}")
    assert told in error.message


def test_an_older_answer_does_not_fit_a_new_question():
    first, second = new_nonce(), new_nonce()
    recorded = issue_receipt(replace(receipt(), nonce=first), KEY)
    assert verify_receipt(recorded, PINNED, **ASKED | {"nonce": first}).nonce == first
    assert refused(recorded, nonce=second).where == "receipt.nonce"


def test_a_receipt_is_fresh_for_a_minute_on_either_side():
    made = receipt().issued_at
    for seconds in (-60, 0, 60):
        assert verify_receipt(
            issue_receipt(receipt(), KEY), PINNED, **ASKED | {"now": made + timedelta(seconds=seconds)}
        )
    for seconds in (-61, 61, 86_400):
        error = refused(now=made + timedelta(seconds=seconds))
        assert (error.reason, error.where) == ("permit_mismatch", "receipt.issued_at")
        assert "clocks" in (error.hint or "")


def test_without_a_receipt_there_is_none():
    with pytest.raises(PermitRefused) as caught:
        verify_receipt(None, PINNED, **ASKED)
    assert caught.value.reason == "permit_missing"


def test_a_receipt_of_another_key_is_refused():
    other = signing_key(b"\1" * 32)
    assert refused(issue_receipt(receipt(), other)).reason == "permit_mismatch"
    assert verify_receipt(issue_receipt(receipt(), other), [KEY.public_key, other.public_key], **ASKED) == receipt()


def test_a_permit_is_no_receipt_and_a_receipt_no_permit():
    assert refused(issue(permit(), KEY)).where == "envelope.payloadType"
    with pytest.raises(PermitRefused) as caught:
        verify_permit(issue_receipt(receipt(), KEY), PINNED, now=NOW)
    assert caught.value.where == "envelope.payloadType"
    relabelled = issue_receipt(receipt(), KEY) | {"payloadType": PAYLOAD_TYPE}
    with pytest.raises(PermitRefused):
        verify_permit(relabelled, PINNED, now=NOW)
    assert refused(issue(permit(), KEY) | {"payloadType": RECEIPT_TYPE}).where == "envelope.sig"
    # Even a service that signs anything under the other type has not made the one out of the other.
    assert refused(seal(permit().to_payload(), RECEIPT_TYPE, KEY)).where == "receipt"
    with pytest.raises(PermitRefused):
        verify_permit(seal(receipt().to_payload(), PAYLOAD_TYPE, KEY), PINNED, now=NOW)


RUN = receipt().run.to_dict()
SIGNED_BUT_WRONG = {
    "another version": {"v": 2},
    "a boolean as version": {"v": True},
    "an unknown field": {"note": "x"},
    "an id of another kind": {"permit_id": "0e8dfa5c-6a0f-1f0a-9a3c-0f6a3b6d1f10"},
    "no run": {"run": None},
    "a run without a dag": {"run": RUN | {"dag_id": ""}},
    "a run of a number": {"run": RUN | {"dag_id": 5}},
    "a fuller run": {"run": RUN | {"host": "h"}},
    "no try": {"run": RUN | {"try_number": 0}},
    "a boolean try": {"run": RUN | {"try_number": True}},
    "a map index below -1": {"run": RUN | {"map_index": -2}},
    "a boolean index": {"index": True},
    "an index that is text": {"index": "43"},
    "a redemption the checkpoint does not hold": {"index": 44},
    "a short nonce": {"nonce": "5" * 62},
    "an upper-case nonce": {"nonce": "A" * 64},
    "no nonce": {"nonce": None},
    "no checkpoint": {"checkpoint": None},
    "a short root": {"checkpoint": {"size": 44, "root": "ab"}},
    "a root that is no text": {"checkpoint": {"size": 44, "root": 6}},
    "a local time": {"issued_at": "2026-11-21T12:04:30"},
    "another spelling of the time": {"issued_at": "2026-11-21T12:04:30+00:00"},
}


@pytest.mark.parametrize("what", SIGNED_BUT_WRONG)
def test_even_signed_a_statement_must_be_a_receipt(what):
    data = json.loads(receipt().to_payload()) | SIGNED_BUT_WRONG[what]
    error = refused(seal(canonical(data), RECEIPT_TYPE, KEY))
    assert "not a version 1 receipt" in error.message


def test_another_spelling_of_the_same_receipt_is_refused():
    spaced = json.dumps(json.loads(receipt().to_payload()), sort_keys=True).encode()
    assert refused(seal(spaced, RECEIPT_TYPE, KEY)).where == "receipt"


def test_a_receipt_is_checked_when_made():
    with pytest.raises(InputError, match=r"receipt\.checkpoint"):
        replace(receipt(), checkpoint=(43, "6" * 64))
    with pytest.raises(InputError, match=r"receipt\.run"):
        replace(receipt(), run=TaskRun("", "r", "t"))
    with pytest.raises(InputError):
        verify_receipt(issue_receipt(receipt(), KEY), PINNED, **ASKED | {"now": NOW.replace(tzinfo=None)})
    assert Receipt.from_payload(receipt().to_payload()) == receipt()


def test_every_nonce_is_another():
    nonces = {new_nonce() for _ in range(1000)}
    assert len(nonces) == 1000
    assert all(replace(receipt(), nonce=nonce) for nonce in nonces)
