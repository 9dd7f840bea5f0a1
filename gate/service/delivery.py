"""Takes the outbox's events into the lineage store, and hands them to the transport that is configured beside it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from gate.errors import GateError
from gate.ledger.store import OutboxEvent
from gate.lineage.observed import observe
from gate.lineage.relay import TransportUnusable, deliver, transport_beside_store
from gate.service.core import Service

BATCH = 100  # events a call hands over; the next call goes on

_log = logging.getLogger(__name__)


def deliver_outbox(service: Service) -> int:
    """Try once to bring pending events to the store, then to the configured transport; no backend makes it fail.

    An event leaves the outbox when the store has it, and the transport too if one is configured.

    Returns:
        How many events left it.
    """
    pending = service.ledger.pending_outbox(BATCH)
    if not pending or not _kept(service, pending):
        return 0
    done = [row.id for row in pending]
    try:
        transport = transport_beside_store()
    except TransportUnusable as error:
        _log.error("the OpenLineage transport cannot be set up, events wait in the outbox: %s", error)
        return 0
    if transport is not None:
        results = deliver([(row.id, json.loads(row.event)) for row in pending], transport)
        done = [result.id for result in results if result.error is None]
        for result in results:
            if result.error is not None:
                service.ledger.mark_failed(result.id, result.error)
    service.ledger.mark_sent(done)
    return len(done)


def _kept(service: Service, pending: Sequence[OutboxEvent]) -> bool:
    try:
        service.intake.keep([observe(json.loads(row.event)) for row in pending])
    except (GateError, OSError) as error:
        _log.error("the lineage store takes no events, they wait in the outbox: %s", error)
        return False
    return True
