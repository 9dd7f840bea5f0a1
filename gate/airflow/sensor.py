"""Waits until a use would be allowed: deferrable, issues no permit, and the gate still decides afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator

from gate.airflow.context import airflow_errors, rendered
from gate.airflow.engines import Engine, checked_engine, open_engine
from gate.airflow.hook import DEFAULT_CONNECTION, open_gate
from gate.domain.dataset import Dataset
from gate.domain.decision import WantedUse
from gate.errors import InputError


class ConsentSensor(BaseSensorOperator):
    """Succeeds once the gate would allow the use.

    Args:
        datasets: what the run will read; URIs may hold Jinja.
        use: what for.
        engine, spark_conn_id: what counts the rows, as for `ConsentGateOperator`.
        deferrable: wait in the triggerer, woken by new ledger entries (default), or poke from a worker.
        gate_conn_id: Airflow connection of the gate.
    """

    ui_color = "#f4e3c8"

    def __init__(
        self,
        *,
        datasets: Sequence[Dataset],
        use: WantedUse,
        deferrable: bool = True,
        engine: Engine = "duckdb",
        spark_conn_id: str | None = None,
        gate_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not datasets:
            raise InputError("a sensor must name the datasets it is for", where=f"{self.task_id}.datasets")
        self.datasets = list(datasets)
        self.use = use
        self.deferrable = deferrable
        self.engine = checked_engine(engine, spark_conn_id, f"{self.task_id}.engine")
        self.spark_conn_id = spark_conn_id
        self.gate_conn_id = gate_conn_id

    def execute(self, context: Any) -> Any:
        """Look once; while it would block, defer to the triggerer (or poke)."""
        if not self.deferrable:
            return super().execute(context)
        return self.execute_complete(context)

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Look again after the ledger grew or time passed."""
        size, allowed = self._look(context)
        if not allowed:
            from gate.airflow.trigger import LedgerTrigger

            self.defer(
                trigger=LedgerTrigger(size, self.poke_interval, self.gate_conn_id),
                method_name="execute_complete",
                timeout=timedelta(seconds=self.timeout),
            )

    def poke(self, context: Any) -> bool:
        """Say whether the use would be allowed now."""
        return self._look(context)[1]

    def _look(self, context: Any) -> tuple[int, bool]:
        from gate.domain.words import Verdict
        from gate.service.deciding import preview

        with airflow_errors(), open_gate(self.gate_conn_id) as service:
            spark = open_engine(self.engine, self.spark_conn_id)
            size, decision = preview(service, rendered(self, self.datasets, context), self.use, spark)
        self.log.info("would %s: %s", decision.verdict.value, ", ".join(decision.reasons) or "nothing is missing")
        return size, decision.verdict is Verdict.ALLOW
