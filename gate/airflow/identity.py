"""Who is really running: asks the task's supervisor, not the task, whether Airflow runs this try now.

A task that a scheduler started has a supervisor in another process, which holds a token of Airflow's execution API for
that task instance alone. `dag.test()`, `airflow dags test` and `airflow tasks test` run the task inside the caller's
own process; nobody scheduled it. What the context of a task says of itself is never taken as an answer, only as a hint
which assets to ask about.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gate.domain.run import Confirmed, TaskRun
from gate.errors import CannotDecide, PermitRefused

if TYPE_CHECKING:
    from airflow.sdk.execution_time.comms import CommsDecoder

ASSET_TRIGGERED = "asset_triggered"
TEST_USER = "dag_test"  # whom Airflow names as the trigger of `dag.test()`, also with use_executor=True
MARGIN = timedelta(seconds=1)  # around the time of an asset event, when it is looked up


def confirm_running(run: TaskRun) -> Confirmed:
    """Ask the supervisor of this process whether the try is running, in a run that no test started.

    The execution API does not tell try numbers: that a try is the newest one is the scheduler's doing, who starts no
    other.

    Raises:
        PermitRefused: `permit_mismatch`: no scheduler started this, or it is not running (any more).
        CannotDecide: Airflow does not answer.
    """
    from airflow.sdk.execution_time.comms import GetDagRun, GetTaskStates

    supervisor = _supervisor()
    dag_run = _ask(supervisor, GetDagRun(dag_id=run.dag_id, run_id=run.run_id))
    if dag_run.triggering_user_name == TEST_USER:
        raise _refused("its run is a test")
    if dag_run.state != "running":
        raise _refused(f"its run is not running but {_word(dag_run.state)}")
    asked = GetTaskStates(dag_id=run.dag_id, map_index=run.map_index, task_ids=[run.task_id], run_ids=[run.run_id])
    states = _ask(supervisor, asked).task_states.get(run.run_id, {})
    state = states.get(run.task_id if run.map_index < 0 else f"{run.task_id}_{run.map_index}")
    if state != "running":
        raise _refused(f"Airflow says it is not running but {_word(state)}")
    if dag_run.run_type != ASSET_TRIGGERED:
        return Confirmed()
    return Confirmed(tuple(dict.fromkeys(_sources(supervisor, run))))


def _supervisor() -> CommsDecoder[Any, Any]:
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import CommsDecoder

    supervisor = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if type(supervisor) is not CommsDecoder:  # `dag.test()` puts another class there
        raise _refused("no scheduler started it")
    return supervisor


def _ask(supervisor: CommsDecoder[Any, Any], question: Any) -> Any:
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        answer = supervisor.send(question)
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") == 404:
            raise _refused("Airflow does not know its run") from None
        raise _silent(error.error.error.value) from None
    except (OSError, EOFError) as error:
        raise _silent(type(error).__name__) from None
    if answer is None:
        raise _silent("an empty answer")
    return answer


def _sources(supervisor: CommsDecoder[Any, Any], run: TaskRun) -> Iterator[tuple[str, str]]:
    """Yield the runs whose tasks emitted the events that Airflow says triggered ours.

    An event that was made through the REST API has no source, and counts for nothing.
    """
    from airflow.sdk.execution_time.comms import GetAssetEventByAsset

    for (name, uri), times in _hinted_assets().items():
        asked = GetAssetEventByAsset(name=name, uri=uri, after=min(times) - MARGIN, before=max(times) + MARGIN)
        for event in _ask(supervisor, asked).asset_events:
            ours = any((made.dag_id, made.run_id) == (run.dag_id, run.run_id) for made in event.created_dagruns)
            if ours and event.source_dag_id and event.source_run_id and event.source_task_id:
                yield event.source_dag_id, event.source_run_id


def _hinted_assets() -> dict[tuple[str, str], list[Any]]:
    from airflow.sdk import get_current_context

    found: dict[tuple[str, str], list[Any]] = {}
    for event in get_current_context()["dag_run"].consumed_asset_events:
        found.setdefault((event.asset.name, event.asset.uri), []).append(event.timestamp)
    return found


def _word(state: Any) -> str:
    return "unknown" if state is None else str(getattr(state, "value", state))


def _refused(why: str) -> PermitRefused:
    return PermitRefused(
        f"only a task that Airflow's scheduler started may train: {why}",
        hint="trigger the DAG in Airflow; dag.test(), `airflow dags test` and `airflow tasks test` never train",
        reason="permit_mismatch",
    )


def _silent(what: str) -> CannotDecide:
    return CannotDecide(
        f"the task's supervisor does not say whether it is running: {what}", where="Airflow", reason="cannot_decide"
    )
