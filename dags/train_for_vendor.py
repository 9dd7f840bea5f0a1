"""Train a vendor's model on the chat of a pilot customer who agreed to everything: **blocked**.

The customer consented to training our own models. `vendor-llm` is registered as a third party's, and no consent
reaches that. A DAG author cannot say otherwise: ownership comes from the model registry.
"""

from airflow.sdk import dag

from gate.airflow import ConsentGateOperator, TagDatasetOperator, dataset, training, use
from gate.demo.places import lake_uri

PILOT = dataset(f"{lake_uri()}/pilot/chat.jsonl", account="account_id")
USE = use("train", feature="team_chat_compose", model="vendor-llm")


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["consent-gate", "demo"])
def train_for_vendor():
    tag = TagDatasetOperator(task_id="tag_pilot", dataset=PILOT, declare=["chat"])
    gate = ConsentGateOperator(task_id="consent_gate", datasets=[PILOT], use=USE)

    @training(reads=[PILOT], use=USE)
    def train(permit):
        from gate.demo import models, places

        folder = places.output_folder("train_for_vendor", permit.run.run_id)
        with permit.open(PILOT) as chat:
            models.train_chat_reply(chat.pandas(), folder)
        return permit.produced(folder / places.MODEL)

    tag >> gate >> train()


train_for_vendor()
