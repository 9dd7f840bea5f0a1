"""Deliver lineage events: **maintenance**, every minute.

Takes in what waits in the outbox and the spool, and brings every event to the backends that `GATE_LINEAGE_BACKENDS`
names. A backend that is down holds back only itself and makes nothing fail: its events wait. It works where the lineage
store is: with a decision service elsewhere, run `gate lineage relay --follow` there instead.
"""

from datetime import timedelta

from airflow.sdk import dag, task


@dag(
    schedule=timedelta(minutes=1),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    doc_md=__doc__,
    tags=["consent-gate", "maintenance"],
)
def relay_lineage():
    @task
    def relay():
        from gate.airflow.context import airflow_errors
        from gate.airflow.hook import open_gate
        from gate.service.relaying import relay_here

        with airflow_errors(), open_gate() as service:
            return relay_here(service)

    relay()


relay_lineage()
