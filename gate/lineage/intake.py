"""Accepts events for the store: durable when it returns, and never for longer than a task may be kept waiting."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from threading import Lock
from typing import Literal

from gate.errors import LineageUnavailable
from gate.lineage.observed import Observed
from gate.lineage.spool import Spool
from gate.lineage.store.database import LineageStore, open_store
from gate.lineage.store.ingest import store_events

PATIENCE = 2.0  # seconds to wait for the store before an event goes into the spool
FOLDER = "lineage"  # below GATE_HOME

Accepted = Literal["new", "known", "spooled"]

_log = logging.getLogger(__name__)


class Intake:
    """The way into a store, with a spool beside it. For many threads; after a fork it opens the store anew.

    Args:
        url: of the store.
        home: GATE_HOME.
        patience: seconds.
    """

    def __init__(self, url: str, home: Path, *, patience: float = PATIENCE) -> None:
        self.spool = Spool(home / FOLDER)
        self._url = url
        self._patience = patience
        self._lock = Lock()
        self._opened: tuple[int, LineageStore] | None = None

    def accept(self, observed: Observed) -> Accepted:
        """Keep one event: in the store, or in the spool while that cannot be written or still holds earlier ones.

        Raises:
            InputError: the URL names no store.
            OSError: neither the store nor the spool can be written.
        """
        if not self.spool.holds():
            try:
                new, _ = store_events(self.store(), [observed])
            except LineageUnavailable as error:
                _log.warning("an event goes into the spool: %s", error)
                self.spool.rest()
            else:
                return "new" if new else "known"
        self.spool.append(observed.raw)
        self.catch_up()
        return "spooled"

    def keep(self, events: list[Observed]) -> None:
        """Put events into the store, after what waits in the spool.

        Raises:
            InputError: the URL names no store.
            LineageUnavailable: it cannot be written now; nothing is spooled.
        """
        self.catch_up()
        store_events(self.store(), events)

    def catch_up(self) -> None:
        """Take in a small spool, if the store can be written; what stays is for later."""
        if not self.spool.holds() or self.spool.rests():
            return
        try:
            self.spool.take_in_small(self.store())
        except (LineageUnavailable, OSError) as error:
            _log.info("the spool stays as it is: %s", error)
            self.spool.rest()

    def store(self) -> LineageStore:
        """Return the open store.

        Raises:
            InputError: the URL names no store.
            LineageUnavailable: it cannot be opened now.
        """
        with self._lock:
            if self._opened is not None and self._opened[0] != os.getpid():
                self._opened[1].engine.dispose(close=False)  # the connections are the parent's
                self._opened = None
            if self._opened is None:
                self._opened = os.getpid(), open_store(self._url, wait=self._patience)
            return self._opened[1]

    def close(self) -> None:
        """Release the store."""
        with self._lock:
            if self._opened is not None and self._opened[0] == os.getpid():
                self._opened[1].close()
            self._opened = None
