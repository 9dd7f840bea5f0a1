"""Redeem a permit: the lock in front of training. Every answer, yes or no, is a ledger entry."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gate.domain.canonical import canonical
from gate.domain.dataset import Dataset, DatasetVersion
from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Facts, RowGroup, WantedUse
from gate.domain.instants import parse_instant
from gate.domain.remedies import REMEDIES
from gate.domain.run import TaskRun
from gate.domain.words import TRAINING_PURPOSES, Reason, Verdict
from gate.errors import DatasetError, GateError, PermitRefused
from gate.ledger.state import Touched, account_facts, touched_since
from gate.ledger.store import Entry, Reader, Transaction
from gate.permits.permit import Permit, verify_permit
from gate.policy.evaluate import evaluate
from gate.scan.digest import measure
from gate.service.core import Service
from gate.service.deciding import SUBSET, permit_subject
from gate.service.tagging import dataset_key

REF_BYTES = 32


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A redeemed permit.

    Attributes:
        index: ledger index of the redemption: the instant training was allowed to start, by the only clock that counts.
    """

    permit: Permit
    index: int
    run: TaskRun

    def version_for(self, wanted: Dataset) -> DatasetVersion:
        """Return the permitted version a job that asked for `wanted` may read.

        Raises:
            PermitRefused: none.
        """
        for version in self.permit.datasets:
            if version.stands_for(wanted):
                return version
        raise PermitRefused(
            "the permit does not cover this dataset",
            where=wanted.name,
            hint="name it in the gate's datasets and in reads=",
            reason=Reason.PERMIT_MISMATCH,
        )


def redeem(service: Service, run: TaskRun, reads: Sequence[Dataset], wanted: WantedUse, *, by: str) -> Redeemed:
    """Exchange the run's permit for the right to train now.

    Args:
        run: the training task's own try; redeeming is idempotent per try.
        reads: the datasets the task declares to read; exactly these must be permitted.
        wanted: the use the task declares.
        by: who asks; see `recorded_actor`.

    Raises:
        PermitRefused: no permit, not for this, expired, or overtaken by a later entry; recorded before it is raised.
        DatasetError: a dataset cannot be read.
    """
    now = service.clock()
    try:
        permit = _verified(service, run, reads, wanted, now)
        with service.ledger.write() as tx:
            done = tx.find("redemption", redemption_subject(permit, run))
            if done is None:
                at = service.clock()  # hashing the data may have taken longer than the permit lives
                if at >= permit.expires_at:
                    raise _refused("the permit has expired", Reason.PERMIT_EXPIRED)
                _check_nothing_happened(service, tx, permit, at)
                done = _append_redemption(tx, permit, run, now, by)
    except PermitRefused as refusal:
        _record_refusal(service, run, refusal, now, by)
        raise
    return Redeemed(permit, done.idx, run)


def redemption_subject(permit: Permit, run: TaskRun) -> str:
    """Return the ledger subject of a redemption: one per permit, map index and try."""
    return f"{permit.permit_id}/{run.map_index}/{run.try_number}"


def check_still_standing(service: Service, redeemed: Redeemed) -> None:
    """Look again, for long trainings: raise if an entry since the decision takes the permission away.

    Raises:
        PermitRefused: with the reason, as at redemption.
    """
    with service.ledger.read() as reader:
        _check_nothing_happened(service, reader, redeemed.permit, service.clock())


def _verified(service: Service, run: TaskRun, reads: Sequence[Dataset], wanted: WantedUse, now: datetime) -> Permit:
    if wanted.purpose not in TRAINING_PURPOSES:
        raise _refused(f"{wanted.purpose} is not a training purpose", Reason.PERMIT_MISMATCH)
    with service.ledger.read() as reader:
        entry = reader.latest("permit", permit_subject(run.dag_id, run.run_id, run.task_id))
        origin = reader.origin
    permit = verify_permit(
        None if entry is None else entry.body["envelope"],
        service.pinned_keys,
        now=now,
        dag_id=run.dag_id,
        run_id=run.run_id,
        task_id=run.task_id,
        ledger_origin=origin,
    )
    if (permit.use.purpose, permit.use.feature, permit.use.model) != (wanted.purpose, wanted.feature, wanted.model):
        raise _refused("the permit is for another use than the task declares", Reason.PERMIT_MISMATCH)
    unused = list(permit.datasets)
    for dataset in reads:
        match = next((version for version in unused if version.stands_for(dataset)), None)
        if match is None:
            raise _refused(f"the permit does not cover {dataset.name}", Reason.PERMIT_MISMATCH)
        unused.remove(match)
    for version in permit.datasets:
        _check_unchanged(version)
    return permit


def _check_unchanged(version: DatasetVersion) -> None:
    try:
        now, _ = measure(version.dataset)
    except DatasetError as error:
        raise _refused(f"the permitted dataset cannot be read: {error}", Reason.DATASET_CHANGED) from None
    if now.digest != version.digest:
        raise _refused(f"{version.dataset.name} is not the version that was permitted", Reason.DATASET_CHANGED)


def _check_nothing_happened(service: Service, reader: Reader, permit: Permit, now: datetime) -> None:
    """Refuse if an entry since the decision's checkpoint touches what it rested on (invariant 4), or time did."""
    touched = touched_since(reader, permit.checkpoint[0], reader.size)
    decision = reader.entry(permit.decision_index)
    until = decision.body["stands_until"]
    if until is not None and now >= parse_instant(until):
        raise _refused("a consent or a policy row started or ended since the decision", Reason.PERMIT_EXPIRED)
    if _decided_again(reader, decision):
        raise _refused("the gate has decided again since this permit", Reason.PERMIT_MISMATCH)
    if changed := _changed(touched, permit):
        raise _refused(f"the {changed} changed after the decision", Reason.PERMIT_MISMATCH)
    members = reader.attachment(decision.body["accounts"])
    if members is None:
        raise _refused("the decision's accounts were erased", Reason.CANNOT_DECIDE)
    hit = sorted(ref for ref in touched.accounts if _contains(members, bytes.fromhex(ref)))
    if hit:
        reasons = _reasons_now(service, reader, permit, decision, hit, now)
        raise PermitRefused(
            f"{len(hit)} of the permitted accounts changed after the decision: {', '.join(reasons)}",
            hint="clear the gate's task: it decides again, on what stands now",
            reason=reasons[0],
        )


def _decided_again(reader: Reader, decision: Entry) -> bool:
    """Whether the gate task has a newer decision: about the whole or, where that blocked, about its subset."""
    gate = TaskRun.from_dict(decision.body["run"])
    whole = replace(gate, task_id=gate.task_id.removesuffix(SUBSET))
    both = (whole, replace(whole, task_id=whole.task_id + SUBSET))
    return any(newer.idx > decision.idx for task in both if (newer := reader.latest("decision", tries_prefix(task))))


def tries_prefix(run: TaskRun) -> str:
    """Return what the ledger subjects of all tries of one task instance begin with."""
    return canonical([run.dag_id, run.run_id, run.task_id, run.map_index]).decode()[:-1] + ","


def _changed(touched: Touched, permit: Permit) -> str | None:
    if touched.policy:
        return "policy"
    if touched.keys:
        return "signing keys"
    if touched.mode:
        return "mode"
    if permit.use.model in touched.models:
        return "model's registration"
    if {dataset_key(read) for version in permit.datasets for read in _rests_on(version)} & touched.datasets:
        return "dataset's tags"
    return None


def _rests_on(version: DatasetVersion) -> tuple[Dataset, ...]:
    """Return the datasets whose tags a permitted version rests on: its own and, for a subset, its source's."""
    source = version.subset_of
    return (version.dataset,) if source is None else (version.dataset, replace(version.dataset, uri=source))


def _contains(members: bytes, ref: bytes) -> bool:
    view = range(0, len(members), REF_BYTES)
    at = bisect_left(view, ref, key=lambda offset: members[offset : offset + REF_BYTES])
    return at < len(view) and members[view[at] : view[at] + REF_BYTES] == ref


def _reasons_now(
    service: Service, reader: Reader, permit: Permit, decision: Entry, refs: list[str], now: datetime
) -> list[str]:
    """Say why these accounts would block today; if they would not, that the permit is out of date."""
    policy = service.policy(reader)
    categories = frozenset(c for item in decision.body["datasets"] for c in item["categories"])
    reasons: set[str] = set()
    for ref in refs:
        name = reader.open_ref(ref)
        known = AccountFacts() if name is None else account_facts(reader, name)
        group = AccountGroup(known, {None: 1})
        facts = DatasetFacts("permitted", categories, groups=(group,), rows=(RowGroup((0,), 1),), total_rows=1)
        answer = evaluate(policy, Facts((facts,)), permit.use, now)
        if answer.verdict is Verdict.BLOCK:
            reasons |= {reason.value for reason in answer.reasons}
    return sorted(reasons) or [Reason.PERMIT_MISMATCH.value]


def _append_redemption(tx: Transaction, permit: Permit, run: TaskRun, now: datetime, by: str) -> Entry:
    body = {
        "permit_id": permit.permit_id,
        "decision": permit.decision_index,
        "run": run.to_dict(),
        "datasets": [version.digest for version in permit.datasets],
    }
    subject = redemption_subject(permit, run)
    return tx.append("redemption", subject, body, recorded_at=now, by=by, via="airflow")[0]


def _record_refusal(service: Service, run: TaskRun, refusal: GateError, now: datetime, by: str) -> None:
    body: dict[str, Any] = {"run": run.to_dict(), "reason": refusal.reason, "message": refusal.message}
    with service.ledger.write() as tx:
        tx.append("refusal", run.key, body, recorded_at=now, by=by, via="airflow")


def refusal_of_run(service: Service, dag_id: str, run_id: str) -> Entry | None:
    """Return the newest refused redemption of a DAG run."""
    prefix = canonical([dag_id, run_id]).decode()[:-1] + ","
    with service.ledger.read() as reader:
        return reader.latest("refusal", prefix)


def _refused(message: str, reason: Reason) -> PermitRefused:
    return PermitRefused(message, hint=REMEDIES[reason], reason=reason.value)
