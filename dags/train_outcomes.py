"""Train on education and health records: **blocked**.

Consent to the use of meeting content does not cover regulated records: these need a consent that names them.
"""

from airflow.sdk import dag

from gate.airflow import ConsentGateOperator, TagDatasetOperator, dataset, training, use
from gate.demo.places import lake_uri

LAKE = lake_uri()
GRADES = dataset(f"{LAKE}/education/gradebook.csv", account="account_id")
FHIR = dataset(f"{LAKE}/phi/fhir", account="path:{account}/*.ndjson")
HL7 = dataset(f"{LAKE}/phi/hl7", account="path:{account}/*.hl7")
USE = use("train", feature="outcomes", model="outcomes-1")


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["consent-gate", "demo"])
def train_outcomes():
    tags = [
        TagDatasetOperator(task_id="tag_grades", dataset=GRADES, declare=["education_record"]),
        TagDatasetOperator(task_id="tag_fhir", dataset=FHIR, declare=["phi"]),
        TagDatasetOperator(task_id="tag_hl7", dataset=HL7, declare=["phi"]),
    ]
    gate = ConsentGateOperator(task_id="consent_gate", datasets=[GRADES, FHIR, HL7], use=USE)

    @training(reads=[GRADES, FHIR, HL7], use=USE)
    def train(permit):
        from gate.demo import models, places

        folder = places.output_folder("train_outcomes", permit.run.run_id)
        with permit.open(GRADES) as grades, permit.open(FHIR) as fhir, permit.open(HL7) as hl7:
            models.train_outcomes(grades.pandas(), fhir.paths(), hl7.paths(), folder)
        return permit.produced(folder / places.MODEL)

    tags >> gate >> train()


train_outcomes()
