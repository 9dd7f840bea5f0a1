"""Issues permits: one per training task that a passing decision lets read."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from gate.domain.canonical import sha256_hex
from gate.domain.decision import Decision
from gate.domain.run import TaskRun
from gate.domain.words import TRAINING_PURPOSES
from gate.ledger.store import Entry, Transaction
from gate.permits.keys import SigningKey
from gate.permits.permit import Permit, issue
from gate.service.decisions import permit_subject
from gate.service.facts import Gathered

PERMIT_LIFETIME = timedelta(hours=1)  # training that queues longer runs its gate again


def append_permits(
    tx: Transaction,
    entry: Entry,
    gathered: Gathered,
    decision: Decision,
    key: SigningKey,
    *,
    expires: datetime,
    offline: bool = False,
) -> list[str]:
    """Append one permit per consuming task of a decision; uses that are no training need none.

    Args:
        tx: the transaction in which the decision was appended.
        entry: the decision's entry.
        gathered: the facts it rests on.
        decision: the decision.
        key: signs.
        expires: end of the permits.
        offline: whether the policy lets them be used without the decision service; a break-glass never is.

    Returns:
        The permits' ids.
    """
    if decision.use.purpose not in TRAINING_PURPOSES:
        return []
    run = TaskRun.from_dict(entry.body["run"])
    targets: list[tuple[str, str, str | None]] = [(run.dag_id, task_id, None) for task_id in entry.body["consumers"]]
    targets += [(dag_id, task_id, run.dag_id) for dag_id, task_id in entry.body["elsewhere"]]
    ids = []
    for dag_id, task_id, gate_dag_id in targets:
        permit = Permit(
            permit_id=str(uuid.uuid4()),
            ledger_origin=tx.origin,
            decision_index=entry.idx,
            decision_digest=sha256_hex(entry.payload),
            checkpoint=(gathered.size, gathered.root.hex()),
            policy_digest=decision.policy_digest,
            use=decision.use,
            datasets=tuple(tag.version for tag in gathered.tagged),
            dag_id=dag_id,
            run_id=run.run_id,
            task_id=task_id,
            facts_from="worker_asserted",
            issued_at=decision.decided_at,
            expires_at=expires,
            gate_dag_id=gate_dag_id,
            override=entry.body["override"],
            offline=offline and entry.body["override"] is None,
        )
        body = {"permit_id": permit.permit_id, "decision": entry.idx, "envelope": issue(permit, key)}
        subject = permit_subject(dag_id, run.run_id, task_id, gate_dag_id=gate_dag_id, decision_index=entry.idx)
        tx.append("permit", subject, body, recorded_at=decision.decided_at, by=entry.by, via=entry.via)
        ids.append(permit.permit_id)
    return ids
