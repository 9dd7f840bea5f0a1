"""DAGs for the browser suite: gates that park for a review, and one that only admins may see."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseNotifier

from gate.airflow import ConsentGateOperator, TagDatasetOperator, dataset, training, use
from gate.domain.dataset import Dataset

HOME = Path(os.environ["GATE_HOME"])
USE = use("train", feature="meeting_summary", model="ms-1")


def gated(name: str, data: Dataset, **gate: Any) -> DAG:
    with DAG(name, schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        tag = TagDatasetOperator(task_id="tag", dataset=data, declare=["chat"])
        operator = ConsentGateOperator(task_id="consent_gate", datasets=[data], use=USE, **gate)

        @training(reads=[data], use=USE)
        def train(permit):
            with permit.open(data) as opened:
                rows = len(opened.pandas())
            (HOME / "marks" / name).write_text(str(rows))

        tag >> operator >> train()
    return dag


class Told(BaseNotifier):
    """Leaves a mark when it is told that a gate asks."""

    def notify(self, context: Any) -> None:
        (HOME / "marks" / f"told-{context['dag'].dag_id}").write_text("asked")


class Broken(BaseNotifier):
    """Fails, as webhooks do."""

    def notify(self, context: Any) -> None:
        raise ConnectionError


def lake(name: str) -> Dataset:
    return dataset(str(HOME / "lake" / f"{name}.jsonl"), "account_id")


review_again = gated("review_again", lake("again"), on_block="review")
review_subset = gated("review_subset", lake("half"), on_block="review")
review_keep = gated("review_keep", lake("half"), on_block="review")
review_timeout = gated(
    "review_timeout",
    lake("half"),
    on_block="review",
    review_timeout=timedelta(seconds=5),
    notifiers=[Broken(), Told()],
)
review_pictured = gated("review_pictured", lake("half"), on_block="review")
review_assigned = gated("review_assigned", lake("half"), on_block="review", reviewers=["op"])
hidden_training = gated("hidden_training", lake("hidden"))
