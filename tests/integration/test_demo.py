"""`gate demo`, for real: an Airflow is started, nine runs end as they should, and what they leave behind holds."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import joblib
import pytest

from gate.demo.lake import ACCOUNTS, CLINICS, SCHOOLS
from gate.domain.dataset import DatasetVersion
from gate.lineage.store.delivery import events_after
from gate.service.attesting import check_attestation
from gate.service.core import open_service
from gate.service.lineage_store import open_lineage
from gate.service.origins import known_sources
from gate.service.settings import read_settings
from support.lineage_ways import ways_to_ask
from support.openlineage_spec import errors_of
from support.real_airflow import ONE_AT_A_TIME

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900), ONE_AT_A_TIME]

GATE = Path(sys.executable).with_name("gate")
FIELDS = {
    "dag_id",
    "run_id",
    "state",
    "gate_state",
    "train_state",
    "verdict",
    "reasons",
    "rows_blocked",
    "accounts_blocked",
    "model_path",
}
BLOCKED = (
    "train_meeting_summary",
    "train_for_vendor",
    "train_outcomes",
    "train_call_feedback",
    "train_visit_forecast",
)
SUBSET = "train_meeting_summary_subset"
TRAINED = (SUBSET, "train_call_quality")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "demo-home"


@pytest.fixture(scope="module")
def demo(home):
    done = subprocess.run(
        [GATE, "demo", "--once", "--json", "--home", home], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def runs(demo):
    return {run["dag_id"]: run for run in demo["runs"]}


@pytest.fixture(scope="module")
def events(demo):
    lines = Path(demo["events_path"]).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def ways(home, demo):
    with ways_to_ask(home / "1" / "gate") as asked:
        yield asked


@pytest.fixture(scope="module")
def kept(ways):
    with open_lineage(ways.service.settings) as store:
        return [json.loads(raw) for _, raw in events_after(store, 0, 10_000)]


def canonical(event):
    return json.dumps(event, sort_keys=True)


def model_of(run):
    return json.loads(Path(run["model_path"]).with_name("model.json").read_text())


def tags_of(ways, dag_id):
    with ways.service.ledger.read() as reader:
        return [tag.body for tag in reader.entries("tag") if tag.body["run"]["dag_id"] == dag_id]


def types_of(events, job):
    return [event["eventType"] for event in events if event["job"]["name"] == job]


def test_the_answer_is_one_object_with_the_promised_fields(demo):
    assert set(demo) == {"runs", "events_path", "lineage"}
    assert set(demo["lineage"]) == {"graph_url", "upstream_command", "impact_command"}
    assert len(demo["runs"]) == 9
    assert all(set(run) == FIELDS for run in demo["runs"])


@pytest.mark.parametrize("dag_id", BLOCKED)
def test_a_block_is_a_failure_and_nothing_trains(runs, dag_id):
    run = runs[dag_id]
    assert (run["state"], run["gate_state"], run["train_state"]) == ("failed", "failed", "upstream_failed")
    assert run["verdict"] == "block"
    assert run["model_path"] is None
    assert run["rows_blocked"] > 0
    assert run["accounts_blocked"] > 0


def test_every_consent_history_shows_its_own_reason(runs):
    assert set(runs["train_meeting_summary"]["reasons"]) >= {
        "no_consent",
        "consent_refused",
        "consent_withdrawn",
        "consent_expired",
        "not_admin",
        "wrong_toggle",
        "wrong_feature",
    }


def test_blocked_accounts_count_once_however_many_datasets_they_are_in(runs):
    assert runs["train_meeting_summary"]["accounts_blocked"] == len(ACCOUNTS) - 1
    assert runs["train_for_vendor"]["accounts_blocked"] == 1
    assert runs["train_outcomes"]["accounts_blocked"] == len({*SCHOOLS, *CLINICS})


def test_no_consent_reaches_a_third_party_model(runs):
    assert "third_party_model" in runs["train_for_vendor"]["reasons"]


def test_content_consent_does_not_cover_regulated_records(runs):
    assert {"no_consent", "wrong_category"} <= set(runs["train_outcomes"]["reasons"])


def test_telemetry_with_chat_in_it_is_caught_and_the_columns_are_named(ways):
    tags = tags_of(ways, "train_call_feedback")
    assert {("telemetry", "declared"), ("chat", "detected")} <= {tuple(pair) for pair in tags[-1]["statements"]}
    assert {"message", "sender"} <= {column for category, column in tags[-1]["columns"] if category == "chat"}


def test_a_derived_table_is_blocked_by_what_it_was_made_from(runs, ways):
    derived = tags_of(ways, "train_visit_forecast")[-1]
    assert derived["statements"] == [["telemetry", "declared"]]
    assert [source["name"].rpartition("/")[2] for source in derived["made_from"]] == ["fhir"]
    assert runs["train_visit_forecast"]["accounts_blocked"] == len(CLINICS)
    told = known_sources(ways.service, DatasetVersion.from_dict(derived["version"]).dataset)
    assert [source.name.rpartition("/")[2] for source in told] == ["fhir"], "Airflow's own lineage says the same"


@pytest.mark.parametrize("dag_id", TRAINED)
def test_allowed_runs_train(runs, dag_id):
    run = runs[dag_id]
    assert (run["state"], run["gate_state"], run["train_state"]) == ("success", "success", "success")
    assert (run["verdict"], run["reasons"]) == ("allow", [])
    assert joblib.load(run["model_path"]) is not None


def test_each_trained_model_is_attested_once_and_nothing_else_is(home, runs):
    settings = read_settings({"GATE_HOME": str(home / "1" / "gate")})
    with open_service(settings) as service, service.ledger.read() as reader:
        checked = [check_attestation(service, reader, entry) for entry in reader.entries("attestation")]
    assert all(one.problems == () for one in checked)
    said = {one.statement["subject"][0]["name"]: one.statement["predicate"]["permission"] for one in checked}
    assert sorted(said) == sorted(f"file://{runs[dag_id]['model_path']}" for dag_id in TRAINED)
    assert len(checked) == len(said)
    assert not any(permission["unpermitted"] for permission in said.values())


def test_the_subset_model_has_seen_only_those_who_agreed(runs):
    assert model_of(runs[SUBSET])["accounts"] == ["aurora"]


def test_telemetry_needs_no_consent(runs):
    assert model_of(runs["train_call_quality"])["accounts"] == list(ACCOUNTS)


def test_inference_is_allowed_where_the_feature_is_on(runs):
    run = runs["summarise_meetings"]
    assert (run["state"], run["verdict"], run["model_path"]) == ("success", "allow", None)


def test_a_withdrawal_between_gate_and_training_wins(runs):
    run = runs["train_after_withdrawal"]
    assert (run["state"], run["gate_state"], run["train_state"]) == ("failed", "success", "failed")
    assert "consent_withdrawn" in run["reasons"]
    assert run["model_path"] is None


def test_the_lineage_store_has_every_event_and_nothing_else(kept, events):
    """What the file has twice, since an outbox delivers at least once, the store has once."""
    assert {canonical(event) for event in kept} == {canonical(event) for event in events}
    assert len(kept) == len({canonical(event) for event in kept})


def test_the_trained_model_leads_back_to_raw_data_past_the_gate_and_its_verdict(ways, home, runs):
    answer = ways.graph("upstream", "model:ms-1")
    assert answer["complete"]
    nodes = {one["id"]: one for one in answer["nodes"]}
    (root,) = answer["roots"]
    assert nodes[root]["name"] == runs[SUBSET]["model_path"]
    versions = {one["name"]: one["facts"]["categories"] for one in nodes.values() if one["kind"] == "version"}
    lake = home / "1" / "gate" / "lake" / "meetings"
    assert versions[str(lake / "recordings")] == ["audio", "video"]
    assert versions[str(lake / "chat" / "chat.jsonl")] == ["chat"]
    (decision,) = (one for one in nodes.values() if one["kind"] == "decision")
    assert decision["facts"]["verdict"] == "allow"
    gate = next(one["id"] for one in nodes.values() if one["label"].startswith(f"{SUBSET}.consent_gate ·"))
    assert [one["verdict"] for one in answer["edges"] if one["target"] == decision["id"]] == ["allow"]
    assert {one["verdict"] for one in answer["edges"] if one["target"] == gate} == {"block"}  # so: only the subset


def test_downstream_of_the_chat_a_blocked_run_says_why(ways, home, runs):
    answer = ways.graph("downstream", f"file://{home}/1/gate/lake/meetings/chat/chat.jsonl")
    labels = {one["id"]: one["label"] for one in answer["nodes"]}
    gate = "train_meeting_summary.consent_gate ·"
    blocked = [one for one in answer["edges"] if labels[one["target"]].startswith(gate)]
    told = [one for one in answer["edges"] if labels[one["source"]].startswith(gate)]
    assert [one["verdict"] for one in [*blocked, *told]] == ["block", "block"]
    assert set(told[0]["reasons"]) == set(runs["train_meeting_summary"]["reasons"])
    assert {"no_consent", "consent_withdrawn"} <= set(blocked[0]["reasons"])
    assert "ms-1" in {label.partition(" ")[0] for label in labels.values()}


def test_a_withdrawal_concerns_what_was_decided_before_it(ways, home):
    answer = ways.impact("harbor")
    then = {one["dag_id"]: (one["verdict"], one["now"]["verdict"]) for one in answer["decisions"]}
    assert then["train_after_withdrawal"] == ("allow", "block")
    assert then["train_call_quality"] == ("allow", "allow")  # telemetry needs no consent
    assert [one["model"] for one in answer["models"]] == ["cq-1"]
    assert {one["model"] for one in ways.impact("aurora")["models"]} == {"cq-1", "ms-1"}


def test_the_lines_at_the_end_can_be_pasted_into_a_shell(demo):
    for name in ("upstream_command", "impact_command"):
        done = subprocess.run(["sh", "-c", demo["lineage"][name]], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "train" in done.stdout


def test_events_are_valid_openlineage(kept, events):
    faults = {event["job"]["name"]: errors for event in [*events, *kept] if (errors := errors_of(event))}
    assert faults == {}


@pytest.mark.parametrize("dag_id", BLOCKED)
def test_a_blocked_training_task_has_no_start(events, dag_id):
    assert types_of(events, f"{dag_id}.train") == []
    assert "FAIL" in types_of(events, f"{dag_id}.consent_gate")


@pytest.mark.parametrize("dag_id", TRAINED)
def test_a_training_task_has_start_and_end(events, dag_id):
    assert types_of(events, f"{dag_id}.train") == ["START", "COMPLETE"]


def test_the_decision_is_in_the_gates_events(events):
    for dag_id, verdict in [("train_meeting_summary", "block"), ("train_call_quality", "allow")]:
        gates = [event for event in events if event["job"]["name"] == f"{dag_id}.consent_gate"]
        facets = [
            event["run"]["facets"]["gate_decision"] for event in gates if "gate_decision" in event["run"]["facets"]
        ]
        assert {facet["verdict"] for facet in facets} == {verdict}


def test_events_never_name_an_account(events):
    for event in events:
        for dataset in [*event.get("inputs", []), *event.get("outputs", [])]:
            assert not [account for account in ACCOUNTS if f'"{account}"' in json.dumps(dataset)]
        assert not [account for account in ACCOUNTS if f"@{account}.example" in json.dumps(event)]


def test_the_ledger_verifies(home, demo):
    env = {**os.environ, "GATE_HOME": str(home / "1" / "gate")}
    done = subprocess.run([GATE, "ledger", "verify", "--json"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["findings"] == []


@pytest.mark.slow
def test_a_second_demo_comes_out_the_same_stays_up_and_ends_with_ctrl_c(home, demo):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [GATE, "demo", "--json", "--home", home, "--port", str(port)]
    # A shell starts its background jobs, and so perhaps this very test, without SIGINT; a child gets the default back.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as second:
        signal.signal(signal.SIGINT, before)
        try:
            answer = json.loads(second.stdout.readline())
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
        finally:
            second.send_signal(signal.SIGINT)
            try:
                _, told = second.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                second.terminate()
                raise
    assert second.returncode == 0, told
    assert answer["events_path"] == str(home / "2" / "events.jsonl")
    assert [run["reasons"] for run in answer["runs"]] == [run["reasons"] for run in demo["runs"]]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
