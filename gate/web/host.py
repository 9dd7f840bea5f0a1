"""What surrounds the pages: Airflow, when its plugin mounts them, or nothing but ourselves under `gate serve`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gate.api.auth import Principal
from gate.domain.run import TaskRun
from gate.web.tabs import run_path, task_path

Report = Mapping[str, Any]


def _unknown(_: TaskRun) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Host:
    """What surrounds the pages.

    Attributes:
        login: address of the log-in page that leads back to a path of ours; `None`: our own log-in page.
        airflow: what addresses of Airflow's own pages begin with; `""` on the same origin, `None` when there is none.
        coverage: what is known of training tasks, as far as the caller may see their DAGs; `None` when unknown here.
        parked: whether a gate task waits for a reviewer right now; where nobody knows, none does.
    """

    login: Callable[[str], str] | None = None
    airflow: str | None = None
    coverage: Callable[[Principal], Report] | None = None
    parked: Callable[[TaskRun], bool] = _unknown

    def task_url(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str | None:
        """Return Airflow's page of a task instance."""
        return None if self.airflow is None else self.airflow + task_path(dag_id, run_id, task_id, map_index)

    def run_url(self, dag_id: str, run_id: str) -> str | None:
        """Return Airflow's page of a DAG run."""
        return None if self.airflow is None else self.airflow + run_path(dag_id, run_id)

    def dag_url(self, dag_id: str) -> str | None:
        """Return Airflow's page of a DAG."""
        return None if self.airflow is None else f"{self.airflow}/dags/{quote(dag_id, safe='')}"


ALONE = Host()
