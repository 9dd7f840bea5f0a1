"""DAGs of every shape the operators must handle; as a script it runs them by `dag.test()` and prints the outcomes."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, TriggerRule

from gate.airflow import ConsentGateOperator, ConsentSensor, TagDatasetOperator, dataset, mark_training, training, use
from gate.domain.dataset import Dataset
from support.world import add_account, event, say

LAKE = Path(os.environ["GATE_HOME"]) / "lake"
USE = use("train", feature="meeting_summary", model="ms-1")
GOOD = dataset(str(LAKE / "good.jsonl"), "account_id")
HALF = dataset(str(LAKE / "half.jsonl"), "account_id")
BAD = dataset(str(LAKE / "bad.jsonl"), "account_id")
MARKS = Path(os.environ["GATE_HOME"]) / "marks"


def seed() -> None:
    """Record two accounts, one of which agreed, and write three files."""
    from gate.domain.words import Ownership
    from gate.service.consents import record_model
    from gate.service.core import open_service

    with open_service() as service:
        record_model(service, "ms-1", Ownership.FIRST_PARTY, ["meeting_summary"], "registry", by="eve", via="cli")
        for account in ("acme", "zeta"):
            add_account(service, account)
        say(service, event("acme"))
    LAKE.mkdir()
    MARKS.mkdir()
    for data, accounts in ((GOOD, ["acme"] * 3), (HALF, ["acme", "zeta"]), (BAD, ["zeta"])):
        lines = (json.dumps({"account_id": account, "text": "hello"}) for account in accounts)
        Path(data.name).write_text("".join(line + "\n" for line in lines), "utf-8")


def trained(dag_id: str) -> int:
    """Count how often the training code of a DAG ran."""
    return len(list(MARKS.glob(f"{dag_id}-*")))


def a_dag(name: str) -> DAG:
    return DAG(name, schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC))


def tag_and_gate(data: Dataset, **gate: Any) -> ConsentGateOperator:
    tag = TagDatasetOperator(task_id="tag", dataset=data, declare=["chat"])
    operator = ConsentGateOperator(task_id="consent_gate", datasets=[data], use=USE, **gate)
    tag >> operator
    return operator


def training_task(dag: DAG, data: Dataset, **kwargs: Any) -> Any:
    dag_id = dag.dag_id

    @training(reads=[data], use=USE, **kwargs)
    def train(permit, fold: int = 0):
        with permit.open(data) as opened:
            rows = len(opened.pandas())
        permit.check()
        (MARKS / f"{dag_id}-{fold}").write_text(str(rows))
        return rows

    return train


def simple(name: str, data: Dataset, **gate: Any) -> DAG:
    with a_dag(name) as dag:
        tag_and_gate(data, **gate) >> training_task(dag, data)()
    return dag


def mapped() -> DAG:
    with a_dag("mapped") as dag:
        tag_and_gate(GOOD) >> training_task(dag, GOOD).expand(fold=[1, 2])
    return dag


def permissive(name: str, rule: TriggerRule) -> DAG:
    with a_dag(name) as dag:
        tag_and_gate(BAD) >> training_task(dag, BAD, trigger_rule=rule)()
    return dag


def bash(name: str, data: Dataset, mapped_over: list[str] | None = None) -> DAG:
    with a_dag(name):
        gate = tag_and_gate(data, trigger_rule=TriggerRule.ALL_DONE)
        if mapped_over is None:
            task = mark_training(
                BashOperator(
                    task_id="train", bash_command=f"touch {MARKS}/{name}-0", trigger_rule=TriggerRule.ALL_DONE
                ),
                reads=[data],
                use=USE,
            )
        else:
            partial = BashOperator.partial(task_id="train", trigger_rule=TriggerRule.ALL_DONE)
            commands = [f"touch {MARKS}/{name}-{fold}" for fold in mapped_over]
            task = mark_training(partial, reads=[data], use=USE).expand(bash_command=commands)
        gate >> task
    return gate.dag


def author_hook() -> DAG:
    def note(context: Any) -> None:
        (MARKS / "author_hook-hook").write_text("permit" if "permit" in context else "no permit")

    with a_dag("author_hook") as dag:
        tag_and_gate(GOOD) >> training_task(dag, GOOD, pre_execute=note)()
    return dag


def guard_removed() -> DAG:
    with a_dag("guard_removed") as dag:
        tag_and_gate(GOOD) >> training_task(dag, GOOD)()
    dag.get_task("train")._pre_execute_hook = None
    return dag


def sensor(name: str, data: Dataset, deferrable: bool) -> DAG:
    with a_dag(name) as dag:
        tag = TagDatasetOperator(task_id="tag", dataset=data, declare=["chat"])
        wait = ConsentSensor(
            task_id="wait", datasets=[data], use=USE, deferrable=deferrable, poke_interval=1, timeout=3, retries=0
        )
        tag >> wait
    return dag


def run(dag: DAG, **how: Any) -> dict[str, Any]:
    """Run a DAG to its end and report."""
    finished = dag.test(logical_date=datetime.now(UTC), **how)
    states = {
        f"{ti.task_id}[{ti.map_index}]" if ti.map_index >= 0 else ti.task_id: str(ti.state) for ti in tis(finished)
    }
    return {"state": str(finished.state), "tasks": states, "trained": trained(dag.dag_id)}


def tis(dag_run: Any) -> Any:
    return dag_run.get_task_instances()


DAGS: dict[str, tuple[DAG, dict[str, Any]]] = {
    "allowed": (simple("allowed", GOOD), {}),
    "blocked": (simple("blocked", BAD, retries=3), {}),
    "subset": (simple("subset", HALF, on_block="subset"), {}),
    "mapped": (mapped(), {}),
    "gate_marked_success": (simple("gate_marked_success", BAD), {"mark_success_pattern": "consent_gate"}),
    "all_done": (permissive("all_done", TriggerRule.ALL_DONE), {}),
    "always": (permissive("always", TriggerRule.ALWAYS), {}),
    "bash": (bash("bash", GOOD), {}),
    "bash_blocked": (bash("bash_blocked", BAD), {}),
    "bash_mapped": (bash("bash_mapped", GOOD, ["1", "2"]), {}),
    "bash_mapped_blocked": (bash("bash_mapped_blocked", BAD, ["1", "2"]), {}),
    "author_hook": (author_hook(), {}),
    "guard_removed": (guard_removed(), {}),
    "sensor": (sensor("sensor", GOOD, deferrable=False), {}),
    "sensor_deferred": (sensor("sensor_deferred", GOOD, deferrable=True), {}),
    "sensor_times_out": (sensor("sensor_times_out", BAD, deferrable=False), {}),
}
globals().update({name: dag for name, (dag, _) in DAGS.items()})

if __name__ == "__main__":
    seed()
    outcomes = {name: run(dag, **how) for name, (dag, how) in DAGS.items()}
    sys.stdout.write("\nOUTCOMES " + json.dumps(outcomes) + "\n")
