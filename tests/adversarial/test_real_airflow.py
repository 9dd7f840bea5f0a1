"""Attacks in a real Airflow, with scheduler and workers: nothing trains, the reason is recorded, nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gate.api.airflow_identity import airflow_confirmation
from gate.domain.run import Confirmed, TaskRun
from gate.errors import PermitRefused
from support.attack_lab import RUN
from support.conformance import faults_of, read_events, shapes_of
from support.real_airflow import ONE_AT_A_TIME

if TYPE_CHECKING:
    from conftest import Battle

REFUSAL = "only a task that Airflow's scheduler started may train"

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    ONE_AT_A_TIME,
]


def refused(battle: Battle, dag_id: str, reason: str, task_id: str = "train", times: int = 1) -> None:
    """Assert that training was tried, refused for this reason as often as it was tried, and never ran."""
    assert battle.trained(dag_id, task_id) == []
    assert battle.states[dag_id][task_id] == "failed", battle.log(dag_id, task_id)
    assert battle.reasons(dag_id, task_id) == [reason] * times, battle.log(dag_id, task_id)
    assert battle.entries("redemption", dag_id, task_id) == []


class TestTheHarness:
    """What it would look like if an attack succeeded."""

    def test_permitted_training_leaves_a_mark(self, battle: Battle) -> None:
        assert battle.trained("ui_allowed", "train") == [f"ui_allowed.train.-1.1@{RUN}"]
        assert len(battle.trained("ui_allowed", "train_folds")) == 2
        assert len(battle.entries("redemption", "ui_allowed")) == 3

    def test_a_task_without_a_lock_leaves_a_mark(self, battle: Battle) -> None:
        assert len(battle.trained("not_training")) == 1

    def test_roles_are_real(self, battle: Battle) -> None:
        assert battle.answers["viewer marks"] == 403


class TestReviewers:
    """People with rights in the UI, and DAGs that let training start whatever became of the gate."""

    def test_gate_marked_successful_then_training_cleared(self, battle: Battle) -> None:
        assert battle.states["ui_marked"]["consent_gate"] == "success"
        refused(battle, "ui_marked", "permit_missing", times=2)

    def test_training_cleared_alone(self, battle: Battle) -> None:
        assert battle.trained("ui_cleared") == []
        assert battle.states["ui_cleared"] == {"consent_gate": "failed", "train": "upstream_failed"}

    def test_training_cleared_after_a_withdrawal(self, battle: Battle) -> None:
        dag_id = "ui_cleared_after_withdrawal"
        assert battle.trained(dag_id) == [f"{dag_id}.train.-1.1@{RUN}"]
        assert battle.states[dag_id] == {"consent_gate": "success", "train": "failed"}
        assert battle.reasons(dag_id) == ["consent_withdrawn"]

    def test_forged_and_copied_xcoms(self, battle: Battle) -> None:
        assert battle.states["xcom_forged"]["consent_gate"] == "success"
        assert battle.states["xcom_forged"]["hand_over"] == "success"
        refused(battle, "xcom_forged", "permit_missing", times=3)

    @pytest.mark.parametrize("rule", ["all_done", "always", "none_failed"])
    def test_permissive_trigger_rules(self, battle: Battle, rule: str) -> None:
        refused(battle, "permissive", "permit_missing", task_id=rule)

    def test_run_configuration_of_every_name(self, battle: Battle) -> None:
        assert battle.airflow.run("permissive", RUN)["conf"]["skip_gate"] is True
        assert battle.states["permissive"]["consent_gate"] == "failed"
        assert battle.trained("permissive") == []

    def test_mapped_training(self, battle: Battle) -> None:
        assert battle.trained("permissive", "folds") == []
        assert [battle.states["permissive"][f"folds[{n}]"] for n in (0, 1)] == ["failed", "failed"]
        assert battle.reasons("permissive", "folds") == ["permit_missing", "permit_missing"]

    def test_backfill_of_a_time_when_consent_stood(self, battle: Battle) -> None:
        assert battle.answers["backfill"]
        for states in battle.answers["backfill"].values():
            assert states == {"consent_gate": "failed", "train": "failed"}
        assert battle.trained("backfilled") == []
        decisions = battle.entries("decision", "backfilled")
        assert {body["run"]["run_id"] for body in decisions} >= set(battle.answers["backfill"])
        assert {tuple(body["decision"]["reasons"]) for body in decisions} == {("consent_withdrawn",)}
        assert set(battle.reasons("backfilled")) == {"permit_missing"}


class TestAuthors:
    """What a DAG file overrides, removes or replaces."""

    @pytest.mark.parametrize(
        "task_id",
        [
            "own_execute",
            "own_pre_execute",
            "own_resume",
            "hook_of_its_own",
            "hook_taken_late",
            "pre_execute_given",
            "hook_removed",
            "hook_replaced",
            "execute_replaced",
        ],
    )
    def test_overrides(self, battle: Battle, task_id: str) -> None:
        refused(battle, "overridden", "permit_missing", task_id=task_id)

    def test_the_hook_removed_from_a_mapped_task(self, battle: Battle) -> None:
        assert battle.trained("overridden", "mapped_hook_removed") == []
        assert battle.reasons("overridden", "mapped_hook_removed") == ["permit_missing", "permit_missing"]

    def test_a_ledger_of_ones_own(self, battle: Battle) -> None:
        assert battle.states["own_home"]["make_home"] == "success", battle.log("own_home", "make_home")
        assert battle.trained("own_home") == []
        assert battle.states["own_home"]["train"] == "failed"
        assert "GATE_HOME changed after Airflow started" in battle.log("own_home")

    @pytest.mark.parametrize("task_id", ["other_data", "more_data"])
    def test_another_data_set_than_the_gate_saw(self, battle: Battle, task_id: str) -> None:
        refused(battle, "reads", "permit_mismatch", task_id=task_id)

    def test_another_use_than_the_gate_was_asked_for(self, battle: Battle) -> None:
        assert battle.states["other_use"]["change_use"] == "success"
        refused(battle, "other_use", "permit_mismatch")
        assert "another use" in battle.log("other_use")

    def test_a_copied_dag_has_no_part_in_the_original_s_permit(self, battle: Battle) -> None:
        assert len(battle.trained("ui_allowed", "train")) == 1
        refused(battle, "copied", "permit_missing")

    def test_a_permit_redeemed_by_another_task_than_its_own(self, battle: Battle) -> None:
        assert len(battle.trained("impersonated")) == 1
        assert battle.reasons("impersonated") == ["permit_mismatch"]
        assert len(battle.entries("redemption", "impersonated")) == 1


class TestForgedPermits:
    """Envelopes that a worker wrote into the ledger itself, in the embedded mode."""

    @pytest.mark.parametrize(
        "task_id",
        ["of_another_dag", "of_another_task", "edited", "stripped", "other_type", "other_key", "not_base64"],
    )
    def test_it_permits_nothing(self, battle: Battle, task_id: str) -> None:
        assert battle.states["forged"]["forge"] == "success", battle.log("forged", "forge")
        refused(battle, "forged", "permit_mismatch", task_id=task_id)


class TestBetween:
    """Between the gate's word and training."""

    @pytest.mark.parametrize("dag_id", ["appended", "swapped", "symlinked", "same_mtime"])
    def test_the_data_is_changed(self, battle: Battle, dag_id: str) -> None:
        assert battle.states[dag_id]["tamper"] == "success"
        refused(battle, dag_id, "dataset_changed")

    def test_the_consent_is_withdrawn(self, battle: Battle) -> None:
        refused(battle, "withdrawn_between", "consent_withdrawn")

    def test_the_consent_expires(self, battle: Battle) -> None:
        assert battle.states["expired"]["consent_gate"] == "success"
        refused(battle, "expired", "permit_expired")

    def test_a_consent_of_somebody_else(self, battle: Battle) -> None:
        [decision] = battle.entries("decision", "wrong_people")
        assert {"wrong_account", "not_admin"} <= set(decision["decision"]["reasons"])
        refused(battle, "wrong_people", "permit_missing")


class TestKilled:
    """kill -9 of Airflow's task processes; between all steps of the service: test_kill.py."""

    def test_training_killed_after_it_redeemed_redeems_again(self, battle: Battle) -> None:
        assert battle.trained("killed_training") == [f"killed_training.train.-1.2@{RUN}"]
        tries = [body["run"]["try_number"] for body in battle.entries("redemption", "killed_training")]
        assert tries == [1, 2]

    def test_training_killed_and_consent_withdrawn(self, battle: Battle) -> None:
        assert battle.trained("killed_then_withdrawn") == []
        assert battle.states["killed_then_withdrawn"]["train"] == "failed"
        assert battle.reasons("killed_then_withdrawn") == ["consent_withdrawn"]

    def test_gate_killed_after_it_decided_decides_again(self, battle: Battle) -> None:
        tries = [body["run"]["try_number"] for body in battle.entries("decision", "killed_gate")]
        assert tries == [1, 2]
        assert len(battle.trained("killed_gate")) == len(battle.entries("redemption", "killed_gate")) == 1


class TestAnotherDag:
    """Training whose gate stands in the DAG that triggers it."""

    def test_the_gate_s_own_event_permits(self, battle: Battle) -> None:
        ours = battle.answers["asset runs"]["asset_gate"]
        assert ours["train"] == "success"
        assert [name.partition("@")[2] for name in battle.trained("asset_train")] == [ours["run_id"]]
        [redeemed] = battle.entries("redemption", "asset_train")
        assert redeemed["run"]["run_id"] == ours["run_id"]

    @pytest.mark.parametrize("by", ["nobody", "asset_stranger"])
    def test_an_event_that_no_gate_emitted_permits_nothing(self, battle: Battle, by: str) -> None:
        run = battle.answers["asset runs"][by]
        assert run["train"] == "failed"
        refusals = [body for body in battle.entries("refusal", "asset_train") if body["run"]["run_id"] == run["run_id"]]
        assert [body["reason"] for body in refusals] == ["permit_missing"]

    def test_it_takes_op_to_forge_one(self, battle: Battle) -> None:
        assert battle.answers["user forges an asset event"] == 403

    def test_triggered_by_hand(self, battle: Battle) -> None:
        assert battle.states["asset_train"] == {"train": "failed"}
        refusals = [body for body in battle.entries("refusal", "asset_train") if body["run"]["run_id"] == RUN]
        assert [body["reason"] for body in refusals] == ["permit_missing"]


class TestWhoRuns:
    """What a decision service learns from Airflow's REST API."""

    def test_a_running_try_and_the_run_that_triggered_it(self, battle: Battle) -> None:
        assert battle.answers["confirmed"]["running"] == Confirmed((("asset_gate", RUN),))

    @pytest.mark.parametrize("what", ["next try", "mapped", "other task", "other run", "up", "ended"])
    def test_what_is_not_running_is_refused(self, battle: Battle, what: str) -> None:
        answer = battle.answers["confirmed"][what]
        assert isinstance(answer, PermitRefused), answer
        assert answer.reason == "permit_mismatch"

    def test_a_run_of_dag_test_is_refused(self, battle: Battle) -> None:
        confirm = airflow_confirmation(
            battle.airflow.url, username="viewer", password=battle.airflow.passwords["viewer"]
        )
        runs = battle.airflow.do("admin", "GET", "/dags/by_hand/dagRuns")["dag_runs"]
        assert runs
        for run in runs:
            with pytest.raises(PermitRefused, match="its run is a test"):
                confirm(TaskRun("by_hand", run["dag_run_id"], "train"))


class TestWithoutTheScheduler:
    """Author code outside the policy path: no redemption, no attestation."""

    @pytest.mark.parametrize("how", ["dags test", "script"])
    def test_dag_test(self, battle: Battle, how: str) -> None:
        # A busy machine's scheduler may take the task away from `dags test`, which then finds it unrunnable: it is
        # refused there (test_dag_test_is_recorded), and says so in another log.
        assert REFUSAL in battle.answers[how] or "unrunnable tasks" in battle.answers[how]
        assert battle.trained("by_hand") == []
        assert battle.entries("redemption", "by_hand") == []

    def test_dag_test_is_recorded(self, battle: Battle) -> None:
        assert battle.reasons("by_hand") == ["permit_mismatch", "permit_mismatch"]

    def test_tasks_test_in_a_run_that_was_permitted(self, battle: Battle) -> None:
        assert REFUSAL in battle.answers["tasks test"]
        assert len(battle.trained("ui_allowed", "train")) == 1
        assert battle.reasons("ui_allowed") == ["permit_mismatch"]


def test_every_event_is_valid_openlineage(battle: Battle) -> None:
    """Also those of runs that were killed, cleared, marked, filled in backwards or started past the scheduler."""
    events = read_events(battle.airflow.home)
    assert faults_of(events) == {}
    assert shapes_of(events) >= {"asset_triggered", "backfill", "mapped", "retry", "training"}
    types: dict[str, list[str]] = {}
    for told in events:
        types.setdefault(told["job"]["name"], []).append(told["eventType"])
    assert types["by_hand.train"].count("FAIL") == 2, "dags test, and dag.test() in a script"
    killed = sorted(types["killed_training.train"])  # Airflow ends a killed try itself, perhaps after the next began
    assert killed == ["COMPLETE", "FAIL", "START", "START"]


def test_nothing_else_is_lost(battle: Battle) -> None:
    """After all that the record still proves itself, and every gate's decision is in it."""
    gate = Path(sys.executable).with_name("gate")
    environ = {**os.environ, "GATE_HOME": str(battle.folder)}
    done = subprocess.run(
        [gate, "ledger", "verify", "--json"], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["findings"] == []
    gated = [dag_id for dag_id, states in battle.states.items() if "consent_gate" in states and dag_id != "own_home"]
    undecided = [dag_id for dag_id in gated if not battle.entries("decision", dag_id)]
    assert undecided == []
