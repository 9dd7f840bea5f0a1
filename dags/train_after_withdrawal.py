"""Train after a customer changed their mind between gate and training: **refused**.

harbor's admin agrees, the gate passes and issues a permit, the admin withdraws, and then training wants to start.
`@training` redeems the permit against the ledger as it is now: the withdrawal came first, so nothing trains.
"""

from airflow.sdk import dag, task

from gate.airflow import ConsentGateOperator, TagDatasetOperator, dataset, training, use
from gate.demo.places import lake_uri

RENEWALS = dataset(f"{lake_uri()}/renewals/chat.jsonl", account="account_id")
USE = use("train", feature="team_chat_compose", model="ms-1")


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["consent-gate", "demo"])
def train_after_withdrawal():
    # In real life the admin does this in a console, through the API or `gate consent`.
    @task
    def admin_agrees():
        from gate.demo import history, seed

        seed.record_now(history.renewal)

    @task
    def admin_withdraws():
        from gate.demo import history, seed

        seed.record_now(lambda now: history.withdrawal("harbor", now))

    tag = TagDatasetOperator(task_id="tag_renewals", dataset=RENEWALS, declare=["chat"])
    gate = ConsentGateOperator(task_id="consent_gate", datasets=[RENEWALS], use=USE)

    @training(reads=[RENEWALS], use=USE)
    def train(permit):
        from gate.demo import models, places

        folder = places.output_folder("train_after_withdrawal", permit.run.run_id)
        with permit.open(RENEWALS) as chat:
            models.train_chat_reply(chat.pandas(), folder)
        return permit.produced(folder / places.MODEL)

    admin_agrees() >> tag >> gate >> admin_withdraws() >> train()


train_after_withdrawal()
