"""Cluster policy: a training task without a gate in front of it never gets into the DAG bag."""

from __future__ import annotations

from typing import Any

from airflow.policies import hookimpl


@hookimpl
def dag_policy(dag: Any) -> None:
    """Reject a DAG in which a training task has no consent gate upstream that asks for the same use.

    Raises:
        AirflowClusterPolicyViolation: shown as an import error, with the lines to add.
    """
    from gate.airflow.guard import guard_of

    guards = {task.task_id: guard for task in dag.tasks if (guard := guard_of(task)) is not None}
    for task_id, guard in guards.items():
        gates = [t for t in dag.get_task(task_id).get_flat_relatives(upstream=True) if _is_gate(t)]
        if not any(getattr(gate, "use", None) == guard.use for gate in gates):
            _reject(dag.dag_id, task_id, guard)


def _is_gate(task: Any) -> bool:
    return getattr(task, "task_type", None) == "ConsentGateOperator"


def _reject(dag_id: str, task_id: str, guard: Any) -> None:
    from airflow.exceptions import AirflowClusterPolicyViolation

    use = f'use("{guard.use.purpose}", feature={guard.use.feature!r}, model={guard.use.model!r})'
    raise AirflowClusterPolicyViolation(
        f"{dag_id}.{task_id} trains without a consent gate upstream. Add:\n"
        f'    gate = ConsentGateOperator(task_id="consent_gate", datasets=[...], use={use})\n'
        f"    gate >> {task_id}"
    )
