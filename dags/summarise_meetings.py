"""Summarise live meetings for accounts that switched the feature on: **allowed**, and nothing is trained.

Using a model (`infer`) needs the switch `enable_feature`; training one needs `share_for_training`. Neither implies
the other: borealis has only the first, so its meetings are summarised here and never trained on. The task that reads
is a plain `@task`, because only training needs a permit.
"""

from airflow.sdk import dag, task

from gate.airflow import ConsentGateOperator, TagDatasetOperator, dataset, use
from gate.demo.places import lake_uri

LIVE = dataset(f"{lake_uri()}/meetings_live/chat.jsonl", account="account_id")
USE = use("infer", feature="meeting_summary", model="ms-1")


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["consent-gate", "demo"])
def summarise_meetings():
    tag = TagDatasetOperator(task_id="tag_live", dataset=LIVE, declare=["chat"])
    gate = ConsentGateOperator(task_id="consent_gate", datasets=[LIVE], use=USE)

    @task
    def summarise(run_id=None):
        import pandas as pd

        from gate.demo import models, places

        summary = models.summarise(pd.read_json(LIVE.uri, lines=True)["text"])
        folder = places.output_folder("summarise_meetings", run_id)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.txt").write_text(summary)  # to a file: what customers wrote does not belong into logs

    tag >> gate >> summarise()


summarise_meetings()
