"""Opens the lineage store that belongs to a ledger."""

from __future__ import annotations

from gate.lineage.store import delivery
from gate.lineage.store.database import LineageStore, open_store
from gate.service.settings import Settings


def open_lineage(settings: Settings) -> LineageStore:
    """Open the lineage store, made on first use; close it, or use it as a context manager.

    Raises:
        InputError: `GATE_LINEAGE_URL` names no database that we can use.
        LineageUnavailable: it cannot be opened.
    """
    return open_store(settings.lineage_url)


def set_up_lineage(settings: Settings) -> None:
    """Make whatever tables the store and its relay need, as whoever may make tables.

    Raises:
        InputError, LineageUnavailable: as `open_lineage`.
    """
    with open_lineage(settings) as store:
        delivery.prepare(store)
