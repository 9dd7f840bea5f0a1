"""Cluster policy: a training task without gate and guard never gets into the DAG bag, in any process of Airflow."""

from __future__ import annotations

import sys
from typing import Any

from airflow.configuration import conf
from airflow.policies import hookimpl

import gate.airflow.settled  # noqa: F401  remembers where the ledger is, before any DAG file can say otherwise
from gate.airflow.preload import preload

preload()

# Airflow imports this module when it starts, before any DAG file runs: what a DAG file does to its environment
# afterwards changes nothing.
_RULES_FILE: str = conf.get("consent_gate", "training_rules", fallback="") or ""


@hookimpl
def dag_policy(dag: Any) -> None:
    """Reject a DAG whose training tasks are not gated; put the guard before those that only a rule finds.

    What stands in front of each task it also writes on the task, for the coverage page. Runs in the DAG processor at
    every parse, and again in each worker before a task starts.

    Raises:
        AirflowClusterPolicyViolation: shown as an import error, with the lines to add.
    """
    from airflow.exceptions import AirflowClusterPolicyViolation

    from gate.airflow.recognition import read_rules
    from gate.errors import GateError

    try:
        rules = read_rules(_RULES_FILE)
    except GateError as error:
        raise AirflowClusterPolicyViolation(f"nothing is accepted: {error}") from None
    if not rules.training and "gate.airflow.guard" not in sys.modules:
        return  # nothing here can be marked, and no rule finds anything: DAGs of others cost no import
    from gate.airflow.guard import guard_of, put_guard
    from gate.airflow.judging import explain, judge
    from gate.airflow.notes import leave_note
    from gate.domain.instants import utc_now

    findings = judge(dag, rules, utc_now())
    if ungated := [found for found in findings if found.status == "ungated"]:
        raise AirflowClusterPolicyViolation("\n".join(explain(found) for found in ungated))
    for found in findings:
        task = dag.get_task(found.task_id)
        if found.guard is not None and guard_of(task) is None:
            put_guard(task, found.guard)
        leave_note(task, found)


def rules_file() -> str:
    """Return the path of the rules file that this process of Airflow goes by; empty when there is none."""
    return _RULES_FILE
