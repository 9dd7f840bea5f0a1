"""Finds recorded decisions, their permits, and the accounts they concern."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from gate.domain.canonical import canonical, sha256_hex
from gate.domain.run import TaskRun
from gate.ledger.store import Entry, Question, Reader
from gate.service.outcome import Outcome, consumer_names

# What follows a gate's task id where one try decides more than once; Airflow's ids hold no "#".
SUBSET = "#subset"  # about the consented subset
CHECK = "#check-"  # … and a number: anew, after a reviewer's answer


def gate_of(run: TaskRun) -> TaskRun:
    """Return the try of the gate task itself, whichever of its decisions this is the run of."""
    return replace(run, task_id=run.task_id.partition("#")[0])


def checked_run(run: TaskRun, number: int) -> TaskRun:
    """Return the run under which a gate's try decides anew after the answer to its question of this number."""
    return replace(run, task_id=f"{gate_of(run).task_id}{CHECK}{number}")


def permit_subject(
    dag_id: str, run_id: str, task_id: str, *, gate_dag_id: str | None = None, decision_index: int | None = None
) -> str:
    """Return the ledger subject of a permit, or without an index the prefix of all of a task's permits.

    Args:
        dag_id: DAG of the task that may train.
        run_id: its run; with `gate_dag_id`, the run of that DAG.
        task_id: the task that may train.
        gate_dag_id: DAG of the gate, when it is another one.
        decision_index: the decision the permit rests on.
    """
    names = [dag_id, run_id, task_id, *([gate_dag_id] if gate_dag_id is not None else [])]
    prefix = canonical(names).decode() + "/"
    return prefix if decision_index is None else f"{prefix}{decision_index}"


def run_prefix(dag_id: str, run_id: str) -> str:
    """Return what the ledger subjects of everything that tries of one run asked begin with."""
    return canonical([dag_id, run_id]).decode()[:-1] + ","


def read_outcome(reader: Reader, entry: Entry) -> Outcome:
    """Return a recorded decision with its permits."""
    run = TaskRun.from_dict(entry.body["run"])
    consumers = entry.body["consumers"]
    elsewhere = [(dag_id, task_id) for dag_id, task_id in entry.body.get("elsewhere", ())]
    subjects = [permit_subject(run.dag_id, run.run_id, task, decision_index=entry.idx) for task in consumers]
    subjects += [
        permit_subject(dag_id, run.run_id, task, gate_dag_id=run.dag_id, decision_index=entry.idx)
        for dag_id, task in elsewhere
    ]
    names = consumer_names(consumers, elsewhere)
    found = {
        name: permit.body
        for name, subject in zip(names, subjects, strict=True)
        if (permit := reader.find("permit", subject))
    }
    return Outcome(
        record=entry.body,
        index=entry.idx,
        digest=sha256_hex(entry.payload),
        permits={name: body["envelope"] for name, body in found.items()},
        permit_ids=tuple(body["permit_id"] for body in found.values()),
    )


def recorded_decision(reader: Reader, run: TaskRun) -> Outcome | None:
    """Return what was decided for this very try, if it asked before."""
    entry = reader.find("decision", run.key)
    return None if entry is None else read_outcome(reader, entry)


def decision_of_run(reader: Reader, dag_id: str, run_id: str) -> Outcome | None:
    """Return the newest decision of a DAG run."""
    entry = reader.latest("decision", run_prefix(dag_id, run_id))
    return None if entry is None else read_outcome(reader, entry)


def refusal_of_run(reader: Reader, dag_id: str, run_id: str) -> Entry | None:
    """Return the newest refused redemption of a DAG run."""
    return reader.latest("refusal", run_prefix(dag_id, run_id))


def deciding_again(decision: Entry) -> Question:
    """Ask for the decisions since one by the same gate task, among others of its run; see `decided_again`."""
    gate = TaskRun.from_dict(decision.body["run"])
    return Question("decision", subject_prefix=run_prefix(gate.dag_id, gate.run_id), start=decision.idx + 1)


def decided_again(decision: Entry, newer: Iterable[Entry]) -> bool:
    """Whether its gate task has one of these newer decisions: about the whole, its subset, or after a review."""
    return any(_gate_instance(entry.subject) == _gate_instance(decision.subject) for entry in newer)


def _gate_instance(subject: str) -> tuple[object, ...]:
    """Return the gate's task instance, of any try, from the subject of one of its decisions."""
    dag_id, run_id, task_id, map_index, _ = json.loads(subject)
    return dag_id, run_id, task_id.partition("#")[0], map_index


def lacking_accounts(reader: Reader, entry: Entry) -> list[tuple[int, list[tuple[str | None, int]]]]:
    """Return, per finding number, the accounts with the most rows; an erased account is `None`."""
    content = reader.attachment(entry.body["detail"])
    detail = json.loads(content) if content else []
    return [(top["finding"], [(reader.open_ref(ref), rows) for ref, rows in top["accounts"]]) for top in detail]
