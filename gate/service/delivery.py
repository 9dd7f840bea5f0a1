"""Hand the outbox's events to the configured OpenLineage transport; what is not accepted stays in the outbox."""

from __future__ import annotations

import json

from gate.lineage.relay import configured_transport, deliver
from gate.service.core import Service

BATCH = 100  # events a call hands over; the next call goes on


def deliver_outbox(service: Service) -> int:
    """Try to deliver pending events once; never raises because of a backend.

    Returns:
        How many events a transport accepted; 0 when none is configured.
    """
    transport = configured_transport()
    if transport is None:
        return 0
    pending = service.ledger.pending_outbox(BATCH)
    results = deliver([(row.id, json.loads(row.event)) for row in pending], transport)
    accepted = [result.id for result in results if result.error is None]
    service.ledger.mark_sent(accepted)
    for result in results:
        if result.error is not None:
            service.ledger.mark_failed(result.id, result.error)
    return len(accepted)
