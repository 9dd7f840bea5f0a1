"""DAGs whose gates ask a person: one per answer, with the embedded ledger and with a decision service."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from gate.airflow import ConsentGateOperator, TagDatasetOperator, dataset, training, use

HOME = Path(os.environ["GATE_HOME"])
USE = use("train", feature="meeting_summary", model="ms-1")
AGAIN = {"retries": 2, "retry_delay": timedelta(seconds=1)}  # a block must not use them


def reviewed(name: str, conn: str = "gate_default", **gate: Any) -> DAG:
    data = dataset(str(HOME / "lake" / f"{name}.jsonl"), "account_id")
    with DAG(name, schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        tag = TagDatasetOperator(task_id="tag", dataset=data, declare=["chat"], gate_conn_id=conn)
        asks = ConsentGateOperator(
            task_id="consent_gate", datasets=[data], use=USE, on_block="review", gate_conn_id=conn, **AGAIN, **gate
        )

        @training(reads=[data], use=USE, gate_conn_id=conn)
        def train(permit):
            with permit.open(data) as opened:
                rows = len(opened.pandas())
            (HOME / "marks" / f"{name}-0").write_text(str(rows))
            return rows

        tag >> asks >> train()
    return dag


asked = reviewed("asked")
checked = reviewed("checked")
cut = reviewed("cut")
kept = reviewed("kept")
late = reviewed("late", review_timeout=timedelta(seconds=3))
assigned = reviewed("assigned", reviewers=["op", {"id": "admin", "name": "Ada"}])
marked = reviewed("marked")
unreadable = reviewed("unreadable")
remote = reviewed("remote", "gate_remote")
invented = reviewed("invented", "gate_remote")
