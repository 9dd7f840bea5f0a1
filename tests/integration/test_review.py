"""A blocked gate that asks a person, in a real Airflow: what they see, who may answer, and what each answer does."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gate.api.airflow_identity import AskedAirflow
from gate.domain.instants import utc_now
from gate.permits.keys import public_key_to_text
from gate.service.core import Service, open_service
from gate.service.settings import read_settings
from support.conformance import faults_of, read_events, shapes_of
from support.databases import fresh_database
from support.real_airflow import ONE_AT_A_TIME, RealAirflow, real_airflow
from support.served import served
from support.world import add_account, event, new_service, say

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(900), ONE_AT_A_TIME]

DAGS = Path(__file__).parent / "review_dags"
RUN = "run"
GATE = "consent_gate"
# Airflow 3.3 takes a task that is answered before its scheduler heard of the parking for killed, and fails that try.
SETTLED = 3.0  # seconds
CHECK, SUBSET, KEEP = "Check again", "Train on the consented subset", "Keep blocked"
EMBEDDED = ("asked", "checked", "cut", "kept", "late", "assigned", "marked", "unreadable")
REMOTE = ("remote", "invented")


@dataclass
class Reviewed:
    """An Airflow with parked gates, and both ledgers."""

    airflow: RealAirflow
    far: Service

    @property
    def home(self) -> Path:
        return self.airflow.home.gate

    def path(self, dag_id: str) -> str:
        return f"/dags/{dag_id}/dagRuns/{RUN}/taskInstances/{GATE}/-1/hitlDetails"

    def detail(self, dag_id: str, user: str = "viewer") -> dict[str, Any]:
        found: dict[str, Any] = self.airflow.do(user, "GET", self.path(dag_id))
        return found

    def answer(self, dag_id: str, option: str, user: str = "user", note: str | None = None) -> int:
        body = {"chosen_options": [option], "params_input": {"note": note}}
        return self.airflow.ask(user, "PATCH", self.path(dag_id), body)[0]

    def parked(self, dag_id: str) -> dict[str, Any]:
        """Wait until the gate waits for an answer, and return what it asks."""

        def waiting() -> dict[str, Any] | None:
            if self.airflow.states(dag_id, RUN).get(GATE) != "awaiting_input":
                return None
            detail = self.detail(dag_id)
            return None if detail["response_received"] else detail

        asked = self.airflow.until(waiting, f"{dag_id} to ask", 200)
        time.sleep(SETTLED)
        return asked

    def parked_again(self, dag_id: str, number: int) -> dict[str, Any]:
        """Wait for a later question: Airflow tells it from an earlier one only by the missing answer."""
        self.airflow.until(lambda: len(self.reviews(dag_id)) >= number - 1 or None, f"{dag_id}'s answer", 120)
        return self.parked(dag_id)

    def ended(self, dag_id: str) -> dict[str, str | None]:
        self.airflow.wait_until_ended({dag_id: RUN}, 200)
        return self.airflow.states(dag_id, RUN)

    def bodies(self, kind: str, dag_id: str) -> list[dict[str, Any]]:
        with open_service(read_settings({"GATE_HOME": str(self.home)})) as near:
            service = self.far if dag_id in REMOTE else near
            with service.ledger.read() as reader:
                return [e.body for e in reader.entries(kind) if e.body["run"]["dag_id"] == dag_id]

    def reviews(self, dag_id: str) -> list[dict[str, Any]]:
        return self.bodies("review", dag_id)

    def events(self, dag_id: str, kind: str) -> list[dict[str, Any]]:
        """Return the run facets of the gate task's events of a type."""
        lines = map(json.loads, self.airflow.home.events.read_text("utf-8").splitlines())
        name = f"{dag_id}.{GATE}"
        return [e["run"]["facets"] for e in lines if (e["job"]["name"], e.get("eventType")) == (name, kind)]

    def decisions(self, dag_id: str) -> list[int]:
        """Return the ledger indices of a run's decisions."""
        with open_service(read_settings({"GATE_HOME": str(self.home)})) as service, service.ledger.read() as reader:
            return [e.idx for e in reader.entries("decision") if e.body["run"]["dag_id"] == dag_id]

    def answers(self, dag_id: str) -> list[str]:
        return [body["answer"] for body in self.reviews(dag_id)]

    def trained(self, dag_id: str) -> str | None:
        mark = self.home / "marks" / f"{dag_id}-0"
        return mark.read_text() if mark.exists() else None

    def agree(self, dag_id: str) -> None:
        with open_service(read_settings({"GATE_HOME": str(self.home)})) as near:
            say(self.far if dag_id in REMOTE else near, event(lacking(dag_id)))

    def log(self, dag_id: str) -> str:
        return self.airflow.log_of(dag_id, RUN, GATE)


def lacking(dag_id: str) -> str:
    """Return the account that did not agree; it has a name that means something to Markdown and HTML."""
    return f"zeta-{dag_id} | <b>`x`</b>"


def fill(home: Path) -> None:
    (home / "marks").mkdir()
    (home / "lake").mkdir()
    for dag_id in (*EMBEDDED, *REMOTE):
        rows = [{"account_id": account, "text": "hello"} for account in ("acme", lacking(dag_id))]
        (home / "lake" / f"{dag_id}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def seed(service: Service, *dag_ids: str) -> None:
    for account in ("acme", *(lacking(dag_id) for dag_id in dag_ids)):
        add_account(service, account)
    say(service, event("acme"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reviewed]:
    folder = tmp_path_factory.mktemp("review")
    with ExitStack() as stack:
        far = stack.enter_context(new_service(folder / "service", utc_now))
        seed(far, *REMOTE)
        there = stack.enter_context(served(far))
        keys = [public_key_to_text(key) for key in far.pinned_keys]
        connection = {"conn_type": "consent_gate", "host": there.url, "password": there.token()}
        connection["extra"] = {"keys": keys}
        dags = folder / "dags"
        shutil.copytree(DAGS, dags, ignore=shutil.ignore_patterns("__pycache__"))
        server = os.environ.get("GATE_TEST_POSTGRES_URL")
        database = stack.enter_context(fresh_database(server)) if server else None
        settings = {"AIRFLOW_CONN_GATE_REMOTE": json.dumps(connection), "AIRFLOW__OPENLINEAGE__DISABLED": "false"}
        airflow = stack.enter_context(real_airflow(folder / "airflow", dags, database, **settings))
        with new_service(airflow.home.gate, utc_now) as embedded:
            seed(embedded, *EMBEDDED)
        fill(airflow.home.gate)
        airflow.wait_until_healthy()
        asked = AskedAirflow(airflow.url, username="viewer", password=airflow.passwords["viewer"])
        far.confirm, far.confirm_review = asked.confirm, asked.confirm_review
        runs = dict.fromkeys((*EMBEDDED, *REMOTE), RUN)
        airflow.wait_for_dags(tuple(runs))
        for dag_id in runs:
            airflow.start(dag_id, RUN)
        yield Reviewed(airflow, far)
        assert faults_of(read_events(airflow.home)) == {}  # of all tests, in whatever order they came


def test_the_question_says_what_is_missing_and_names_nobody(world: Reviewed) -> None:
    asked = world.parked("asked")
    assert asked["subject"] == "Blocked, 1 account: train ms-1 for meeting_summary"
    assert asked["options"] == [CHECK, SUBSET, KEEP]
    assert (asked["defaults"], asked["multiple"], asked["assigned_users"]) == (None, False, [])
    text = asked["body"]
    assert "In all **1 account, 1 row**, as of" in text
    assert "no_consent" in text
    assert f"/dags/asked/runs/{RUN}/tasks/{GATE}/plugin/consent-gate-task" in text
    assert "zeta" not in text
    assert "Answer on the tab Required Actions" in world.log("asked")
    path = "/dags/~/dagRuns/~/hitlDetails?response_received=false&state=awaiting_input&dag_id_pattern=asked"
    [required] = world.airflow.do("user", "GET", path)["hitl_details"]
    assert required["task_instance"]["operator"] == "ConsentGateOperator"


def test_keep_blocked_fails_without_retries_and_nothing_trains(world: Reviewed) -> None:
    world.parked("kept")
    assert world.answer("kept", KEEP, note="they will not agree") == 200
    assert world.ended("kept") == {"tag": "success", GATE: "failed", "train": "upstream_failed"}
    assert world.airflow.instances("kept", RUN)[GATE]["try_number"] == 1
    [review] = world.reviews("kept")
    assert (review["answer"], review["round"], review["options"]) == (
        "keep_blocked",
        1,
        ["check_again", "subset", "keep_blocked"],
    )
    with open_service(read_settings({"GATE_HOME": str(world.home)})) as service, service.ledger.read() as reader:
        assert reader.open_ref(review["responder"].removeprefix("person:")) == "airflow|user"
        assert reader.open_ref(review["note_ref"]) == "they will not agree"


def test_check_again_trains_once_the_customer_agreed(world: Reviewed) -> None:
    world.parked("checked")
    assert world.answer("checked", "Train on everything") == 400
    assert world.answer("checked", CHECK, user="viewer") == 403
    assert world.answer("checked", CHECK) == 200
    world.parked_again("checked", 2)
    assert world.trained("checked") is None
    world.agree("checked")
    assert world.answer("checked", CHECK, note="zeta's admin signed today") == 200
    assert set(world.ended("checked").values()) == {"success"}, world.log("checked")
    assert world.trained("checked") == "2"
    assert world.answers("checked") == ["check_again", "check_again"]
    asked = [body["run"]["task_id"] for body in world.bodies("decision", "checked")]
    assert asked == [GATE, f"{GATE}#check-1", f"{GATE}#check-2"]
    complete = world.events("checked", "COMPLETE")  # Airflow's own; the decisions' go through the outbox
    assert [facets["gate_decision"]["ledger"]["index"] for facets in complete][-1:] == [world.decisions("checked")[-1]]
    assert "review" in shapes_of(e for e in read_events(world.airflow.home) if e["job"]["name"] == f"checked.{GATE}")
    [redeemed] = world.bodies("redemption", "checked")
    assert redeemed["decision"] > world.reviews("checked")[-1]["decision"]


def test_the_consented_subset_trains(world: Reviewed) -> None:
    world.parked("cut")
    assert world.answer("cut", SUBSET) == 200
    assert set(world.ended("cut").values()) == {"success"}, world.log("cut")
    assert world.trained("cut") == "1"


def test_a_timeout_keeps_blocked(world: Reviewed) -> None:
    assert world.ended("late") == {"tag": "success", GATE: "failed", "train": "upstream_failed"}
    assert world.airflow.instances("late", RUN)[GATE]["try_number"] == 1
    [review] = world.reviews("late")
    assert (review["answer"], review["responder"]) == ("timed_out", None)
    assert "nobody answered in time" in world.log("late")


def test_only_who_was_asked_may_answer(world: Reviewed) -> None:
    asked = world.parked("assigned")
    assert asked["assigned_users"] == [{"id": "op", "name": "op"}, {"id": "admin", "name": "Ada"}]
    assert world.answer("assigned", CHECK, user="user") == 403
    assert world.answer("assigned", KEEP, user="op") == 200
    assert world.ended("assigned")[GATE] == "failed"
    assert world.answers("assigned") == ["keep_blocked"]


def test_marking_the_parked_gate_successful_trains_nothing(world: Reviewed) -> None:
    world.parked("marked")
    world.airflow.mark("user", "marked", RUN, GATE)
    assert world.ended("marked")["train"] == "failed"
    assert world.trained("marked") is None
    assert [body["reason"] for body in world.bodies("refusal", "marked")] == ["permit_missing"]


def test_data_that_cannot_be_read_is_asked_about_again(world: Reviewed) -> None:
    world.parked("unreadable")
    lake = world.home / "lake"
    (lake / "unreadable.jsonl").rename(lake / "aside")
    assert world.answer("unreadable", CHECK) == 200
    world.parked_again("unreadable", 2)
    assert "could not be acted on" in world.log("unreadable")
    (lake / "aside").rename(lake / "unreadable.jsonl")
    assert world.answer("unreadable", SUBSET) == 200
    assert set(world.ended("unreadable").values()) == {"success"}, world.log("unreadable")
    assert world.trained("unreadable") == "1"


def test_a_decision_service_asks_airflow_itself(world: Reviewed) -> None:
    world.parked("remote")
    world.agree("remote")
    assert world.answer("remote", CHECK) == 200
    assert set(world.ended("remote").values()) == {"success"}, world.log("remote")
    assert world.trained("remote") == "2"
    assert world.answers("remote") == ["check_again"]


def test_an_answer_that_airflow_does_not_confirm_lets_nothing_on(world: Reviewed) -> None:
    world.parked("invented")
    confirm = world.far.confirm_review

    def another(answer: Any) -> None:
        from dataclasses import replace

        confirm(replace(answer, responder="airflow|admin"))

    world.far.confirm_review = another
    try:
        world.agree("invented")
        assert world.answer("invented", CHECK) == 200
        assert world.ended("invented")[GATE] == "failed"
    finally:
        world.far.confirm_review = confirm
    assert "Airflow knows no such answer" in world.log("invented")
    assert world.answers("invented") == []
    assert world.trained("invented") is None
