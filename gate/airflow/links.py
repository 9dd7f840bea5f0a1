"""The button on a gate task that leads to its decision."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink

from gate.airflow.address import base_path
from gate.web.tabs import tab_path as tab_path  # for whoever links to a tab from here


class DecisionLink(BaseOperatorLink):
    """Leads from a gate task instance to our tab beside it, or to the decision service's own page."""

    name = "Consent decision"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address of the decision's page."""
        map_index = getattr(ti_key, "map_index", -1)
        if remote := os.environ.get("GATE_URL"):
            wanted = {"dag_id": ti_key.dag_id, "run_id": ti_key.run_id, "task_id": operator.task_id}
            return f"{remote.rstrip('/')}/ui/run?{urlencode(wanted | {'map_index': map_index})}"
        return base_path() + tab_path(ti_key.dag_id, ti_key.run_id, operator.task_id, map_index)
