"""Who looked at account-level data: every such view is a ledger entry of its own, so that looking leaves a trace."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from gate.service.actors import recorded_actor
from gate.service.anchors import recording
from gate.service.core import Service


def record_access(
    service: Service, *, by: str, what: Mapping[str, Any], account_id: str | None = None, via: str = "ui"
) -> int:
    """Record that somebody is about to see account-level data; call it before anything is shown.

    Args:
        by: who looks; see `recorded_actor`.
        what: JSON-ready, without personal values: which page, of which decision or run.
        account_id: the account, when one was looked at by name; it becomes a reference if the ledger knows it.
        via: `ui`, or `api` for what is not a page.

    Returns:
        The ledger index.

    Raises:
        LedgerUnavailable: it cannot be recorded; then nothing may be shown.
    """
    with recording(service) as tx:
        ref = None if account_id is None else tx.ref("account", account_id)  # a guess at a name adds no reference
        body = {**what, "account_ref": ref}
        subject = uuid.uuid4().hex  # each view counts
        return tx.append("access", subject, body, recorded_at=service.now(tx), by=recorded_actor(tx, by), via=via)[
            0
        ].idx
