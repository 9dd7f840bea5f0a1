"""DAG files whose author tries to get past the lock by overriding what Airflow calls."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import TriggerRule

from gate.airflow import mark_training
from support.attack_lab import USE, a_dag, data, gate, leave_mark, mark_command, train

BAD = data("bad")
ANYWAY = TriggerRule.ALL_DONE


def nothing(*_: Any, **__: Any) -> None:
    """Does nothing, in place of a guard."""


class OwnExecute(BashOperator):
    def execute(self, context: Any) -> Any:
        leave_mark()


class OwnPreExecute(BashOperator):
    def pre_execute(self, context: Any) -> None:
        leave_mark("pre")


class HookOfItsOwn(BashOperator):
    """Answers every question for the hook with one that does nothing."""

    @property
    def _pre_execute_hook(self) -> Any:
        return nothing

    @_pre_execute_hook.setter
    def _pre_execute_hook(self, hook: Any) -> None:
        pass


class Late(BashOperator):
    """Takes the hook away in the worker, after every policy has looked."""

    def render_template_fields(self, context: Any, *args: Any, **kwargs: Any) -> None:
        super().render_template_fields(context, *args, **kwargs)
        self._pre_execute_hook = None
        self.__dict__["_pre_execute_hook"] = None


class Resuming(BashOperator):
    def resume_execution(self, *_: Any, **__: Any) -> Any:
        leave_mark()

    execute = resume_execution


def locked(name: str, operator: type[BashOperator], **kwargs: Any) -> Any:
    task = operator(task_id="train", bash_command=mark_command(name), trigger_rule=ANYWAY, **kwargs)
    return mark_training(task, reads=[BAD], use=USE)


for name, operator in {
    "own_execute": OwnExecute,
    "own_pre_execute": OwnPreExecute,
    "hook_of_its_own": HookOfItsOwn,
    "hook_taken_late": Late,
    "own_resume": Resuming,
}.items():
    with a_dag(name) as dag:
        gate(BAD) >> locked(name, operator)
    globals()[name] = dag

with a_dag("pre_execute_given") as pre_execute_given:
    gate(BAD) >> locked("pre_execute_given", BashOperator, pre_execute=lambda context: leave_mark("pre"))

with a_dag("hook_removed") as hook_removed:
    gate(BAD) >> train(BAD, trigger_rule=ANYWAY)()
hook_removed.get_task("train")._pre_execute_hook = None

with a_dag("hook_replaced") as hook_replaced:
    gate(BAD) >> locked("hook_replaced", BashOperator)
hook_replaced.get_task("train")._pre_execute_hook = nothing
hook_replaced.get_task("train").pre_execute = nothing

with a_dag("execute_replaced") as execute_replaced:
    gate(BAD) >> locked("execute_replaced", BashOperator)
execute_replaced.get_task("train").execute = lambda context: leave_mark()

with a_dag("mapped_hook_removed") as mapped_hook_removed:
    partial = mark_training(BashOperator.partial(task_id="train", trigger_rule=ANYWAY), reads=[BAD], use=USE)
    gate(BAD) >> partial.expand(bash_command=[mark_command("mapped_hook_removed")] * 2)
mapped_hook_removed.get_task("train").partial_kwargs["pre_execute"] = None
mapped_hook_removed.get_task("train").partial_kwargs["_pre_execute_hook"] = None
