"""DAGs attacked from the UI: states, XComs, trigger rules, run configuration. Nothing here is the author's fault."""

from __future__ import annotations

from airflow.sdk import TriggerRule, task
from airflow.sdk.exceptions import AirflowSkipException

from support.attack_lab import a_dag, data, gate, leave_mark, train

GOOD, BAD = data("good"), data("bad")
PERMISSIVE = {"rule_all_done": TriggerRule.ALL_DONE, "rule_always": TriggerRule.ALWAYS, "run_conf": TriggerRule.ALWAYS}

with a_dag("ui_allowed") as ui_allowed:
    gate(GOOD) >> train(GOOD)()

for name in ("ui_marked", "ui_cleared", "xcom_forged"):
    with a_dag(name) as dag:
        gate(BAD) >> train(BAD)()
    globals()[name] = dag

with a_dag("ui_cleared_after_withdrawal") as ui_cleared_after_withdrawal:
    own = data("ui_cleared_after_withdrawal")
    gate(own) >> train(own)()

for name, rule in PERMISSIVE.items():
    with a_dag(name) as dag:
        gate(BAD) >> train(BAD, trigger_rule=rule)()
    globals()[name] = dag

with a_dag("rule_none_failed") as rule_none_failed:

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def skip() -> None:
        raise AirflowSkipException

    gate(BAD) >> skip() >> train(BAD, trigger_rule=TriggerRule.NONE_FAILED)()

with a_dag("mapped") as mapped:
    gate(BAD) >> train(BAD, trigger_rule=TriggerRule.ALL_DONE).expand(fold=[1, 2])

with a_dag("mapped_allowed") as mapped_allowed:
    gate(GOOD) >> train(GOOD).expand(fold=[1, 2])

with a_dag("xcom_trusted") as xcom_trusted:
    # An author who believes XComs: the permit the gate returned is handed on by hand.
    @task(trigger_rule=TriggerRule.ALL_DONE)
    def hand_over(**context: object) -> object:
        return (context["ti"].xcom_pull(task_ids="consent_gate") or {}).get("permits")

    gate(BAD) >> train(BAD, trigger_rule=TriggerRule.ALL_DONE)(permit=hand_over())

with a_dag("not_training") as not_training:
    # What marks look like when nothing is locked: the harness would see a training that ran.
    @task
    def train_anything() -> None:
        leave_mark()

    train_anything()
