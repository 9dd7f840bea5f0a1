"""Training in a DAG of its own, scheduled on what the gate's DAG produces."""

from airflow.sdk import DAG, Asset
from planted import DATA, TUNE, USE

from gate.airflow import ConsentGateOperator, training

FEATURES = Asset("features")

with DAG("features", schedule=None) as features:
    ConsentGateOperator(task_id="consent_gate", datasets=[DATA], use=USE, permits=["across_permitted:train"])
    ConsentGateOperator(task_id="tuning_gate", datasets=[DATA], use=TUNE, permits=["across_other_use:train"])


def consumer(dag_id, gated_by, schedule=(FEATURES,), upstream=False):
    with DAG(dag_id, schedule=list(schedule) or None) as dag:

        @training(reads=[DATA], use=USE, gated_by=gated_by)
        def train(permit): ...

        trains = train()
        if upstream:
            ConsentGateOperator(task_id="consent_gate", datasets=[DATA], use=USE) >> trains
    return dag


permitted = consumer("across_permitted", "features:consent_gate")
elsewhere = consumer("across_elsewhere", "repository_b:consent_gate")
forgotten = consumer("across_forgotten", "features:consent_gate")
other_use = consumer("across_other_use", "features:tuning_gate")
no_such_gate = consumer("across_no_such_gate", "features:gate")
by_hand = consumer("across_by_hand", "features:consent_gate", schedule=())
both = consumer("across_both", "features:consent_gate", upstream=True)
