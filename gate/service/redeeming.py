"""Redemption from the ledger's side: every answer to a worker, yes or no, is a ledger entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from gate.domain.dataset import DatasetVersion
from gate.domain.instants import format_instant
from gate.domain.remedies import refused
from gate.domain.run import Confirmed, TaskRun
from gate.domain.words import TRAINING_PURPOSES, Reason
from gate.errors import GateError, PermitRefused
from gate.ledger.store import Entry, NewEntry, Question, Reader, Transaction
from gate.permits.permit import Permit, check_bindings, open_permit
from gate.service.anchors import check_anchor, publish_when_due, recording, writing
from gate.service.core import Service
from gate.service.decisions import permit_subject, read_outcome, run_prefix
from gate.service.keyring import LedgerKey
from gate.service.modes import Mode, current_mode
from gate.service.ports import Moment, Redeemed, RedemptionRequest
from gate.service.standing import Standing, check_nothing_happened, first_touch, found_out, questions
from gate.service.together import Together, Work

PATIENCE = 1.0  # seconds between two published checkpoints while redemptions come in


def permit_of(service: Service, run: TaskRun) -> Mapping[str, Any] | None:
    """Return the newest permit's envelope of this task of this run, or of the runs that triggered it."""
    found = service.ledger.look(lambda reader: _find_permit(reader, run))
    if found is None:
        try:
            confirmed = service.confirm(run)
        except PermitRefused:
            return None  # redeeming asks again, and records the refusal
        found = _find_elsewhere(service, run, confirmed)
    return None if found is None else dict(found.entry.body["envelope"])


def record_redemption(service: Service, request: RedemptionRequest, *, by: str) -> Redeemed:
    """Check everything that can be checked from the ledger's side, and record the answer.

    Raises:
        PermitRefused: recorded before it is raised.
        CannotDecide: Airflow cannot be asked whether the task is running.
    """
    run = request.run
    try:
        confirmed = service.confirm(run)
        found = service.ledger.look(lambda reader: _find_permit(reader, run))
        if found is None:
            found = _find_elsewhere(service, run, confirmed)
        if found is None and (observed := _start_observed(service, request, confirmed, by)) is not None:
            return observed
        permit, found = _verified(service, request, found)
        answer, new = _redeem_now(service, permit, found, run, by)
    except PermitRefused as refusal:
        _record_refusal(service, run, refusal, by)
        raise
    if not new:  # a try that goes on after a deferral may outlast its permit, not its consents
        record_check(service, answer)
    return answer


def _redeem_now(service: Service, permit: Permit, found: _Found, run: TaskRun, by: str) -> tuple[Redeemed, bool]:
    """Record the redemption if everything holds now; one writes at a time, so nobody changes it meanwhile.

    Returns:
        The redemption, and whether it is new.
    """
    envelope, index = found.entry.body["envelope"], permit.decision_index
    decision = found.decision if found.decision and found.decision.idx == index else None
    decision = decision or service.ledger.look(lambda reader: reader.entry(index))
    standing, subject = Standing(permit, envelope, decision), redemption_subject(permit, run)

    ring: tuple[LedgerKey, ...] = ()

    def judge(tx: Transaction, answers: Sequence[list[Entry]]) -> NewEntry:
        nonlocal ring
        _check_single_run(tx, permit, run)  # first: another run's try has the same subject
        now = found_out(tx, standing, answers)
        ring, done = now.ring, now.redemption
        at = service.now(tx) if done is None else done.recorded_at
        bound = {"dag_id": run.dag_id, "run_id": found.run_id, "task_id": run.task_id, "ledger_origin": tx.origin}
        check_bindings(permit, now=at, gate_dag_id=found.gate_dag_id, **bound)
        if done is None:
            check_nothing_happened(service, tx, standing, at, now)
        return NewEntry("redemption", subject, _redemption(permit, found.entry, run), at, by, "airflow")

    # A permit for the first run that redeems it is redeemed alone: works of one transaction do not see each other.
    together = service.together if permit.gate_dag_id is None and service.together else Together()
    done = together.perform(partial(writing, service), Work(questions(standing, subject), judge))
    publish_when_due(service, done.head.size, PATIENCE)
    moment = Moment(done.head, ring)
    answer = Redeemed(permit, done.entry.idx, run, permit.use, permit.datasets, index, envelope, moment=moment)
    return answer, done.new


def record_check(service: Service, redeemed: Redeemed) -> None:
    """Look again at what a recorded redemption rests on; if it is gone, record since when.

    Raises:
        PermitRefused: with the reason; under a policy that lets training go on after a withdrawal, only recorded.
    """
    if redeemed.permit is None:
        return
    with service.ledger.read() as reader:
        check_anchor(service, reader)
        now = service.now(reader)
        standing = Standing.of(redeemed.permit, _envelope(redeemed), reader)
        try:
            check_nothing_happened(service, reader, standing, now)
        except PermitRefused as error:
            refusal = error
        else:
            return
        touch = first_touch(reader, standing, redeemed.index)
        goes_on = touch is not None and service.policy(reader).on_withdrawal == "continue"
    _record_exposure(service, redeemed, refusal, touch, standing, now)
    if not goes_on:
        raise refusal


def _envelope(redeemed: Redeemed) -> Mapping[str, Any]:
    if redeemed.envelope is None:
        raise refused("the permit's envelope is missing", Reason.PERMIT_MISSING)
    return redeemed.envelope


def redemption_subject(permit: Permit, run: TaskRun) -> str:
    """Return the ledger subject of a redemption: one per permit, map index and try."""
    return f"{permit.permit_id}/{run.map_index}/{run.try_number}"


@dataclass(frozen=True, slots=True)
class _Found:
    """A permit's entry, the run it must be bound to, and the DAG of its gate when that is another one.

    `decision` is the newest decision of its own run; the permit may rest on another.
    """

    entry: Entry
    run_id: str
    gate_dag_id: str | None = None
    decision: Entry | None = None


def _find_permit(reader: Reader, run: TaskRun, triggered_by: Iterable[tuple[str, str]] = ()) -> _Found | None:
    """Find the newest permit of the task: of its own run, else of the runs whose gates may permit for others."""
    permits, decisions = reader.ask(
        Question("permit", subject_prefix=permit_subject(run.dag_id, run.run_id, run.task_id)),
        Question("decision", subject_prefix=run_prefix(run.dag_id, run.run_id)),
    )
    if permits:
        return _Found(permits[-1], run.run_id, decision=decisions[-1] if decisions else None)
    others = []
    for gate_dag_id, run_id in triggered_by:
        entry = reader.latest("permit", permit_subject(run.dag_id, run_id, run.task_id, gate_dag_id=gate_dag_id))
        others += [_Found(entry, run_id, gate_dag_id)] if entry else []
    return max(others, key=lambda found: found.entry.idx, default=None)


def _find_elsewhere(service: Service, run: TaskRun, confirmed: Confirmed) -> _Found | None:
    if not confirmed.triggered_by:
        return None
    with service.ledger.read() as reader:
        return _find_permit(reader, run, confirmed.triggered_by)


def _verified(service: Service, request: RedemptionRequest, found: _Found | None) -> tuple[Permit, _Found]:
    """Check everything that needs no ledger: who signed the permit, for what use, for which bytes."""
    wanted = request.wanted
    if wanted.purpose not in TRAINING_PURPOSES:
        raise refused(f"{wanted.purpose} is not a training purpose", Reason.PERMIT_MISMATCH)
    if found is None:
        raise refused("there is no permit for this task of this run", Reason.PERMIT_MISSING)
    permit = open_permit(found.entry.body["envelope"], service.pinned_keys)
    if (permit.use.purpose, permit.use.feature, permit.use.model) != (wanted.purpose, wanted.feature, wanted.model):
        raise refused("the permit is for another use than the task declares", Reason.PERMIT_MISMATCH)
    unused = list(permit.datasets)
    for dataset in request.reads:
        match = next((version for version in unused if version.stands_for(dataset)), None)
        if match is None:
            raise refused(f"the permit does not cover {dataset.name}", Reason.PERMIT_MISMATCH)
        unused.remove(match)
    for version in permit.datasets:
        _check_digest(version, request.measured)
    return permit, found


def _check_digest(version: DatasetVersion, measured: Mapping[str, str | None]) -> None:
    name = version.dataset.name
    if version.key not in measured:
        raise refused(f"{name} was not measured before training", Reason.PERMIT_MISMATCH)
    found = measured[version.key]
    if found is None:
        raise refused(f"the permitted dataset {name} cannot be read", Reason.DATASET_CHANGED)
    if found != version.digest:
        raise refused(f"{name} is not the version that was permitted", Reason.DATASET_CHANGED)


def _check_single_run(reader: Reader, permit: Permit, run: TaskRun) -> None:
    """A permit for a run that was triggered elsewhere belongs to the first run that redeems it."""
    if permit.gate_dag_id is None:
        return
    for entry in reader.entries("redemption", subject_prefix=permit.permit_id + "/"):
        if entry.body["run"]["run_id"] != run.run_id:
            raise refused("the permit was redeemed by another run", Reason.PERMIT_MISMATCH)


def _observed(reader: Reader, request: RedemptionRequest, confirmed: Confirmed, now: datetime) -> Entry | None:
    """Return the decision that the mode `observe` lets this task train on, if there is one."""
    if current_mode(reader, now).mode is not Mode.OBSERVE:
        return None
    run = request.run
    own = [entry for entry in _decisions(reader, run.dag_id, run.run_id) if run.task_id in entry.body["consumers"]]
    others = (entry for dag_id, run_id in confirmed.triggered_by for entry in _decisions(reader, dag_id, run_id))
    named = [run.dag_id, run.task_id]
    candidates = own or [entry for entry in others if named in entry.body["elsewhere"]]
    newest = max(candidates, key=lambda entry: entry.idx, default=None)
    if newest is None or not read_outcome(reader, newest).passes:
        return None
    use = newest.body["decision"]["use"]
    wanted = request.wanted
    same = (use["purpose"], use["feature"], use["model"]) == (wanted.purpose.value, wanted.feature, wanted.model)
    return newest if same and newest.body["mode"] == Mode.OBSERVE else None


def _decisions(reader: Reader, dag_id: str, run_id: str) -> Iterable[Entry]:
    return reader.entries("decision", subject_prefix=run_prefix(dag_id, run_id))


def _start_observed(service: Service, request: RedemptionRequest, confirmed: Confirmed, by: str) -> Redeemed | None:
    """Where the mode lets it: record that training starts without a permit, and what would have blocked it."""
    with service.ledger.read() as reader:
        now = service.now(reader)
        decision = _observed(reader, request, confirmed, now)
    if decision is None:
        return None
    reasons = decision.body["decision"]["reasons"]
    body = {
        "run": request.run.to_dict(),
        "reason": Reason.PERMIT_MISSING.value,
        "message": "started without a permit: the mode is observe",
        "observed": True,
        "decision": decision.idx,
        "reasons": reasons,
    }
    with recording(service, patience=PATIENCE) as tx:
        entry, _ = tx.append("refusal", request.run.key, body, recorded_at=now, by=by, via="airflow")
        outcome = read_outcome(tx, decision)
    return Redeemed(None, entry.idx, request.run, outcome.decision.use, outcome.versions, decision.idx)


def _redemption(permit: Permit, entry: Entry, run: TaskRun) -> dict[str, Any]:
    return {
        "permit_id": permit.permit_id,
        "permit": entry.idx,
        "decision": permit.decision_index,
        "run": run.to_dict(),
        "datasets": [version.digest for version in permit.datasets],
    }


def _record_refusal(service: Service, run: TaskRun, refusal: GateError, by: str) -> None:
    body: dict[str, Any] = {"run": run.to_dict(), "reason": refusal.reason, "message": refusal.message}
    with recording(service, patience=PATIENCE) as tx:
        tx.append("refusal", run.key, body, recorded_at=service.now(tx), by=by, via="airflow")


def _record_exposure(
    service: Service, redeemed: Redeemed, refusal: PermitRefused, touch: Entry | None, standing: Standing, now: datetime
) -> None:
    """Record how long training went on after it should not have: from the first cause until it was noticed."""
    since = touch.recorded_at if touch is not None else standing.until
    body = {
        "permit_id": standing.permit.permit_id,
        "redemption": redeemed.index,
        "run": redeemed.run.to_dict(),
        "entry": touch and touch.idx,
        "since": since and format_instant(since),
        "noticed": format_instant(now),
        "reason": refusal.reason,
        "message": refusal.message,
    }
    subject = f"{redemption_subject(standing.permit, redeemed.run)}/{touch.idx if touch else 'time'}"
    with recording(service, patience=PATIENCE) as tx:
        tx.append("exposure", subject, body, recorded_at=now, by="service:gate", via="check")


def refusal_of_run(service: Service, dag_id: str, run_id: str) -> Entry | None:
    """Return the newest refused redemption of a DAG run."""
    from gate.service import decisions

    with service.ledger.read() as reader:
        return decisions.refusal_of_run(reader, dag_id, run_id)
