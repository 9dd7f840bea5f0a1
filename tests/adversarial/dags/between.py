"""DAGs in which something happens between the gate and training: to the data, to the consent, to the processes."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import TriggerRule, get_current_context, task

from gate.airflow import ConsentGateOperator, training
from support.attack_lab import USE, a_dag, data, gate, leave_mark, train, withdraw

GOOD = data("good")
MORE = '{"account_id": "zeta", "text": "of somebody who never agreed"}\n'
AGAIN = {"retries": 1, "retry_delay": timedelta(0)}
SECONDS = 60  # that the consent of `expiring` lasts; the gate decides in the first few of them


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write(MORE)


def swap(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text(MORE * 3)
    new.replace(path)


def relink(path: Path) -> None:
    other = path.with_name("symlinked-other.jsonl")
    other.write_text(MORE * 3)
    path.unlink()
    path.symlink_to(other)


def keep_mtime(path: Path) -> None:
    before, content = path.stat(), path.read_text()
    path.write_text(content.replace("message 1", "massage 1"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)


for name, tamper in {"appended": append, "swapped": swap, "symlinked": relink, "same_mtime": keep_mtime}.items():
    with a_dag(name) as dag:
        own = data(name)

        @task(task_id="tamper")
        def change(path: str, number: int) -> None:
            [append, swap, relink, keep_mtime][number](Path(path))

        gate(own) >> change(own.name, [append, swap, relink, keep_mtime].index(tamper)) >> train(own)()
    globals()[name] = dag

with a_dag("withdrawn_between") as withdrawn_between:
    own = data("withdrawn_between")

    @task(task_id="withdraw")
    def take_back(account: str) -> None:
        withdraw(account)

    gate(own) >> take_back("withdrawn_between") >> train(own)()


class GrantingGate(ConsentGateOperator):
    """Decides about a consent that is given for the next moments only."""

    def execute(self, context: Any) -> Any:
        from gate.service.core import open_service
        from support.world import event, say

        until = (datetime.now(UTC) + timedelta(seconds=SECONDS)).isoformat()
        with open_service() as service:
            say(service, event("expiring", expires_at=until))
        context["ti"].xcom_push("until", until)
        return super().execute(context)


with a_dag("expired", default_args={"priority_weight": 50}) as expired:
    own = data("expiring")

    @task
    def wait(ti: Any = None) -> None:
        until = datetime.fromisoformat(ti.xcom_pull(task_ids="consent_gate", key="until"))
        time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()) + 1)

    GrantingGate(task_id="consent_gate", datasets=[own], use=USE) >> wait() >> train(own)()

with a_dag("killed_training") as killed_training:

    @training(task_id="train", reads=[GOOD], use=USE, **AGAIN)
    def train_and_die(permit: Any) -> None:
        if get_current_context()["ti"].try_number == 1:
            os.kill(os.getpid(), signal.SIGKILL)  # redeemed, and not a line of training done
        leave_mark()

    gate(GOOD) >> train_and_die()

with a_dag("killed_then_withdrawn") as killed_then_withdrawn:
    own = data("killed_then_withdrawn")

    @training(task_id="train", reads=[own], use=USE, **AGAIN)
    def withdraw_and_die(permit: Any) -> None:
        if get_current_context()["ti"].try_number == 1:
            withdraw("killed_then_withdrawn")
            os.kill(os.getpid(), signal.SIGKILL)
        leave_mark()

    gate(own) >> withdraw_and_die()


class DyingGate(ConsentGateOperator):
    """Dies once its decision is in the ledger, before Airflow hears of it."""

    def execute(self, context: Any) -> Any:
        answer = super().execute(context)
        if context["ti"].try_number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


with a_dag("killed_gate") as killed_gate:
    DyingGate(task_id="consent_gate", datasets=[GOOD], use=USE, **AGAIN) >> train(GOOD)()

with a_dag("backfilled", schedule="@yearly", catchup=False, is_paused_upon_creation=True) as backfilled:
    own = data("backfilled")
    gate(own) >> train(own, trigger_rule=TriggerRule.ALWAYS)()

with a_dag("wrong_people") as wrong_people:
    wrong = [data("wrong_tenant"), data("removed_admin")]
    gate(wrong[0], datasets=wrong) >> train(wrong[0], reads=wrong, trigger_rule=TriggerRule.ALL_DONE)()
