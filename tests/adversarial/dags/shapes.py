"""Every shape of training task behind one gate: with consent all train, without it none does.

All of them start whatever became of the gate (`all_done`), so that the lock alone decides. The DAGs `found_*` hold
tasks that nobody marked: with `training-rules.yaml` the cluster policy puts the guard before them.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import TaskGroup

from gate.airflow import mark_training
from support.attack_lab import USE, a_dag, data, gate, withdraw
from support.training_shapes import ALWAYS, SHAPES, DeferringOperator

FOUND = ("pod", "pod_mapped", "mapped_over_the_hook", "bash_decorated", "deferring", "hook_hidden", "eager")


class WithdrawnMeanwhile(DeferringOperator):
    """The account takes its consent back while the job runs elsewhere."""

    def execute(self, context: Any) -> None:
        withdraw("withdrawn_between")
        super().execute(context)


for outcome in ("good", "bad"):
    of = data(outcome)

    def locked(task: Any, of: Any = of) -> Any:
        return mark_training(task, reads=[of], use=USE)

    with a_dag(f"shapes_{outcome}") as dag:
        ask = gate(of)
        for name, shape in SHAPES.items():
            with TaskGroup(name):
                ask >> shape(locked)
    globals()[dag.dag_id] = dag

    with a_dag(f"found_{outcome}", tags=["find-me"]) as dag:
        ask = gate(of)
        for name in FOUND:
            with TaskGroup(name):
                ask >> SHAPES[name](lambda task: task)
    globals()[dag.dag_id] = dag

with a_dag("resumed_after_withdrawal") as resumed_after_withdrawal:
    owned = data("withdrawn_between")
    train = WithdrawnMeanwhile(task_id="train", trigger_rule=ALWAYS)
    gate(owned) >> mark_training(train, reads=[owned], use=USE)
