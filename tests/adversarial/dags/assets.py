"""Training in another DAG than its gate, started by the gate's asset: who else can start it, and what it gets."""

from __future__ import annotations

import time

from airflow.sdk import Asset, task

from support.attack_lab import a_dag, data, gate, home, train

GOOD = data("good")
PERMITTED = Asset("consented-meetings")

with a_dag("asset_gate") as asset_gate:
    gate(GOOD, permits=["asset_train:train"], outlets=[PERMITTED], priority_weight=50)

with a_dag("asset_train", schedule=[PERMITTED]) as asset_train:
    train(GOOD, gated_by="asset_gate:consent_gate")()

with a_dag("asset_stranger") as asset_stranger:
    # Another team's task that says the asset is there: Airflow believes it, the permit does not.
    @task(outlets=[PERMITTED])
    def announce() -> None: ...

    announce()

with a_dag("asset_held", schedule=[PERMITTED]) as asset_held:
    # Runs until it is let go, so that the tests can ask Airflow about a task that is running.
    @task(priority_weight=50)
    def hold() -> None:
        while not (home() / "let-go").exists():
            time.sleep(0.5)

    hold()
