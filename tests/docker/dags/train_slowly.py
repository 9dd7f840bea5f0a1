"""The demo's `train_call_quality`, whose first try waits with the data open until its worker is killed."""

import time

from airflow.sdk import dag

from gate.airflow import ConsentGateOperator, TagDatasetOperator, dataset, training, use
from gate.demo.places import lake_uri

TELEMETRY = dataset(f"{lake_uri()}/telemetry", account="account_id")
USE = use("train", feature="call_quality", model="cq-1")


@dag(schedule=None, catchup=False)
def train_slowly():
    tag = TagDatasetOperator(task_id="tag_telemetry", dataset=TELEMETRY, declare=["telemetry"])
    gate = ConsentGateOperator(task_id="consent_gate", datasets=[TELEMETRY], use=USE)

    @training(reads=[TELEMETRY], use=USE)
    def train(permit):
        from gate.demo import models, places

        folder = places.output_folder("train_slowly", permit.run.run_id)
        folder.mkdir(parents=True, exist_ok=True)
        with permit.open(TELEMETRY) as calls:
            (folder / f"reading-{permit.run.try_number}").touch()
            if permit.run.try_number == 1:
                time.sleep(600)
            models.train_call_quality(calls.pandas(), folder)
        return permit.produced(folder / places.MODEL)

    tag >> gate >> train()


train_slowly()
