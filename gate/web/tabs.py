"""Addresses of our pages inside Airflow's UI; pure, for whoever must name them: links, messages, the demo."""

from __future__ import annotations

from urllib.parse import quote, urlencode

PREFIX = "/gate"  # where Airflow mounts our app
NAVIGATION, DAG_TAB, RUN_TAB, TASK_TAB = "consent-gate", "consent-gate-dag", "consent-gate-run", "consent-gate-task"


def decisions_path() -> str:
    """Return the path, in Airflow's UI, of the list of decisions."""
    return f"/plugin/{NAVIGATION}"


def lineage_path(node: str, direction: str) -> str:
    """Return the path, in Airflow's UI, of the lineage graph of a node.

    Behind the name of the view stands the address that Airflow's frame is to open; this one is of an Airflow at the
    root of its host.
    """
    asked = urlencode({"node": node, "direction": direction}, safe=":")
    return f"/plugin/{NAVIGATION}{PREFIX}/ui/lineage?{asked}"


def run_path(dag_id: str, run_id: str) -> str:
    """Return the path of Airflow's page of a DAG run."""
    return f"/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


def task_path(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """Return the path of Airflow's page of a task instance."""
    mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
    return f"{run_path(dag_id, run_id)}/tasks/{quote(task_id, safe='')}{mapped}"


def tab_path(dag_id: str, run_id: str, task_id: str | None = None, map_index: int = -1) -> str:
    """Return the path, in Airflow's UI, of our tab of a DAG run or of a task instance of it."""
    if task_id is None:
        return f"{run_path(dag_id, run_id)}/plugin/{RUN_TAB}"
    return f"{task_path(dag_id, run_id, task_id, map_index)}/plugin/{TASK_TAB}"
