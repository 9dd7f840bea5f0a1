"""The operators in a real Airflow, embedded and with a decision service: what runs, what refuses, what is recorded."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gate.api.airflow_identity import airflow_confirmation
from gate.domain.instants import format_instant, utc_now
from gate.domain.run import Confirmed
from gate.domain.words import Ownership
from gate.lineage.observed import observe
from gate.lineage.store.database import open_store
from gate.lineage.store.ingest import store_events
from gate.permits.keys import public_key_to_text
from gate.service.acting import Person
from gate.service.acts import approve, propose
from gate.service.consents import record_model
from gate.service.core import Service, open_service
from gate.service.settings import read_settings
from support.conformance import faults_of, plain_links, read_events, shapes_of, stored_links
from support.databases import fresh_database
from support.real_airflow import ONE_AT_A_TIME, RealAirflow, real_airflow
from support.served import Served, served
from support.world import add_account, event, new_service, say

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900), ONE_AT_A_TIME]

DAGS = Path(__file__).parent / "operator_dags"
RUN = "run"
EMBEDDED = (
    *("allowed", "blocked", "subset", "mapped", "bash", "bash_blocked", "bash_mapped", "bash_mapped_blocked"),
    *("author_hook", "broken_glass", "sensor", "sensor_deferred", "sensor_times_out", "deferred_times_out"),
)
REMOTE = ("remote_allowed", "remote_blocked", "remote_subset", "remote_sensor")
FAILING = ("service_down", "service_lying", "service_of_others")


@dataclass
class Ran:
    """What came of all runs."""

    airflow: RealAirflow
    ledger: Path
    service: Service
    states: dict[str, dict[str, str | None]]

    def marks(self, dag_id: str) -> dict[str, str]:
        """Return what the training code of a DAG wrote, by map index."""
        folder = self.airflow.home.gate / "marks"
        return {path.name.rpartition("-")[2]: path.read_text() for path in folder.glob(f"{dag_id}-*")}

    def embedded(self, kind: str) -> list[dict[str, Any]]:
        """Return bodies of the embedded ledger's entries."""
        with open_service(read_settings({"GATE_HOME": str(self.airflow.home.gate)})) as service:
            return bodies(service, kind)

    def log(self, dag_id: str, task_id: str = "train") -> str:
        return self.airflow.log_of(dag_id, RUN, task_id)


def bodies(service: Service, kind: str) -> list[dict[str, Any]]:
    with service.ledger.read() as reader:
        return [entry.body for entry in reader.entries(kind)]


def seed(service: Service) -> None:
    """Record two accounts, one of which agreed."""
    for account in ("acme", "zeta"):
        add_account(service, account)
    say(service, event("acme"))


def break_glass(service: Service) -> None:
    """Let two people lift what the policy leaves open, for one run of one DAG."""
    record_model(service, "ss-1", Ownership.FIRST_PARTY, ["spam_scanning"], "registry/ss-1", by="eve", via="cli")
    say(service, event("acme", features=["spam_scanning"]))
    params = {"dag_id": "broken_glass", "run_id": RUN, "expires_at": format_instant(utc_now() + timedelta(hours=1))}
    index = propose(service, "break_glass", params, "nothing else scans", by=Person("airflow", "alice"))
    approve(service, index, by=Person("airflow", "bob"))


def fill(home: Path) -> None:
    (home / "marks").mkdir()
    (home / "lake").mkdir()
    for name, accounts in (("good", ["acme"] * 3), ("half", ["acme", "zeta"]), ("bad", ["zeta"])):
        lines = (json.dumps({"account_id": account, "text": "hello"}) for account in accounts)
        (home / "lake" / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines), "utf-8")


def connection(at: Served, keys_of: Service, url: str | None = None) -> str:
    extra = {"keys": [public_key_to_text(key) for key in keys_of.pinned_keys]}
    return json.dumps({"conn_type": "consent_gate", "host": url or at.url, "password": at.token(), "extra": extra})


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("operators")
    with ExitStack() as stack:
        service = stack.enter_context(new_service(folder / "service", utc_now))
        liar = stack.enter_context(new_service(folder / "liar", utc_now))
        for one in (service, liar):
            seed(one)
        there, lies = (stack.enter_context(served(one)) for one in (service, liar))
        settings = {
            "AIRFLOW_CONN_GATE_REMOTE": connection(there, service),
            "AIRFLOW_CONN_GATE_LYING": connection(lies, service),
            "AIRFLOW__OPENLINEAGE__DISABLED": "false",
            "AIRFLOW_CONN_GATE_DOWN": connection(there, service, "http://127.0.0.1:9"),
        }
        dags = folder / "dags"
        shutil.copytree(DAGS, dags, ignore=shutil.ignore_patterns("__pycache__"))
        server = os.environ.get("GATE_TEST_POSTGRES_URL")
        database = stack.enter_context(fresh_database(server)) if server else None
        airflow = stack.enter_context(real_airflow(folder / "airflow", dags, database, **settings))
        with new_service(airflow.home.gate, utc_now) as embedded:
            seed(embedded)
            break_glass(embedded)
        fill(airflow.home.gate)
        airflow.wait_until_healthy()
        service.confirm = airflow_confirmation(airflow.url, username="viewer", password=airflow.passwords["viewer"])
        liar.confirm = lambda run: Confirmed()
        runs = dict.fromkeys((*EMBEDDED, *REMOTE, *FAILING), RUN)
        airflow.wait_for_dags((*runs, "observed"))
        for dag_id in runs:
            airflow.start(dag_id, RUN)
        airflow.wait_until_ended(runs)
        states = {dag_id: airflow.states(dag_id, RUN) for dag_id in runs}
        yield Ran(airflow, folder / "service", service, states)


def test_consented_data_trains(ran: Ran) -> None:
    assert set(ran.states["allowed"].values()) == {"success"}, ran.log("allowed")
    assert ran.marks("allowed") == {"0": "3"}


def test_a_block_fails_without_retries_and_nothing_downstream_starts(ran: Ran) -> None:
    assert ran.states["blocked"] == {"tag": "success", "consent_gate": "failed", "train": "upstream_failed"}
    assert ran.airflow.instances("blocked", RUN)["consent_gate"]["try_number"] == 1
    assert ran.marks("blocked") == {}


def test_subset_trains_on_the_consented_rows(ran: Ran) -> None:
    assert set(ran.states["subset"].values()) == {"success"}, ran.log("subset")
    assert ran.marks("subset") == {"0": "1"}


def test_mapped_training_redeems_for_every_index(ran: Ran) -> None:
    assert ran.marks("mapped") == {"1": "3", "2": "3"}
    redeemed = [body["run"] for body in ran.embedded("redemption") if body["run"]["dag_id"] == "mapped"]
    assert sorted(run["map_index"] for run in redeemed) == [0, 1]


def test_any_operator_can_be_locked(ran: Ran) -> None:
    assert [len(ran.marks(dag_id)) for dag_id in ("bash", "bash_mapped")] == [1, 2]
    assert [len(ran.marks(dag_id)) for dag_id in ("bash_blocked", "bash_mapped_blocked")] == [0, 0]
    assert ran.states["bash_blocked"]["train"] == "failed"


def test_the_authors_hook_runs_after_ours(ran: Ran) -> None:
    assert ran.marks("author_hook")["hook"] == "permit"


def test_the_sensor_waits_for_consent(ran: Ran) -> None:
    assert ran.states["sensor"]["wait"] == "success"
    assert ran.states["sensor_deferred"]["wait"] == "success"
    assert ran.states["remote_sensor"]["wait"] == "success"
    assert ran.states["sensor_times_out"]["wait"] == ran.states["deferred_times_out"]["wait"] == "failed"


def test_two_people_let_pass_what_the_policy_leaves_open(ran: Ran) -> None:
    assert set(ran.states["broken_glass"].values()) == {"success"}, ran.log("broken_glass")
    assert ran.marks("broken_glass") == {"0": "3"}


def test_every_event_is_valid_openlineage(ran: Ran) -> None:
    events = read_events(ran.airflow.home)
    assert faults_of(events) == {}
    assert shapes_of(events) >= {"block", "break-glass", "deferral", "mapped", "subset", "training"}


def test_the_stored_graph_says_what_the_events_say(ran: Ran, tmp_path: Path) -> None:
    events = read_events(ran.airflow.home)
    with open_store(f"sqlite:///{tmp_path / 'lineage.db'}") as store:
        store_events(store, [observe(event) for event in events])
        assert stored_links(store) == plain_links(events)


def test_every_refusal_is_recorded(ran: Ran) -> None:
    refused = {body["run"]["dag_id"]: body["reason"] for body in ran.embedded("refusal")}
    assert refused["bash_blocked"] == refused["bash_mapped_blocked"] == "permit_missing"


class TestDecisionService:
    """Workers with a URL and a token: ledger and key are elsewhere."""

    def test_consented_data_trains(self, ran: Ran) -> None:
        assert set(ran.states["remote_allowed"].values()) == {"success"}, ran.log("remote_allowed")
        assert ran.marks("remote_allowed") == {"0": "3"}
        redeemed = [body["run"]["dag_id"] for body in bodies(ran.service, "redemption")]
        assert sorted(redeemed) == ["remote_allowed", "remote_subset"]

    def test_a_block_blocks(self, ran: Ran) -> None:
        assert ran.states["remote_blocked"]["consent_gate"] == "failed"
        assert ran.marks("remote_blocked") == {}

    def test_subset_trains_on_the_consented_rows(self, ran: Ran) -> None:
        assert ran.marks("remote_subset") == {"0": "1"}, ran.log("remote_subset")

    def test_nothing_of_it_is_in_the_workers_ledger(self, ran: Ran) -> None:
        dag_ids = {body["run"]["dag_id"] for body in ran.embedded("decision")}
        assert not dag_ids & set(REMOTE)

    def test_who_asked_is_known_from_the_token(self, ran: Ran) -> None:
        with ran.service.ledger.read() as reader:
            assert {entry.by for entry in reader.entries("decision")} == {"service:worker"}

    @pytest.mark.parametrize("dag_id", FAILING)
    def test_a_service_that_is_down_lies_or_knows_nothing_starts_nothing(self, ran: Ran, dag_id: str) -> None:
        assert ran.states[dag_id]["consent_gate"] == "success"
        assert ran.states[dag_id]["train"] == "failed"
        assert ran.marks(dag_id) == {}


def test_two_log_ins_of_airflow_switch_to_observe_and_the_model_is_unpermitted(ran: Ran) -> None:
    airflow = ran.airflow
    base = f"{airflow.url}/gate/api/v1"

    def call(user: str, path: str, body: dict[str, Any]) -> httpx.Response:
        airflow.do(user, "GET", "/dags?limit=1")  # logs in
        return httpx.post(
            base + path, json=body, headers={"Authorization": f"Bearer {airflow.tokens[user]}"}, timeout=60
        )

    assert httpx.get(f"{base}/ledger", timeout=60).status_code == 401
    until = format_instant(utc_now() + timedelta(days=1))
    observe = {"act": "mode", "params": {"mode": "observe", "until": until}, "reason": "roll-out"}
    assert call("viewer", "/acts", observe).status_code == 403
    proposed = call("op", "/acts", observe)
    assert proposed.status_code == 201, proposed.text
    index = proposed.json()["index"]
    assert call("op", f"/acts/{index}/approval", {"act": "mode"}).status_code == 403
    approved = call("admin", f"/acts/{index}/approval", {"act": "mode"})
    assert approved.status_code in (200, 201), approved.text
    airflow.start("observed", RUN)
    airflow.wait_until_ended({"observed": RUN})
    assert set(airflow.states("observed", RUN).values()) == {"success"}, ran.log("observed")
    assert ran.marks("observed") == {"0": "1"}
    assert "NOT ENFORCED" in airflow.log_of("observed", RUN, "consent_gate")
    [refusal] = [body for body in ran.embedded("refusal") if body["run"]["dag_id"] == "observed"]
    assert (refusal["observed"], refusal["reasons"]) == (True, ["no_consent"])
    assert not [body for body in ran.embedded("redemption") if body["run"]["dag_id"] == "observed"]
