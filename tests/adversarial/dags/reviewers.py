"""DAGs attacked from the UI: states, XComs, trigger rules, run configuration. Nothing here is the author's fault."""

from __future__ import annotations

from airflow.sdk import TriggerRule, task
from airflow.sdk.exceptions import AirflowSkipException

from support.attack_lab import a_dag, data, gate, leave_mark, train

GOOD, BAD = data("good"), data("bad")
ANYWAY = TriggerRule.ALL_DONE

with a_dag("ui_allowed") as ui_allowed:
    # What was permitted: its permit is the one that others copy.
    gate(GOOD) >> [train(GOOD)(), train(GOOD, task_id="train_folds").expand(fold=[1, 2])]

for name in ("ui_marked", "ui_cleared"):
    with a_dag(name) as dag:
        gate(BAD) >> train(BAD)()
    globals()[name] = dag

with a_dag("ui_cleared_after_withdrawal") as ui_cleared_after_withdrawal:
    own = data("ui_cleared_after_withdrawal")
    gate(own) >> train(own)()

with a_dag("permissive") as permissive:
    # Started with a configuration that asks for everything to be skipped.
    @task(trigger_rule=ANYWAY)
    def skip() -> None:
        raise AirflowSkipException

    no = gate(BAD)
    no >> train(BAD, task_id="all_done", trigger_rule=ANYWAY)()
    no >> train(BAD, task_id="always", trigger_rule=TriggerRule.ALWAYS)()
    no >> train(BAD, task_id="folds", trigger_rule=ANYWAY).expand(fold=[1, 2])
    no >> skip() >> train(BAD, task_id="none_failed", trigger_rule=TriggerRule.NONE_FAILED)()

with a_dag("xcom_forged") as xcom_forged:
    # An author who believes XComs: the permit that the gate is said to have returned is handed on by hand.
    @task(trigger_rule=ANYWAY)
    def hand_over(**context: object) -> object:
        return (context["ti"].xcom_pull(task_ids="consent_gate") or {}).get("permits")

    gate(BAD) >> train(BAD, trigger_rule=ANYWAY)(permit=hand_over())

with a_dag("not_training") as not_training:
    # What marks look like when nothing is locked: the harness would see a training that ran.
    @task
    def train_anything() -> None:
        leave_mark()

    train_anything()
