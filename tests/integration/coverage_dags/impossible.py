"""Training tasks behind a gate that the guard nevertheless cannot stand in front of."""

import copy
from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator, task
from airflow.triggers.base import StartTriggerArgs
from planted import DATA, USE, marked, unmarked

from gate.airflow import ConsentGateOperator, training
from gate.airflow.decorator import TrainingOperator
from support.training_shapes import BashOperator, PodOperator


class InTheTriggerer(BaseOperator):
    start_from_trigger = True
    start_trigger_args = StartTriggerArgs(
        trigger_cls="airflow.providers.standard.triggers.temporal.TimeDeltaTrigger",
        trigger_kwargs={"delta": timedelta(seconds=1)},
        next_method="execute_complete",
    )

    def __init__(self, *, image="trainer", **kwargs):
        super().__init__(**kwargs)
        self.image = image

    def execute_complete(self, context, event=None): ...


class Disguised(PodOperator):
    def __getattribute__(self, name):
        return None if name == "_pre_execute_hook" else super().__getattribute__(name)


class Swapped(PodOperator):
    def prepare_for_execution(self):
        return PodOperator(task_id="another")


class Copied(PodOperator):
    def __copy__(self):
        return copy.copy(PodOperator(task_id="another"))


def nothing(context): ...


def stub():
    @task.stub(queue="elsewhere")
    def train(): ...

    return train()


def in_the_triggerer_by_argument():
    train = PodOperator(task_id="train")
    train.start_from_trigger = True
    return train


IMPOSSIBLE = {
    "in_the_triggerer": lambda: InTheTriggerer(task_id="train"),
    "in_the_triggerer_mapped": lambda: InTheTriggerer.partial(task_id="train").expand(image=["a"]),
    "in_the_triggerer_by_argument": in_the_triggerer_by_argument,
    "stub": stub,
    "foreign_queue": lambda: BashOperator(task_id="train", bash_command="true", queue="java"),
    "foreign_queue_mapped": lambda: BashOperator.partial(task_id="train", queue="java").expand(bash_command=["true"]),
    "disguised": lambda: Disguised(task_id="train"),
    "swapped": lambda: Swapped(task_id="train"),
    "copied": lambda: Copied(task_id="train"),
}
for name, build in IMPOSSIBLE.items():
    for prefix, lock in (("impossible", marked), ("found_impossible", unmarked)):
        with DAG(f"{prefix}_{name}", schedule=None, tags=["find-me"] if lock is unmarked else []) as dag:
            ConsentGateOperator(task_id="consent_gate", datasets=[DATA], use=USE) >> lock(build())
        globals()[dag.dag_id] = dag

with DAG("impossible_empty", schedule=None):
    ConsentGateOperator(task_id="consent_gate", datasets=[DATA], use=USE) >> marked(EmptyOperator(task_id="train"))

with DAG("possible_empty_with_callback", schedule=None):
    sent = EmptyOperator(task_id="train", on_execute_callback=nothing)
    ConsentGateOperator(task_id="consent_gate", datasets=[DATA], use=USE) >> marked(sent)

with DAG("nothing_to_find_in_empty", schedule=None, tags=["find-me"]):
    EmptyOperator(task_id="train")

with DAG("impossible_unlocked", schedule=None):

    @training(reads=[DATA], use=USE)
    def train(permit): ...

    gate = ConsentGateOperator(task_id="consent_gate", datasets=[DATA], use=USE)
    gate >> train()
    gate.dag.get_task("train").__class__ = TrainingOperator
