"""DAGs of every shape the operators must handle, in the embedded mode and with a decision service."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, TriggerRule

from gate.airflow import ConsentGateOperator, ConsentSensor, TagDatasetOperator, dataset, mark_training, training, use
from gate.domain.dataset import Dataset

HOME = Path(os.environ["GATE_HOME"])
LAKE, MARKS = HOME / "lake", HOME / "marks"
USE = use("train", feature="meeting_summary", model="ms-1")
SCANNING = use("train", feature="spam_scanning", model="ss-1")
GOOD = dataset(str(LAKE / "good.jsonl"), "account_id")
HALF = dataset(str(LAKE / "half.jsonl"), "account_id")
BAD = dataset(str(LAKE / "bad.jsonl"), "account_id")


def a_dag(name: str) -> DAG:
    return DAG(name, schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC))


def tag_and_gate(data: Dataset, conn: str = "gate_default", **gate: Any) -> ConsentGateOperator:
    tag = TagDatasetOperator(task_id="tag", dataset=data, declare=["chat"], gate_conn_id=conn)
    asked = {"task_id": "consent_gate", "datasets": [data], "use": USE, "gate_conn_id": conn}
    operator = ConsentGateOperator(**(asked | gate))
    tag >> operator
    return operator


def training_task(dag: DAG, data: Dataset, conn: str = "gate_default", **kwargs: Any) -> Any:
    dag_id = dag.dag_id

    @training(**({"reads": [data], "use": USE, "gate_conn_id": conn} | kwargs))
    def train(permit, fold: int = 0):
        with permit.open(data) as opened:
            rows = len(opened.pandas())
        permit.check()
        (MARKS / f"{dag_id}-{fold}").write_text(str(rows))
        return rows

    return train


def simple(name: str, data: Dataset, conn: str = "gate_default", **gate: Any) -> DAG:
    with a_dag(name) as dag:
        tag_and_gate(data, conn, **gate) >> training_task(dag, data, conn)()
    return dag


def without_a_word(name: str, conn: str) -> DAG:
    """The gate asks the embedded ledger, which says yes; training asks somebody else."""
    with a_dag(name) as dag:
        tag_and_gate(GOOD) >> training_task(dag, GOOD, conn)()
    return dag


def mapped() -> DAG:
    with a_dag("mapped") as dag:
        tag_and_gate(GOOD) >> training_task(dag, GOOD).expand(fold=[1, 2])
    return dag


def broken_glass() -> DAG:
    """What the policy leaves open, and two people let pass for this run."""
    with a_dag("broken_glass") as dag:
        tag_and_gate(GOOD, use=SCANNING) >> training_task(dag, GOOD, use=SCANNING)()
    return dag


def bash(name: str, data: Dataset, mapped_over: list[str] | None = None) -> DAG:
    with a_dag(name):
        gate = tag_and_gate(data, trigger_rule=TriggerRule.ALL_DONE)
        anyway = {"task_id": "train", "trigger_rule": TriggerRule.ALL_DONE}
        if mapped_over is None:
            operator = BashOperator(bash_command=f"touch {MARKS}/{name}-0", **anyway)
            task = mark_training(operator, reads=[data], use=USE)
        else:
            commands = [f"touch {MARKS}/{name}-{fold}" for fold in mapped_over]
            partial = mark_training(BashOperator.partial(**anyway), reads=[data], use=USE)
            task = partial.expand(bash_command=commands)
        gate >> task
    return gate.dag


def author_hook() -> DAG:
    def note(context: Any) -> None:
        (MARKS / "author_hook-hook").write_text("permit" if "permit" in context else "no permit")

    with a_dag("author_hook") as dag:
        tag_and_gate(GOOD) >> training_task(dag, GOOD, pre_execute=note)()
    return dag


def sensor(name: str, data: Dataset, deferrable: bool, conn: str = "gate_default") -> DAG:
    with a_dag(name) as dag:
        tag = TagDatasetOperator(task_id="tag", dataset=data, declare=["chat"], gate_conn_id=conn)
        wait = ConsentSensor(
            task_id="wait",
            datasets=[data],
            use=USE,
            deferrable=deferrable,
            poke_interval=1,
            timeout=3,
            retries=0,
            gate_conn_id=conn,
        )
        tag >> wait
    return dag


for made in (
    simple("allowed", GOOD),
    simple("blocked", BAD, retries=3),
    simple("subset", HALF, on_block="subset"),
    mapped(),
    broken_glass(),
    bash("bash", GOOD),
    bash("bash_blocked", BAD),
    bash("bash_mapped", GOOD, ["1", "2"]),
    bash("bash_mapped_blocked", BAD, ["1", "2"]),
    author_hook(),
    sensor("sensor", GOOD, deferrable=False),
    sensor("sensor_deferred", GOOD, deferrable=True),
    sensor("sensor_times_out", BAD, deferrable=False),
    sensor("deferred_times_out", BAD, deferrable=True),
    simple("remote_allowed", GOOD, "gate_remote"),
    simple("remote_blocked", BAD, "gate_remote"),
    simple("remote_subset", HALF, "gate_remote", on_block="subset"),
    sensor("remote_sensor", GOOD, deferrable=True, conn="gate_remote"),
    without_a_word("service_down", "gate_down"),
    without_a_word("service_lying", "gate_lying"),
    without_a_word("service_of_others", "gate_remote"),
    simple("observed", BAD),
):
    globals()[made.dag_id] = made
