"""Whether a gate waits for a reviewer right now: Airflow's word, for our pages in its API server."""

from __future__ import annotations

from gate.domain.run import TaskRun


def is_parked(run: TaskRun) -> bool:
    """Whether the task instance is in Airflow's state *awaiting input*."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState

    with create_session() as session:
        found = TaskInstance.get_task_instance(
            dag_id=run.dag_id, run_id=run.run_id, task_id=run.task_id, map_index=run.map_index, session=session
        )
        return found is not None and found.state == TaskInstanceState.AWAITING_INPUT
