"""The OpenLineage event of a published checkpoint: a JobEvent whose job carries the signed note."""

from __future__ import annotations

from typing import Any

import attr
from openlineage.client.event_v2 import Job, JobEvent
from openlineage.client.generated.base import JobFacet
from openlineage.client.serde import Serde

from gate.lineage.custom import PRODUCER

NAMESPACE, NAME = "consent-gate", "checkpoint"  # of the job
KEY = "gate_checkpoint"  # of the facet


@attr.define
class GateCheckpointJobFacet(JobFacet):  # type: ignore[misc]
    """Job facet `gate_checkpoint`: a signed checkpoint of the ledger. Fields as in its schema."""

    origin: str
    size: int
    root: str
    note: str

    @staticmethod
    def _get_schema() -> str:
        return "https://consent-gate.dev/spec/facets/1-0-0/GateCheckpointJobFacet.json#/$defs/GateCheckpointJobFacet"


def checkpoint_event(note: str, origin: str, size: int, root: bytes, event_time: str) -> dict[str, Any]:
    """Build the event; equal inputs give equal events.

    Args:
        note: the signed note.
        origin, size, root: what it says.
        event_time: RFC 3339, with a zone.

    Returns:
        The JobEvent, JSON-ready.
    """
    facet: Any = GateCheckpointJobFacet  # attrs builds its initialiser from bases the type checker does not follow
    said = facet(origin=origin, size=size, root=root.hex(), note=note, producer=PRODUCER)
    event = JobEvent(eventTime=event_time, job=Job(NAMESPACE, NAME, {KEY: said}), producer=PRODUCER)
    fields: dict[str, Any] = Serde.to_dict(event)
    return fields
