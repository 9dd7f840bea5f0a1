"""DAGs that use permits which are not theirs: copied, forged, of another run, task, data set, use or key."""

from __future__ import annotations

import base64
import copy
import json
import sys
from dataclasses import replace
from typing import Any

from airflow.sdk import TriggerRule, task

from gate.domain.run import TaskRun
from gate.domain.words import Purpose
from support.attack_lab import RUN, USE, a_dag, data, gate, home, train

GOOD, BAD = data("good"), data("bad")
FORGERIES = ("of_another_dag", "of_another_task", "edited", "stripped", "other_type", "other_key", "not_base64")

with a_dag("forged") as forged:

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def forge(dag_run: Any) -> None:
        """Append to the ledger what a worker with access to it could: permits that nobody issued for this run."""
        from gate.domain.instants import format_instant
        from gate.permits.envelope import seal
        from gate.permits.keys import create_key
        from gate.permits.permit import PAYLOAD_TYPE
        from gate.service.core import open_service
        from gate.service.decisions import permit_subject

        with open_service() as service:
            with service.ledger.read() as reader:
                real = reader.latest("permit", permit_subject("ui_allowed", RUN, "train"))
                sibling = reader.latest("permit", permit_subject("forged", dag_run.run_id, "permitted"))
                decision = reader.latest("decision")
            payload = json.loads(base64.b64decode(real.body["envelope"]["payload"]))
            mine = payload | {"dag_id": "forged", "run_id": dag_run.run_id}
            stranger = create_key(home() / "stranger.pem")
            made: dict[str, dict[str, Any]] = {name: copy.deepcopy(real.body["envelope"]) for name in FORGERIES}
            made["of_another_task"] = dict(sibling.body["envelope"])
            for name in FORGERIES[2:]:
                text = json.dumps(mine | {"task_id": name}, sort_keys=True, separators=(",", ":")).encode()
                made[name]["payload"] = base64.b64encode(text).decode()
            made["stripped"]["signatures"] = []
            made["other_type"]["payloadType"] = "application/vnd.in-toto+json"
            text = json.dumps(mine | {"task_id": "other_key"}, sort_keys=True, separators=(",", ":")).encode()
            made["other_key"] = seal(text, PAYLOAD_TYPE, stranger)
            made["not_base64"]["payload"] = "%%%"
            for name, envelope in made.items():
                subject = permit_subject("forged", dag_run.run_id, name, decision_index=decision.idx)
                body = {"permit_id": payload["permit_id"], "decision": decision.idx, "envelope": envelope}
                with service.ledger.write() as tx:
                    tx.append("permit", subject, body, recorded_at=service.clock(), by="service:airflow", via="airflow")
            assert format_instant(service.clock()) < payload["expires_at"]

    forging = forge()
    permitted = gate(GOOD, task_id="other_gate")
    permitted >> train(GOOD, task_id="permitted")()
    [gate(BAD), permitted] >> forging
    for name in FORGERIES:
        forging >> train(BAD, task_id=name, trigger_rule=TriggerRule.ALL_DONE)()

with a_dag("reads") as reads:
    yes = gate(GOOD)
    yes >> train(BAD, task_id="other_data")()
    yes >> train(GOOD, task_id="more_data", reads=[GOOD, BAD])()

with a_dag("other_use") as other_use:
    # Gate and training agree whenever the file is read; what it says changes after the gate's task.
    _said = home() / "other_use"
    meant = replace(USE, purpose=Purpose.TUNE) if _said.exists() else USE

    @task
    def change_use() -> None:
        (home() / "other_use").touch()

    gate(GOOD, use=meant) >> change_use() >> train(GOOD, use=meant)()

with a_dag("copied") as copied:
    # The file of `ui_allowed`, with another DAG id and a gate that says no.
    gate(BAD) >> train(GOOD, trigger_rule=TriggerRule.ALL_DONE)()

with a_dag("impersonated") as impersonated:

    @task
    def redeem_for_training(dag_run: Any) -> str:
        """Redeem, from another task, the permit that waits for `train`."""
        from gate.airflow.hook import open_gate
        from gate.errors import GateError
        from gate.service.worker import redeem

        ours = TaskRun("impersonated", dag_run.run_id, "train", -1, 1)
        try:
            with open_gate() as service:
                redeem(service, ours, [GOOD], USE, by="service:airflow")
        except GateError as error:
            return f"{type(error).__name__} {error.reason}"
        return "redeemed"

    gate(GOOD) >> redeem_for_training() >> train(GOOD)()

with a_dag("by_hand") as by_hand:
    # Run by `airflow dags test`, `airflow tasks test`, and as a script.
    gate(GOOD) >> train(GOOD)()

if __name__ == "__main__":
    sys.exit(0 if by_hand.test().state == "success" else 1)
