"""What stands in front of every training task of a DAG: one judgement, for the cluster policy and the coverage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from gate.airflow.decorator import TrainingOperator
from gate.airflow.guard import TrainingGuard, guard_of
from gate.airflow.operators import ConsentGateOperator, TagDatasetOperator
from gate.airflow.recognition import Exemption, Rules, operator_class
from gate.airflow.sensor import ConsentSensor
from gate.domain.decision import WantedUse
from gate.domain.words import TRAINING_PURPOSES

Status = Literal["gated", "guarded", "ungated", "exempt"]

_OURS = (ConsentGateOperator, TagDatasetOperator, ConsentSensor)
# Airflow calls these before the guard or to find it; an operator that has its own can lead past it.
_INTERNALS = ("__getattribute__", "__copy__", "__reduce__", "__reduce_ex__", "prepare_for_execution")


@dataclass(frozen=True, slots=True)
class Finding:
    """One training task, and what is in front of it.

    Attributes:
        how: what says that it trains: `@training`, `mark_training`, or a rule.
        status: `gated` a gate of the same use upstream; `guarded` the lock only, its gate stands in another DAG;
            `ungated` neither, or the lock cannot stand there; `exempt` by the rules file.
        gate: the gate; `DAG:TASK` when it stands in another DAG.
        problem: why it is ungated.
        fix: the lines to add.
        guard: the guard that stands in front, or that a rule's task still has to get.
    """

    dag_id: str
    task_id: str
    operator: str
    how: str
    status: Status
    gate: str | None = None
    problem: str | None = None
    fix: tuple[str, ...] = ()
    exemption: Exemption | None = None
    guard: TrainingGuard | None = None


def judge(dag: Any, rules: Rules, now: datetime) -> list[Finding]:
    """Judge every training task of a DAG."""
    return [found for task in dag.tasks if (found := _judge_task(dag, task, rules, now)) is not None]


def gates_of(dag: Any) -> list[Any]:
    """Return the consent gates of a DAG; a mapped gate is none: it would overrule itself."""
    return [task for task in dag.tasks if isinstance(task, ConsentGateOperator)]


def _judge_task(dag: Any, task: Any, rules: Rules, now: datetime) -> Finding | None:
    operator = operator_class(task)
    name = operator.__name__
    guard = guard_of(task)
    marked = issubclass(operator, TrainingOperator)
    if guard is not None or marked:
        how = "@training" if marked else "mark_training"
        problem = _cannot_stand(task, operator)
        if guard is None:
            problem = "its guard was taken away"
        if problem:
            return Finding(dag.dag_id, task.task_id, name, how, "ungated", problem=problem)
        assert guard is not None
        return _judge_marked(dag, task, guard, name, how)
    if any(operator is ours for ours in _OURS) or _never_runs(task):
        return None
    rule = rules.recognise(dag, task)
    if rule is None:
        return None
    if exemption := rules.exemption(dag.dag_id, task.task_id, now):
        return Finding(dag.dag_id, task.task_id, name, str(rule), "exempt", exemption=exemption)
    return _judge_found(dag, task, name, str(rule))


def _judge_marked(dag: Any, task: Any, guard: TrainingGuard, operator: str, how: str) -> Finding:
    def finding(status: Status, **fields: Any) -> Finding:
        return Finding(dag.dag_id, task.task_id, operator, how, status, guard=guard, **fields)

    upstream = [gate for gate in _gates_upstream(task) if gate.use == guard.use]
    if guard.gated_by is None:
        if upstream:
            return finding("gated", gate=", ".join(sorted(gate.task_id for gate in upstream)))
        return finding("ungated", problem=_no_gate(task, _use(guard.use)), fix=_two_lines(task, guard.use))
    if upstream:
        problem = f"it has the gate {upstream[0].task_id} upstream and names {guard.gated_by}: only one can permit"
        return finding("ungated", problem=problem, fix=("# remove gated_by=..., or the arrow from the gate upstream",))
    if not _asset_triggered(dag):
        problem = f"it names the gate {guard.gated_by} of another DAG, but its own DAG is not scheduled on assets"
        fix = ("schedule=[Asset(...)]  # of this DAG: what the gate's DAG produces after its gate",)
        return finding("ungated", problem=problem, fix=fix)
    return finding("guarded", gate=guard.gated_by)


def _judge_found(dag: Any, task: Any, operator: str, how: str) -> Finding:
    """Judge a task that only a rule finds: its one gate upstream says what it reads and what for."""

    def finding(status: Status, **fields: Any) -> Finding:
        return Finding(dag.dag_id, task.task_id, operator, how, status, **fields)

    if problem := _cannot_stand(task, operator_class(task)):
        return finding("ungated", problem=problem)
    gates = [gate for gate in _gates_upstream(task) if gate.use.purpose in TRAINING_PURPOSES]
    if len(gates) == 1:
        (gate,) = gates
        guard = TrainingGuard(gate.datasets, gate.use, gate.gate_conn_id)
        return finding("gated", gate=gate.task_id, guard=guard)
    if gates:
        names = ", ".join(sorted(gate.task_id for gate in gates))
        fix = tuple(_mark(task, gate.use) for gate in gates)
        return finding("ungated", problem=f"it has several consent gates upstream ({names}): say which is its", fix=fix)
    fix = (
        *_two_lines(task, None),
        "# or, when the gate stands in the DAG whose assets trigger this one:",
        _mark(task, None, gated_by="dag_id:gate_task_id"),
    )
    return finding("ungated", problem=_no_gate(task, "to train"), fix=fix)


def _gates_upstream(task: Any) -> list[Any]:
    return [other for other in task.get_flat_relatives(upstream=True) if isinstance(other, ConsentGateOperator)]


def _asset_triggered(dag: Any) -> bool:
    from airflow.sdk.definitions.timetables.assets import AssetTriggeredTimetable

    return isinstance(dag.timetable, AssetTriggeredTimetable)


def _cannot_stand(task: Any, operator: type) -> str | None:
    """Say why no guard can stand in front of a task; `None` where one can."""
    if getattr(operator, "is_stub", False):
        return "@task.stub runs in a worker of another language, where no guard can stand"
    if getattr(task, "start_from_trigger", False):
        return "start_from_trigger starts it in the triggerer, where no guard can stand: set start_from_trigger=False"
    if _never_runs(task):
        return "Airflow marks it successful without sending it to a worker, so it cannot train: lock the task that does"
    if task.queue in _foreign_queues():
        return f"the queue {task.queue} leads to a worker of another language, where no guard can stand"
    for name in _INTERNALS:
        owner = next((base for base in operator.__mro__ if name in vars(base)), object)
        if owner is not object and not owner.__module__.startswith("airflow.sdk."):
            return f"{owner.__name__} overrides {name}, which can lead past the guard"
    return None


def _never_runs(task: Any) -> bool:
    """Say whether Airflow's scheduler ends the task by itself (`TaskInstance.is_schedulable`)."""
    sent = task.has_on_execute_callback or task.has_on_success_callback or task.outlets or task.inlets
    return bool(task.inherits_from_empty_operator and not sent)


def _foreign_queues() -> Sequence[str]:
    from airflow.configuration import conf

    return tuple(conf.getjson("sdk", "queue_to_coordinator", fallback={}) or ())


def _no_gate(task: Any, wanted: str) -> str:
    problem = "it trains without a consent gate upstream"
    others = ", ".join(f"{gate.task_id} is for {_use(gate.use)}" for gate in _gates_upstream(task))
    return f"{problem} that asks for the same use: {others}; it wants {wanted}" if others else problem


def _two_lines(task: Any, use: WantedUse | None) -> tuple[str, str]:
    gate = f'gate = ConsentGateOperator(task_id="consent_gate", datasets=[...], use={_use(use)})'
    return gate, f"gate >> {_variable(task)}"


def _mark(task: Any, use: WantedUse | None, gated_by: str | None = None) -> str:
    declared = f', gated_by="{gated_by}"' if gated_by else ""
    return f"mark_training({_variable(task)}, reads=[...], use={_use(use)}{declared})"


def _use(use: WantedUse | None) -> str:
    if use is None:
        return 'use("train", feature=..., model=...)'
    feature, model = (json.dumps(value) if value is not None else "None" for value in (use.feature, use.model))
    return f'use("{use.purpose}", feature={feature}, model={model})'


def _variable(task: Any) -> str:
    label: str = task.label
    return label if label.isidentifier() else "task"


def explain(finding: Finding) -> str:
    """Write an ungated finding as text: the problem, then the lines to add."""
    return "\n".join(_lines(finding))


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.dag_id}.{finding.task_id} ({finding.how}): {finding.problem}"
    if finding.fix:
        yield "Add:"
        yield from (f"    {line}" for line in finding.fix)
