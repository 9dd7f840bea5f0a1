"""Train on a table derived from health records: **blocked**.

The table holds counts per hour: nothing in it looks like a patient, and it is declared telemetry. It was made from
health records, so it bears what they bear until two people declassify it with evidence.
"""

from airflow.sdk import Asset, dag, task

from gate.airflow import ConsentGateOperator, TagDatasetOperator, dataset, training, use
from gate.demo.places import lake_uri

LAKE = lake_uri()
FHIR = dataset(f"{LAKE}/phi/fhir", account="path:{account}/*.ndjson")
VISITS = dataset(f"{LAKE}/derived/visits.csv", account="account_id")
USE = use("train", feature="outcomes", model="outcomes-1")


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["consent-gate", "demo"])
def train_visit_forecast():
    tag_records = TagDatasetOperator(task_id="tag_records", dataset=FHIR, declare=["phi"])

    @task(inlets=[Asset(FHIR.uri)], outlets=[Asset(VISITS.uri)])  # what lineage is told of it
    def count_visits():
        from pathlib import Path

        from gate.demo import models

        models.count_visits(Path(FHIR.name).rglob("*.ndjson"), Path(VISITS.name))

    tag_visits = TagDatasetOperator(task_id="tag_visits", dataset=VISITS, declare=["telemetry"], made_from=[FHIR])
    gate = ConsentGateOperator(task_id="consent_gate", datasets=[VISITS], use=USE)

    @training(reads=[VISITS], use=USE)
    def train(permit):
        from gate.demo import models, places

        folder = places.output_folder("train_visit_forecast", permit.run.run_id)
        with permit.open(VISITS) as visits:
            models.train_visit_forecast(visits.pandas(), folder)
        return permit.produced(folder / places.MODEL)

    tag_records >> count_visits() >> tag_visits >> gate >> train()


train_visit_forecast()
