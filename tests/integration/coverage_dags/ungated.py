"""A DAG for every shape of training task, none behind a gate; marked by their authors, or found by a rule."""

from airflow.sdk import DAG
from planted import DATA, TUNE, USE, marked, unmarked

from gate.airflow import ConsentGateOperator, training, use
from support.training_shapes import SHAPES

for name, shape in SHAPES.items():
    for prefix, lock in (("ungated", marked), ("found_ungated", unmarked)):
        with DAG(f"{prefix}_{name}", schedule=None, tags=["find-me"] if lock is unmarked else []) as dag:
            shape(lock)
        globals()[dag.dag_id] = dag

with DAG("ungated_training", schedule=None):

    @training(reads=[DATA], use=USE)
    def train(permit, fold=0): ...

    train()
    train.expand(fold=[1, 2])

with DAG("gate_of_another_use", schedule=None):
    ConsentGateOperator(task_id="consent_gate", datasets=[DATA], use=TUNE) >> train()

with DAG("gate_downstream", schedule=None):
    train() >> ConsentGateOperator(task_id="consent_gate", datasets=[DATA], use=USE)

with DAG("gate_beside", schedule=None):
    ConsentGateOperator(task_id="consent_gate", datasets=[DATA], use=USE)
    train()

with DAG("gate_mapped", schedule=None):
    gates = ConsentGateOperator.partial(task_id="consent_gate", use=USE).expand(datasets=[[DATA], [DATA]])
    gates >> train()

with DAG("found_behind_two_gates", schedule=None, tags=["find-me"]):
    gates = [
        ConsentGateOperator(task_id=f"gate_{i}", datasets=[DATA], use=wanted) for i, wanted in enumerate((USE, TUNE))
    ]
    gates >> SHAPES["pod"](unmarked)

with DAG("found_behind_a_gate_for_no_training", schedule=None, tags=["find-me"]):
    infer = use("infer", feature="meeting_summary", model="ms-1")
    ConsentGateOperator(task_id="consent_gate", datasets=[DATA], use=infer) >> SHAPES["pod"](unmarked)
