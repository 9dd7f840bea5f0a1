"""Train on what is called telemetry and holds chat: **blocked**.

Somebody added what people typed to a table of call metrics and declared it as before. The tag looks into the data,
finds the conversation and names its columns: dropping them is one way on, asking the customers another.
"""

from airflow.sdk import dag

from gate.airflow import ConsentGateOperator, TagDatasetOperator, dataset, training, use
from gate.demo.places import lake_uri

FEEDBACK = dataset(f"{lake_uri()}/call_feedback", account="account_id")
USE = use("train", feature="call_quality", model="cq-1")


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["consent-gate", "demo"])
def train_call_feedback():
    tag = TagDatasetOperator(task_id="tag_feedback", dataset=FEEDBACK, declare=["telemetry"])
    gate = ConsentGateOperator(task_id="consent_gate", datasets=[FEEDBACK], use=USE)

    @training(reads=[FEEDBACK], use=USE)
    def train(permit):
        from gate.demo import models, places

        folder = places.output_folder("train_call_feedback", permit.run.run_id)
        with permit.open(FEEDBACK) as calls:
            models.train_call_quality(calls.pandas(), folder)
        return permit.produced(folder / places.MODEL)

    tag >> gate >> train()


train_call_feedback()
