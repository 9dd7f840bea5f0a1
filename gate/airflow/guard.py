"""The lock: a training task redeems a permit before its first line runs, and ends well only with its models attested.

The lock is a subclass of the operator's own class, made for the task. Its `_pre_execute_hook` is a data descriptor, so
Airflow's task runner finds the guard there in the first try, in retries and after a deferral; and whatever an author
assigns, passes, maps over or overrides runs after it or not at all.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gate.airflow.context import WORKER, airflow_errors, rendered, task_run
from gate.airflow.hook import DEFAULT_CONNECTION, open_gate
from gate.airflow.recognition import operator_class
from gate.domain.dataset import Dataset
from gate.domain.decision import WantedUse
from gate.domain.words import TRAINING_PURPOSES
from gate.errors import InputError

if TYPE_CHECKING:
    from gate.airflow.granted import GrantedPermit

PERMIT = "permit"  # key in the task's context, and name of the argument that receives the permit
_HOOK = "_pre_execute_hook"  # where the task runner looks, before `execute` and before `resume_execution`
_GUARD = "consent_guard"
_GATE = re.compile(r"[\w.-]+:[\w.-]+")


class TrainingGuard:
    """Stands before a training task and redeems its permit; raises unless everything still holds.

    Args:
        reads: the datasets the task reads.
        use: what it trains for.
        gate_conn_id: Airflow connection of the gate.
        gated_by: `DAG:TASK` of the gate in the DAG whose assets trigger this one; default: a gate upstream.
    """

    def __init__(
        self,
        reads: Sequence[Dataset],
        use: WantedUse,
        gate_conn_id: str = DEFAULT_CONNECTION,
        gated_by: str | None = None,
    ) -> None:
        if use.purpose not in TRAINING_PURPOSES:
            raise InputError(
                f"{use.purpose} is not a training purpose",
                where="use",
                hint="one of: " + ", ".join(sorted(TRAINING_PURPOSES)),
            )
        if not reads:
            raise InputError("a training task must name the datasets it reads", where="reads")
        if gated_by is not None and not _GATE.fullmatch(gated_by):
            raise InputError(f"{gated_by!r} names no gate", where="gated_by", hint="like features:consent_gate")
        self.reads = tuple(reads)
        self.use = use
        self.gate_conn_id = gate_conn_id
        self.gated_by = gated_by
        self._granted: GrantedPermit | None = None

    def stand(self, context: Any) -> None:
        """Redeem and put the permit into the context, unless this very guard already did so.

        Raises:
            AirflowFailException: refused; never retried.
            AirflowException: cannot tell now; retried.
        """
        if self._granted is None or context.get(PERMIT) is not self._granted:
            self._granted = context[PERMIT] = self.redeem(context)

    def attested(self, work: Callable[[], Any]) -> Any:
        """Do the task's work, then have attested what it produced; a failure attests nothing.

        Work that goes on in another process after a deferral is attested so far: that process knows nothing of it.

        Raises:
            AirflowFailException: refused; never retried.
            AirflowException: cannot be attested now; retried, and trained anew.
        """
        from airflow.sdk.exceptions import TaskAwaitingInput, TaskDeferred

        assert self._granted is not None, "the guard stood"
        try:
            result = work()
        except (TaskDeferred, TaskAwaitingInput):
            self._granted.attest()
            raise
        self._granted.attest()
        return result

    def redeem(self, context: Any) -> GrantedPermit:
        """Redeem the run's permit.

        Raises:
            AirflowFailException: refused; never retried.
            AirflowException: cannot tell now; retried.
        """
        from gate.airflow.granted import GrantedPermit
        from gate.airflow.settled import check_settled
        from gate.service.worker import redeem

        run = task_run(context)
        with airflow_errors():
            check_settled(self.gate_conn_id)
        with airflow_errors(), open_gate(self.gate_conn_id) as service:
            reads = rendered(context["task"], self.reads, context)
            redeemed = redeem(service, run, reads, self.use, by=WORKER)
            return GrantedPermit(redeemed, dict(zip(self.reads, reads, strict=True)), self.gate_conn_id)


def guard_of(task: Any) -> TrainingGuard | None:
    """Return the guard that stands in front of a task, mapped ones included; `None` where none does."""
    return _guard_in(operator_class(task))


def _guard_in(operator: type) -> TrainingGuard | None:
    """Return the guard of a locked class: only where the lock comes before any override does it stand."""
    for base in operator.__mro__:
        if _HOOK in vars(base):
            guard = vars(base).get(_GUARD)
            return guard if vars(base)[_HOOK] is _LOCK and isinstance(guard, TrainingGuard) else None
    return None


def lock(operator: type, guard: TrainingGuard) -> type:
    """Return a subclass of an operator class, of the same name, with the guard in front.

    Raises:
        InputError: there is a guard already.
    """
    if _guard_in(operator) is not None:
        raise InputError("a task is marked as training once", where=operator.__name__)
    base: Any = operator

    def execute(self: Any, context: Any) -> Any:
        guard.stand(context)  # again, for a task that another task calls instead of Airflow
        return guard.attested(lambda: base.execute(self, context))

    def resume_execution(self: Any, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        guard.stand(context)
        return guard.attested(lambda: base.resume_execution(self, next_method, next_kwargs, context))

    names = {name: getattr(base, name) for name in ("__module__", "__qualname__", "__doc__")}
    body = {_HOOK: _LOCK, _GUARD: guard, "execute": execute, "resume_execution": resume_execution}
    locked: type = type(base)(base.__name__, (base,), {**names, **body})
    return locked


def _before(task: Any, context: Any) -> None:
    """Redeem, then run what the author gave as `pre_execute`."""
    guard = guard_of(task)
    assert guard is not None
    guard.stand(context)
    hook = vars(task).get(_HOOK) or getattr(super(_locked_class(task), task), _HOOK, None)
    if hook is not None:
        from airflow.sdk.execution_time.callback_runner import create_executable_runner

        create_executable_runner(hook, context["outlet_events"], logger=task.log).run(context)


def _locked_class(task: Any) -> type:
    return next(base for base in type(task).__mro__ if vars(base).get(_HOOK) is _LOCK)


def _get_hook(task: Any) -> Callable[[Any], None]:
    return functools.partial(_before, task)


def _set_hook(task: Any, hook: Callable[[Any], Any] | None) -> None:
    vars(task)[_HOOK] = hook  # the author's: it runs after ours


_LOCK = property(_get_hook, _set_hook)


def put_guard(task: Any, guard: TrainingGuard) -> None:
    """Put a guard in front of an operator, a mapped one, `Operator.partial(...)` or what `@task` made of a function."""
    from airflow.sdk import BaseOperator

    if isinstance(task, BaseOperator):
        object.__setattr__(task, "__class__", lock(type(task), guard))
    elif isinstance(getattr(task, "operator_class", None), type):
        task.operator_class = lock(task.operator_class, guard)
    else:
        raise InputError(f"a {type(task).__name__} is not a task", where="mark_training")


def mark_training(
    task: Any,
    *,
    reads: Sequence[Dataset],
    use: WantedUse,
    gated_by: str | None = None,
    gate_conn_id: str = DEFAULT_CONNECTION,
) -> Any:
    """Put the lock in front of any task.

    Args:
        task: an operator, what `Operator.partial(...)` or `.expand(...)` returned, a function under `@task`, or what
            calling it returned.
        reads: the datasets it reads.
        use: what it trains for.
        gated_by: `DAG:TASK` of the gate, when it stands in the DAG whose assets trigger this one.
        gate_conn_id: Airflow connection of the gate.

    Returns:
        The same task.

    Raises:
        InputError: a use that is no training purpose, no datasets, not a task, or marked before.
    """
    from airflow.sdk import XComArg

    put_guard(
        task.operator if isinstance(task, XComArg) else task,
        TrainingGuard(reads, use, gate_conn_id, gated_by),
    )
    return task
