"""Turns facets into JSON-ready run events; the decision's own event among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gate.domain.dataset import DatasetVersion
from gate.domain.decision import Decision

if TYPE_CHECKING:
    from gate.lineage.facets import Tagging


def decision_event(
    decision: Decision | Mapping[str, Any],
    versions: Sequence[DatasetVersion],
    *,
    namespace: str,
    job: str,
    run_id: str,
    decision_index: int,
    decision_digest: str,
    checkpoint: tuple[int, str],
    permit_ids: Sequence[str] = (),
    ledger_origin: str = "",
    taggings: Mapping[str, Tagging] | None = None,
    mode: str = "enforce",
    override: int | None = None,
) -> dict[str, Any]:
    """Build the decision's own event: type OTHER at `decided_at`, equal inputs give equal events.

    Args:
        decision: the decision, or what its `to_dict` returned.
        versions: the dataset versions it is about.
        namespace: OpenLineage namespace of the job.
        job: OpenLineage name of the job.
        run_id: UUID of the run.
        decision_index: the decision's ledger entry.
        decision_digest: digest of that entry.
        checkpoint: ledger size and root (64 hex digits) the decision rests on.
        permit_ids: the permits it issued.
        ledger_origin: the ledger's name.
        taggings: what the ledger says of the versions' categories, by `DatasetVersion.key`.
        mode: the mode it was made in.
        override: ledger index of the break-glass that lets a block pass.

    Returns:
        The RunEvent, JSON-ready.
    """
    from gate.lineage.facets import DecisionRef, decision_facets

    fields = decision.to_dict() if isinstance(decision, Decision) else decision
    ref = DecisionRef(decision_index, decision_digest, checkpoint, ledger_origin, tuple(permit_ids), mode, override)
    run_facets, inputs = decision_facets(fields, versions, ref, taggings)
    return run_event(
        "OTHER", fields["decided_at"], namespace=namespace, job=job, run_id=run_id, run_facets=run_facets, inputs=inputs
    )


def run_event(
    event_type: str,
    event_time: str,
    *,
    namespace: str,
    job: str,
    run_id: str,
    run_facets: Mapping[str, Any],
    inputs: Sequence[Any] = (),
    outputs: Sequence[Any] = (),
) -> dict[str, Any]:
    """Build a RunEvent of what the functions of `gate.lineage.facets` return.

    Args:
        event_type: START, RUNNING, COMPLETE, ABORT, FAIL or OTHER.
        event_time: RFC 3339 date-time with zone.
        namespace: OpenLineage namespace of the job.
        job: OpenLineage name of the job.
        run_id: UUID of the run.
        run_facets: by key.
        inputs: input datasets.
        outputs: output datasets.

    Returns:
        The event, JSON-ready.
    """
    # Imported here: the service imports this module, and the client costs half a second.
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
    from openlineage.client.serde import Serde

    from gate.lineage.custom import PRODUCER

    event = RunEvent(
        eventType=RunState(event_type),
        eventTime=event_time,
        run=Run(run_id, dict(run_facets)),
        job=Job(namespace, job),
        inputs=list(inputs),
        outputs=list(outputs),
        producer=PRODUCER,
    )
    fields: dict[str, Any] = Serde.to_dict(event)
    return fields
