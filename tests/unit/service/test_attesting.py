"""Attesting: a worker waits for a service that does not answer, and what contradicts the ledger shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gate.domain.run import Confirmed, TaskRun
from gate.errors import CannotDecide, DatasetError, PermitRefused
from gate.ledger.store import Entry
from gate.permits import issue_attestation, verify_attestation
from gate.permits.attestation import Named
from gate.service.attesting import attestations_at, attestations_of, check_attestation
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.ports import Attested, Redeemed
from gate.service.session import Session
from gate.service.tagging import tag_dataset
from gate.service.worker import attest, redeem
from support.permits import signing_key
from support.world import ASKING, TRAIN, USE, add_account, chat_file, event, new_service, say


@dataclass
class Trained:
    """A redeemed try, and the model it wrote."""

    service: Service
    right: Redeemed
    model: Path

    def attest(self, **how: Any) -> Attested:
        return attest(lambda: nullcontext(self.service), self.right, self.model, by="service:airflow", **how)

    def entries(self) -> list[Entry]:
        with self.service.ledger.read() as reader:
            return list(reader.entries("attestation"))


@pytest.fixture
def trained(tmp_path: Path) -> Iterator[Trained]:
    with new_service(tmp_path / "home") as service:
        add_account(service, "acme")
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme"])
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        assert decide(service, [data], USE, ASKING).allowed
        right = redeem(service, TRAIN, [data], USE, by="service:airflow")
        model = tmp_path / "ms-1.bin"
        model.write_bytes(b"weights")
        yield Trained(service, right, model)


class Silent:
    """Airflow, which does not answer a number of times."""

    def __init__(self, times: int) -> None:
        self.left, self.asked = times, 0

    def __call__(self, run: TaskRun) -> Confirmed:
        self.asked += 1
        if self.asked <= self.left:
            raise CannotDecide("Airflow does not answer", reason="cannot_decide")
        return Confirmed()


def test_a_trained_model_waits_for_an_outage(trained: Trained) -> None:
    trained.service.confirm = silent = Silent(3)
    attested = trained.attest(pause=0.001)
    assert silent.asked == 4
    assert [entry.idx for entry in trained.entries()] == [attested.index]


def test_a_model_that_cannot_be_attested_in_time_is_not(trained: Trained) -> None:
    trained.service.confirm = Silent(10_000)
    with pytest.raises(CannotDecide, match=r"was trained but cannot be attested: Airflow does not answer") as caught:
        trained.attest(patience=0.01, pause=0.004)
    assert caught.value.reason == "cannot_decide"
    assert trained.entries() == []


def test_a_refusal_is_not_waited_out(trained: Trained) -> None:
    def not_running(run: TaskRun) -> Confirmed:
        raise PermitRefused("it is not running", reason="permit_mismatch")

    trained.service.confirm = not_running
    with pytest.raises(PermitRefused, match="not running"):
        trained.attest()
    assert trained.entries() == []


def test_a_model_that_is_not_there_is_not_waited_for(trained: Trained) -> None:
    trained.model.unlink()
    with pytest.raises(DatasetError):
        trained.attest()


def test_a_notebook_attests_what_it_has_finished(trained: Trained) -> None:
    attested = Session(trained.service, trained.right).produced(trained.model)
    assert [entry.idx for entry in trained.entries()] == [attested.index]
    assert verify_attestation(attested.envelope, trained.service.pinned_keys).run == TRAIN


def test_a_folder_is_one_model(trained: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.bin").write_bytes(bytes([number]))
    model = replace(trained, model=folder).attest().model
    assert (model.files, model.size) == (3, 3)


def test_attestations_are_found_by_digest_and_by_place(trained: Trained) -> None:
    first = trained.attest()
    trained.model.write_bytes(b"better")
    second = trained.attest()
    with trained.service.ledger.read() as reader:
        assert [entry.idx for entry in attestations_of(reader, first.model.digest)] == [first.index]
        there = attestations_at(reader, second.model.dataset.uri)
        assert [entry.idx for entry in there] == [first.index, second.index]
        assert attestations_of(reader, "sha256:" + "0" * 64) == attestations_at(reader, "file:///other") == []


SHA = "sha256:" + "0" * 64
LIES = {
    "its entry says other than its statement": lambda said: replace(said, redemption=Named(said.redemption.name, SHA)),
    "it is of another ledger": lambda said: replace(said, ledger_origin="another"),
    "the ledger never had its checkpoint": lambda said: replace(said, checkpoint=(said.checkpoint[0], "0" * 64)),
    "the ledger holds another decision": lambda said: replace(said, decision=Named(said.decision.name, SHA)),
    "the ledger holds another redemption": lambda said: replace(said, redemption=Named(said.redemption.name, SHA)),
}


def test_what_was_recorded_agrees(trained: Trained) -> None:
    trained.attest()
    [entry] = trained.entries()
    with trained.service.ledger.read() as reader:
        checked = check_attestation(trained.service, reader, entry)
    assert (checked.signature, checked.ledger, checked.problems) == (True, True, ())


@pytest.mark.parametrize("problem", LIES)
def test_a_statement_that_our_own_key_signed_is_still_held_against_the_ledger(trained: Trained, problem: str) -> None:
    """Somebody with the key can write a statement, but not a ledger that bears it out."""
    said = verify_attestation(trained.attest().envelope, trained.service.pinned_keys)
    with trained.service.ledger.write() as tx:
        [honest] = tx.entries("attestation")
        envelope = issue_attestation(LIES[problem](said), trained.service.key)
        model = {**honest.body["model"], "size": 8} if problem.startswith("its entry") else honest.body["model"]
        body = {**honest.body, "model": model, "envelope": envelope}
        lie, _ = tx.append("attestation", "lie", body, recorded_at=honest.recorded_at, by=honest.by, via="airflow")
        checked = check_attestation(trained.service, tx, lie)
    assert (checked.signature, checked.ledger) == (True, False)
    assert any(one.startswith(problem) for one in checked.problems), checked.problems


def test_a_foreign_signature_is_no_signature(trained: Trained) -> None:
    said = verify_attestation(trained.attest().envelope, trained.service.pinned_keys)
    with trained.service.ledger.write() as tx:
        [honest] = tx.entries("attestation")
        body = {**honest.body, "envelope": issue_attestation(said, signing_key(b"\1" * 32))}
        lie, _ = tx.append("attestation", "lie", body, recorded_at=honest.recorded_at, by=honest.by, via="airflow")
        checked = check_attestation(trained.service, tx, lie)
    assert (checked.signature, checked.ledger, dict(checked.statement)) == (False, False, {})
