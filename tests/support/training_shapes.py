"""Every shape a training task can have in a DAG file; each leaves a mark (a file) when its training code runs.

A shape is a function that builds the task inside a DAG and puts `lock` around it; it returns what must come after the
gate. `MARKS/{dag_id}.{task_id}{map_index}` exists once training code ran.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import BaseOperator, BaseSensorOperator, TriggerRule, setup, task, task_group

MARKS = Path(os.environ.get("GATE_HOME", "/nowhere")) / "marks"
MARK = f"touch {MARKS}/{{{{ dag.dag_id }}}}.{{{{ ti.task_id }}}}{{{{ ti.map_index }}}}"
ALWAYS = TriggerRule.ALL_DONE  # the lock alone decides, whatever became of the gate
Lock = Callable[[Any], Any]


def leave_mark(context: Any, what: str = "") -> None:
    """Do what training would do: something that can be seen afterwards."""
    ti = context["ti"]
    (MARKS / f"{ti.dag_id}.{ti.task_id}{ti.map_index}{what}").write_text("trained")


class PodOperator(BaseOperator):
    """Stands for KubernetesPodOperator, DockerOperator, SSHOperator: trains by an author's `execute`."""

    def __init__(self, *, image: str = "trainer", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image = image

    def execute(self, context: Any) -> None:
        leave_mark(context)


class DeferringOperator(BaseOperator):
    """Submits a job, waits in the triggerer, and trains when it is resumed."""

    def execute(self, context: Any) -> None:
        from datetime import timedelta

        from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

        leave_mark(context, "-submitted")
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=2)), method_name="execute_complete")

    def execute_complete(self, context: Any, event: Any = None) -> None:
        leave_mark(context)


class EagerOperator(BaseOperator):
    """Its author trains in `pre_execute` already."""

    def pre_execute(self, context: Any) -> None:
        leave_mark(context)

    def execute(self, context: Any) -> None:
        leave_mark(context)


class HidingOperator(BaseOperator):
    """Its author hides the hook that Airflow runs before a task."""

    @property
    def _pre_execute_hook(self) -> None:
        return None

    @_pre_execute_hook.setter
    def _pre_execute_hook(self, hook: Any) -> None: ...

    def execute(self, context: Any) -> None:
        leave_mark(context)


class PollingSensor(BaseSensorOperator):
    """Waits for a training service; a sensor has an `execute` and a resumption of its own."""

    def poke(self, context: Any) -> bool:
        leave_mark(context)
        return True


def pod(lock: Lock) -> Any:
    return lock(PodOperator(task_id="train", trigger_rule=ALWAYS))


def pod_mapped(lock: Lock) -> Any:
    return lock(PodOperator.partial(task_id="train", trigger_rule=ALWAYS)).expand(image=["a", "b"])


def marked_after_expand(lock: Lock) -> Any:
    return lock(PodOperator.partial(task_id="train", trigger_rule=ALWAYS).expand(image=["a", "b"]))


def mapped_over_the_hook(lock: Lock) -> Any:
    partial = lock(PodOperator.partial(task_id="train", trigger_rule=ALWAYS))
    return partial.expand_kwargs([{"image": "a", "pre_execute": None}], strict=False)


def bash(lock: Lock) -> Any:
    return lock(BashOperator(task_id="train", bash_command=MARK, trigger_rule=ALWAYS))


def bash_mapped(lock: Lock) -> Any:
    return lock(BashOperator.partial(task_id="train", trigger_rule=ALWAYS)).expand(bash_command=[MARK, MARK])


def bash_decorated(lock: Lock) -> Any:
    @task.bash(trigger_rule=ALWAYS)
    def train() -> str:
        return MARK

    return lock(train())


def python(lock: Lock) -> Any:
    return lock(PythonOperator(task_id="train", python_callable=_python, trigger_rule=ALWAYS))


def _python(**context: Any) -> None:
    leave_mark(context)


def decorated(lock: Lock) -> Any:
    return lock(_train())


def marked_before_call(lock: Lock) -> Any:
    return lock(_train.override(task_id="train"))()


def decorated_mapped(lock: Lock) -> Any:
    return lock(_train.expand(fold=[1, 2]))


def decorated_expand_kwargs(lock: Lock) -> Any:
    return lock(_train.expand_kwargs([{"fold": 1}, {"fold": 2}]))


def mapped_over_results(lock: Lock) -> Any:
    @task(trigger_rule=ALWAYS)
    def folds() -> list[int]:
        return [1, 2]

    first = folds()
    lock(_train.expand(fold=first))
    return first


@task(task_id="train", trigger_rule=ALWAYS)
def _train(fold: int = 0, **context: Any) -> None:
    leave_mark(context)


def in_group(lock: Lock) -> Any:
    @task_group
    def work() -> None:
        bash(lock)

    return work()


def in_mapped_group(lock: Lock) -> Any:
    @task_group
    def work(fold: int) -> None:
        bash(lock)

    return work.expand(fold=[1, 2])


def as_setup(lock: Lock) -> Any:
    train = lock(BashOperator(task_id="train", bash_command=MARK, trigger_rule=ALWAYS)).as_setup()
    train >> BashOperator(task_id="afterwards", bash_command="true")
    return train


def as_setup_in_context(lock: Lock) -> Any:
    @setup
    @task(trigger_rule=ALWAYS)
    def train(**context: Any) -> None:
        leave_mark(context)

    first = lock(train())
    with first:
        BashOperator(task_id="afterwards", bash_command="true")
    return first


def as_teardown(lock: Lock) -> Any:
    work = BashOperator(task_id="work", bash_command="true", trigger_rule=ALWAYS)
    work >> lock(BashOperator(task_id="train", bash_command=MARK)).as_teardown()
    return work


def deferring(lock: Lock) -> Any:
    return lock(DeferringOperator(task_id="train", trigger_rule=ALWAYS))


def sensor(lock: Lock) -> Any:
    return lock(PollingSensor(task_id="train", mode="reschedule", poke_interval=1, trigger_rule=ALWAYS))


def with_author_hook(lock: Lock) -> Any:
    def hook(context: Any) -> None:
        leave_mark(context, "-hook")

    return lock(PodOperator(task_id="train", pre_execute=hook, trigger_rule=ALWAYS))


def with_generator_hook(lock: Lock) -> Any:
    def hook(context: Any) -> Any:
        leave_mark(context, "-hook")
        yield from ()

    return lock(PodOperator(task_id="train", pre_execute=hook, trigger_rule=ALWAYS))


def hook_reassigned(lock: Lock) -> Any:
    train = lock(PodOperator(task_id="train", trigger_rule=ALWAYS))
    train._pre_execute_hook = None
    return train


def execute_reassigned(lock: Lock) -> Any:
    train = lock(PodOperator(task_id="train", trigger_rule=ALWAYS))
    train.execute = leave_mark
    return train


def hook_hidden(lock: Lock) -> Any:
    return lock(HidingOperator(task_id="train", trigger_rule=ALWAYS))


def eager(lock: Lock) -> Any:
    return lock(EagerOperator(task_id="train", trigger_rule=ALWAYS))


SHAPES: dict[str, Callable[[Lock], Any]] = {
    shape.__name__: shape
    for shape in (
        pod,
        pod_mapped,
        marked_after_expand,
        mapped_over_the_hook,
        bash,
        bash_mapped,
        bash_decorated,
        python,
        decorated,
        marked_before_call,
        decorated_mapped,
        decorated_expand_kwargs,
        mapped_over_results,
        in_group,
        in_mapped_group,
        as_setup,
        as_setup_in_context,
        as_teardown,
        deferring,
        sensor,
        with_author_hook,
        with_generator_hook,
        hook_reassigned,
        execute_reassigned,
        hook_hidden,
        eager,
    )
}
MAPPED = {  # shape: how many instances train
    "pod_mapped": 2,
    "marked_after_expand": 2,
    "mapped_over_the_hook": 1,
    "bash_mapped": 2,
    "decorated_mapped": 2,
    "decorated_expand_kwargs": 2,
    "mapped_over_results": 2,
    "in_mapped_group": 2,
}
