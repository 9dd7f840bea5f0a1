"""`@training`: makes a locked task of a function, and hands the function its permit."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import DecoratedOperator, task_decorator_factory
from airflow.providers.standard.operators.python import PythonOperator

from gate.airflow.guard import PERMIT, TrainingGuard, guard_of, lock
from gate.airflow.hook import DEFAULT_CONNECTION
from gate.domain.dataset import Dataset
from gate.domain.decision import WantedUse

if TYPE_CHECKING:
    from gate.airflow.granted import GrantedPermit


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
    gated_by: str | None = None,
    gate_conn_id: str = DEFAULT_CONNECTION,
    **kwargs: Any,
) -> Any:
    """Make a training task of a function; it may take an argument `permit`.

    Args:
        python_callable: the function, when used without parentheses.
        reads: the datasets it reads; `permit.open(dataset)` gives exactly the permitted version.
        use: what it trains for; see `gate.airflow.use`.
        gated_by: `DAG:TASK` of the gate, when it stands in the DAG whose assets trigger this one.
        gate_conn_id: Airflow connection of the gate.
        **kwargs: as for `@task`.

    Raises:
        InputError: a use that is no training purpose, or no datasets.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=lock(TrainingOperator, TrainingGuard(reads, use, gate_conn_id, gated_by)),
        **kwargs,
    )
