"""What a task knows of itself, in our words; and our errors, in Airflow's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gate.domain.dataset import Dataset
from gate.domain.run import TaskRun
from gate.errors import CannotDecide, GateError

if TYPE_CHECKING:
    from logging import Logger

    from gate.service.outcome import LineageRun

LOG_EVERY = 30.0  # seconds
WORKER = "service:airflow"  # the identity that tags, decides and redeems from tasks


def task_run(context: Mapping[str, Any]) -> TaskRun:
    """Return the running task instance's try."""
    ti = context["ti"]
    return TaskRun(ti.dag_id, ti.run_id, ti.task_id, ti.map_index if ti.map_index is not None else -1, ti.try_number)


def rendered(task: Any, datasets: Sequence[Dataset], context: Mapping[str, Any]) -> list[Dataset]:
    """Render Jinja in dataset URIs (`.../{{ ds }}`); locators are never templates."""
    return [replace(dataset, uri=task.render_template(dataset.uri, context)) for dataset in datasets]


def lineage_run(context: Mapping[str, Any]) -> LineageRun | None:
    """Return the OpenLineage job and run of the task, as Airflow's provider names them; `None` without the provider."""
    from gate.service.outcome import LineageRun

    try:
        from airflow.providers.openlineage.plugins import macros
    except ImportError:
        return None
    ti = context["ti"]
    return LineageRun(macros.lineage_job_namespace(), macros.lineage_job_name(ti), macros.lineage_run_id(ti))


@contextmanager
def logged_scans(log: Logger) -> Iterator[None]:
    """Write into a task's log, every half minute, how far looking at data has come."""
    from gate.scan.progress import Progress, told

    began = last = time.monotonic()
    doing = ("", 0)

    def write(now: Progress) -> None:
        nonlocal began, last, doing
        moment = time.monotonic()
        if (now.doing, now.total) != doing:
            doing, began, last = (now.doing, now.total), moment, moment
        elif moment - last >= LOG_EVERY and now.total:
            last = moment
            log.info("%s: %.0f %%, %s", now.doing, 100 * now.done / now.total, now.rate(moment - began))

    with told(write):
        yield


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn our errors into Airflow's: a no fails without retries, "cannot tell now" fails with retries (invariant 2).

    Messages carry no personal data: OpenLineage's `errorMessage` facet repeats them.
    """
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    try:
        yield
    except CannotDecide as error:
        raise AirflowException(f"cannot decide: {error}") from None
    except GateError as error:
        raise AirflowFailException(str(error)) from None
