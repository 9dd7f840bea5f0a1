"""The lock: a training task redeems a permit before its first line runs, whatever happened to the gate task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import DecoratedOperator, task_decorator_factory
from airflow.providers.standard.operators.python import PythonOperator

from gate.airflow.context import WORKER, airflow_errors, rendered, task_run
from gate.airflow.hook import DEFAULT_CONNECTION, open_gate
from gate.domain.dataset import Dataset
from gate.domain.decision import WantedUse
from gate.domain.words import TRAINING_PURPOSES
from gate.errors import InputError

if TYPE_CHECKING:
    from gate.airflow.granted import GrantedPermit

PERMIT = "permit"  # key in the task's context, and name of the argument that receives the permit


class TrainingGuard:
    """Runs before a training task and redeems its permit; raises unless everything still holds.

    Args:
        reads: the datasets the task reads.
        use: what it trains for.
        author_hook: the author's own `pre_execute`, which runs afterwards.
        gate_conn_id: Airflow connection of the gate.
    """

    def __init__(
        self,
        reads: Sequence[Dataset],
        use: WantedUse,
        author_hook: Callable[[Any], Any] | None = None,
        gate_conn_id: str = DEFAULT_CONNECTION,
    ) -> None:
        if use.purpose not in TRAINING_PURPOSES:
            raise InputError(
                f"{use.purpose} is not a training purpose",
                where="use",
                hint="one of: " + ", ".join(sorted(TRAINING_PURPOSES)),
            )
        if not reads:
            raise InputError("a training task must name the datasets it reads", where="reads")
        self.reads = tuple(reads)
        self.use = use
        self.author_hook = author_hook
        self.gate_conn_id = gate_conn_id

    def __call__(self, context: Any) -> None:
        """Redeem, put the permit into the context, then run the author's hook."""
        context[PERMIT] = self.redeem(context)
        if self.author_hook is not None:
            self.author_hook(context)

    def redeem(self, context: Any) -> GrantedPermit:
        """Redeem the run's permit.

        Raises:
            AirflowFailException: refused; never retried.
            AirflowException: cannot tell now; retried.
        """
        from gate.airflow.granted import GrantedPermit
        from gate.service.redeeming import redeem

        run = task_run(context)
        with airflow_errors(), open_gate(self.gate_conn_id) as service:
            reads = rendered(context["task"], self.reads, context)
            redeemed = redeem(service, run, reads, self.use, by=WORKER)
            return GrantedPermit(redeemed, dict(zip(self.reads, reads, strict=True)), self.gate_conn_id)


def guard_of(task: Any) -> TrainingGuard | None:
    """Return the guard of a training task, mapped ones included; `None` for any other task."""
    partial = getattr(task, "partial_kwargs", None)
    hook = partial.get("pre_execute") if isinstance(partial, Mapping) else getattr(task, "_pre_execute_hook", None)
    return hook if isinstance(hook, TrainingGuard) else None


def mark_training(
    task: Any, *, reads: Sequence[Dataset], use: WantedUse, gate_conn_id: str = DEFAULT_CONNECTION
) -> Any:
    """Put the lock in front of any operator, or of an operator's `.partial(...)` before it is expanded.

    Args:
        task: an operator, or what `Operator.partial(...)` returned.
        reads: the datasets it reads.
        use: what it trains for.
        gate_conn_id: Airflow connection of the gate.

    Returns:
        The same task.

    Raises:
        InputError: a use that is no training purpose, or no datasets.
    """
    kwargs = getattr(task, "kwargs", None)
    if isinstance(kwargs, dict):
        kwargs["pre_execute"] = TrainingGuard(reads, use, kwargs.get("pre_execute"), gate_conn_id)
    else:
        task._pre_execute_hook = TrainingGuard(reads, use, task._pre_execute_hook, gate_conn_id)
    return task


class TrainingOperator(DecoratedOperator, PythonOperator):
    """What `@training` makes of a function: it runs only with a redeemed permit, which it receives as `permit`."""

    custom_operator_name = "@training"
    template_fields: Sequence[str] = ("templates_dict", "op_args", "op_kwargs")
    template_fields_renderers: ClassVar[dict[str, str]] = {"templates_dict": "json", "op_args": "py", "op_kwargs": "py"}
    ui_color = "#e8f1ea"

    def __init__(self, *, python_callable: Callable[..., Any], op_args: Any, op_kwargs: Any, **kwargs: Any) -> None:
        if PERMIT in inspect.signature(python_callable).parameters:
            op_kwargs = {PERMIT: None, **(op_kwargs or {})}
        self.op_kwargs: dict[str, Any]
        super().__init__(
            kwargs_to_upstream={"python_callable": python_callable, "op_args": op_args, "op_kwargs": op_kwargs},
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            **kwargs,
        )
        self._granted: GrantedPermit | None = None

    def execute(self, context: Any) -> Any:
        """Run the function with its permit; without a guard in front there is none, and nothing runs."""
        granted = context.get(PERMIT)
        if granted is None:
            from airflow.sdk.exceptions import AirflowFailException

            raise AirflowFailException("the training guard was removed from this task: nothing runs without a permit")
        self._granted = granted
        if PERMIT in self.op_kwargs:
            self.op_kwargs = {**self.op_kwargs, PERMIT: granted}
        return super().execute(context)

    def get_openlineage_facets_on_start(self) -> Any:
        """Name the declared inputs."""
        from gate.airflow.lineage import declared_inputs

        guard = guard_of(self)
        return declared_inputs(guard.reads if guard else ())

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002
        """Name the permitted inputs and the models that were produced."""
        from gate.airflow.lineage import training_lineage

        return training_lineage(self._granted) if self._granted else self.get_openlineage_facets_on_start()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Name what was permitted, if anything was; a refused training names its declared inputs only."""
        return self.get_openlineage_facets_on_complete(task_instance)


def training(
    python_callable: Callable[..., Any] | None = None,
    *,
    reads: Sequence[Dataset],
    use: WantedUse,
    gate_conn_id: str = DEFAULT_CONNECTION,
    **kwargs: Any,
) -> Any:
    """Make a training task of a function; it may take an argument `permit`.

    Args:
        python_callable: the function, when used without parentheses.
        reads: the datasets it reads; `permit.open(dataset)` gives exactly the permitted version.
        use: what it trains for; see `gate.airflow.use`.
        gate_conn_id: Airflow connection of the gate.
        **kwargs: as for `@task`.

    Raises:
        InputError: a use that is no training purpose, or no datasets.
    """
    author_hook = kwargs.pop("pre_execute", None)
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=TrainingOperator,
        pre_execute=TrainingGuard(reads, use, author_hook, gate_conn_id),
        **kwargs,
    )
