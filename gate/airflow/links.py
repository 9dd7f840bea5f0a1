"""The button on a gate task that leads to its decision (the page it opens comes with the review pages)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink


class DecisionLink(BaseOperatorLink):
    """Leads from a gate task instance to its log, where the decision stands in five lines."""

    name = "Consent decision"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address of the task instance's log in the Airflow UI."""
        mapped = f"/mapped/{ti_key.map_index}" if getattr(ti_key, "map_index", -1) >= 0 else ""
        run_id = quote(ti_key.run_id, safe="")
        return f"/dags/{quote(ti_key.dag_id, safe='')}/runs/{run_id}/tasks/{quote(operator.task_id, safe='')}{mapped}"
