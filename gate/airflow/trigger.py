"""Wakes a waiting sensor when the ledger has grown, or after its interval (a consent may take effect by time alone)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from gate.airflow.hook import open_gate

LOOK_EVERY = 5.0  # seconds between looks at the ledger's size


class LedgerTrigger(BaseTrigger):
    """Fires once the ledger holds more than `size` entries, or `interval` seconds have passed.

    Args:
        size: entries the sensor has seen.
        interval: longest wait in seconds.
        gate_conn_id: Airflow connection of the gate.
    """

    def __init__(self, size: int, interval: float, gate_conn_id: str) -> None:
        super().__init__()
        self.size = size
        self.interval = interval
        self.gate_conn_id = gate_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        arguments = {"size": self.size, "interval": self.interval, "gate_conn_id": self.gate_conn_id}
        return "gate.airflow.trigger.LedgerTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the ledger's size now and then."""
        waited = 0.0
        while waited < self.interval:
            pause = min(LOOK_EVERY, self.interval - waited)
            await asyncio.sleep(pause)
            waited += pause
            size = await asyncio.to_thread(self._ledger_size)
            if size > self.size:
                break
        yield TriggerEvent({"waited": waited})

    def _ledger_size(self) -> int:
        with open_gate(self.gate_conn_id) as service:
            return service.ledger_size()
