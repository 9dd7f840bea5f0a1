"""A DAG for every shape of training task, each behind its gate."""

from airflow.sdk import DAG
from planted import DATA, USE, marked, unmarked

from gate.airflow import ConsentGateOperator, TagDatasetOperator, training
from support.training_shapes import SHAPES

for name, shape in SHAPES.items():
    for prefix, lock in (("gated", marked), ("found_gated", unmarked)):
        with DAG(f"{prefix}_{name}", schedule=None, tags=["find-me"] if lock is unmarked else []) as dag:
            tag = TagDatasetOperator(task_id="tag", dataset=DATA, declare=["chat"])
            tag >> ConsentGateOperator(task_id="consent_gate", datasets=[DATA], use=USE) >> shape(lock)
        globals()[dag.dag_id] = dag

with DAG("gated_training", schedule=None):

    @training(reads=[DATA], use=USE)
    def train(permit, fold=0): ...

    gate = ConsentGateOperator(task_id="consent_gate", datasets=[DATA], use=USE)
    gate >> [train(), train.override(task_id="again", pre_execute=None)(), train.expand(fold=[1, 2])]
