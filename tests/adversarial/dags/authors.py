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


def locked(name: str, operator: Any = BashOperator, **kwargs: Any) -> Any:
    task = operator(task_id=name, bash_command=mark_command("overridden", name), trigger_rule=ANYWAY, **kwargs)
    return mark_training(task, reads=[BAD], use=USE)


with a_dag("overridden") as overridden:
    no = gate(BAD)
    for name, operator in {
        "own_execute": OwnExecute,
        "own_pre_execute": OwnPreExecute,
        "own_resume": Resuming,
        "hook_of_its_own": HookOfItsOwn,
        "hook_taken_late": Late,
    }.items():
        no >> locked(name, operator)
    no >> locked("pre_execute_given", pre_execute=lambda context: leave_mark("pre"))

    no >> train(BAD, task_id="hook_removed", trigger_rule=ANYWAY)()
    overridden.get_task("hook_removed")._pre_execute_hook = None

    hook_replaced = locked("hook_replaced")
    hook_replaced._pre_execute_hook = hook_replaced.pre_execute = nothing
    no >> hook_replaced

    execute_replaced = locked("execute_replaced")
    execute_replaced.execute = lambda context: leave_mark()
    no >> execute_replaced

    command = mark_command("overridden", "mapped_hook_removed")
    partial = BashOperator.partial(task_id="mapped_hook_removed", trigger_rule=ANYWAY)
    no >> mark_training(partial, reads=[BAD], use=USE).expand(bash_command=[command, command])
    overridden.get_task("mapped_hook_removed").partial_kwargs["pre_execute"] = None
