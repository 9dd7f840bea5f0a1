"""A training task whose use is no training purpose."""

from airflow.sdk import DAG
from planted import DATA

from gate.airflow import training, use

with DAG("other_purpose", schedule=None):

    @training(reads=[DATA], use=use("infer", feature="meeting_summary", model="ms-1"))
    def train(permit): ...

    train()
