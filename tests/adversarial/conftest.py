"""One real Airflow in which every attack is carried out at once; the tests then look at what came of each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gate.api.airflow_identity import airflow_confirmation
from gate.domain.run import Confirmed, TaskRun
from gate.errors import GateError
from gate.service.core import Service, open_service
from gate.service.settings import read_settings
from support.attack_lab import RUN, marks, seed
from support.databases import fresh_database, postgres_server
from support.real_airflow import ENDED, RealAirflow, real_airflow

DAGS = Path(__file__).parent / "dags"
REVIEWERS = (
    "ui_allowed",
    "ui_marked",
    "ui_cleared",
    "ui_cleared_after_withdrawal",
    "xcom_forged",
    "permissive",
    "not_training",
)
BETWEEN = (
    "appended",
    "swapped",
    "symlinked",
    "same_mtime",
    "withdrawn_between",
    "expired",
    "killed_training",
    "killed_then_withdrawn",
    "killed_gate",
    "wrong_people",
)
PERMITS = ("reads", "other_use", "copied", "impersonated")
ASSETS = ("asset_gate", "asset_train")  # asset_train by hand; its other runs are triggered by what others do
FIRST = (*ASSETS, *REVIEWERS, "overridden", "own_home", *BETWEEN, *PERMITS)
AFTER = ("forged",)  # needs the permit of another run, to copy it
MARKED = ("ui_marked", "xcom_forged")
CLEARED = ("ui_cleared", "ui_cleared_after_withdrawal")
CONF = {
    **dict.fromkeys(("skip_gate", "force", "gate_skip", "dry_run", "break_glass", "consent_gate", "allow"), True),
    **dict.fromkeys(("mode", "gate_mode", "GATE_MODE", "policy"), "observe"),
    "permit": {"payload": "e30=", "payloadType": "application/vnd.consent-gate.permit.v1+json", "signatures": []},
    "use": {"purpose": "provide_service"},
    "datasets": [],
    "gate_conn_id": "none",
    "__env": {"GATE_HOME": "/tmp", "GATE_DATABASE_URL": "sqlite://"},
}


@dataclass
class Battle:
    """What came of all attacks.

    Attributes:
        folder: the gate's home.
        states: of every task instance, by DAG id.
        answers: of REST calls and commands, by the attack's name.
        errors: import errors by file name.
    """

    airflow: RealAirflow
    folder: Path
    states: dict[str, dict[str, str | None]] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)

    def open(self) -> Service:
        """Open the ledger to look at it."""
        return open_service(read_settings({"GATE_HOME": str(self.folder)}))

    def trained(self, dag_id: str, task_id: str | None = None) -> list[str]:
        """Return where training of a DAG ran."""
        return marks(self.folder, dag_id, task_id)

    def entries(self, kind: str, dag_id: str, task_id: str | None = None) -> list[dict[str, Any]]:
        """Return the bodies of the ledger's entries about tasks of a DAG, oldest first."""
        with self.open() as service, service.ledger.read() as reader:
            bodies = [entry.body for entry in reader.entries(kind)]
        runs = ((body, body["run"]) for body in bodies)
        return [body for body, run in runs if run["dag_id"] == dag_id and task_id in (None, run["task_id"])]

    def reasons(self, dag_id: str, task_id: str = "train") -> list[str]:
        """Return why redeeming was refused, oldest first."""
        return [body["reason"] for body in self.entries("refusal", dag_id, task_id)]

    def log(self, dag_id: str, task_id: str = "train") -> str:
        """Return the newest try's log, for failing tests."""
        return self.airflow.log_of(dag_id, RUN, task_id)


@pytest.fixture(scope="module")
def battle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Battle]:
    """Start Airflow, attack, wait until nothing moves any more."""
    with ExitStack() as stack:
        # Airflow on SQLite refuses backfills and answers 500 under this load.
        database = stack.enter_context(fresh_database(postgres_server()))
        told = {"AIRFLOW__OPENLINEAGE__DISABLED": "false"}
        airflow = stack.enter_context(real_airflow(tmp_path_factory.mktemp("adversarial"), DAGS, database, **told))
        seed(airflow.home.gate)
        battle = Battle(airflow, airflow.home.gate)
        airflow.wait_until_healthy()
        first = dict.fromkeys(FIRST, RUN)
        airflow.wait_for_dags((*first, *AFTER, "by_hand", "backfilled", "asset_stranger", "asset_held"))
        for dag_id in first:
            airflow.start(dag_id, RUN, CONF if dag_id == "permissive" else None)
        commands = stack.enter_context(_commands(airflow))
        backfill = _backfill(battle)
        battle.answers["confirmed"] = _ask_who_runs(airflow)
        airflow.wait_until_ended(first)
        _asset_run(airflow, 1)
        again = _second_wave(battle)
        airflow.wait_until_ended(again)
        _asset_run(airflow, 2)
        airflow.wait_until_ended(_third_wave(battle))
        _asset_run(airflow, 3)
        for name, (process, log) in commands.items():
            process.wait(400)
            battle.answers[name] = log.read_text("utf-8", "replace")
        done = airflow.command("tasks", "test", "ui_allowed", "train", RUN)  # in a run that was permitted
        battle.answers["tasks test"] = done.stdout + done.stderr
        _wait_for_backfill(battle, backfill)
        for dag_id in {**first, **again}:
            battle.states[dag_id] = airflow.states(dag_id, RUN)
        battle.answers["asset runs"] = _asset_runs(airflow)
        yield battle


@contextmanager
def _commands(airflow: RealAirflow) -> Iterator[dict[str, tuple[subprocess.Popen[bytes], Path]]]:
    """Run training by hand, beside the scheduler; yield the processes and the files they write to."""
    words = {
        "dags test": [str(Path(sys.executable).with_name("airflow")), "dags", "test", "by_hand"],
        "script": [sys.executable, str(DAGS / "permits.py")],
    }
    started = {}
    try:
        for name, command in words.items():
            log = airflow.home.path / f"{name}.log"
            with log.open("wb") as file:
                process = subprocess.Popen(command, env=dict(airflow.environ), stdout=file, stderr=file)
            started[name] = (process, log)
        yield started
    finally:
        for process, _ in started.values():
            process.kill()
            process.wait()


def _backfill(battle: Battle) -> int:
    """Ask, as OP, for the year before a withdrawal that came before the question."""
    from support.world import event, say

    with battle.open() as service:
        say(service, event("backfilled", "withdraw", effective_at="2026-01-01T00:00:00Z"))
    battle.airflow.do("op", "PATCH", "/dags/backfilled", {"is_paused": False})
    body = {"dag_id": "backfilled", "from_date": "2024-12-01T00:00:00Z", "to_date": "2025-12-01T00:00:00Z"}
    number: int = battle.airflow.do("op", "POST", "/backfills", body)["id"]
    return number


def _wait_for_backfill(battle: Battle, number: int) -> None:
    def done() -> bool | None:
        return battle.airflow.do("op", "GET", f"/backfills/{number}")["completed_at"] is not None or None

    battle.airflow.until(done, "the backfill", 400)
    runs = battle.airflow.do("op", "GET", "/dags/backfilled/dagRuns?run_type=backfill")["dag_runs"]
    battle.answers["backfill"] = {
        run["dag_run_id"]: battle.airflow.states("backfilled", run["dag_run_id"]) for run in runs
    }


def _second_wave(battle: Battle) -> Mapping[str, str]:
    """Do what needs runs that have ended: mark, clear, forge.

    Airflow itself clears failed tasks downstream of one that is marked successful: these train, or not, at once.
    """
    from support.world import event, say

    airflow = battle.airflow
    battle.answers["viewer marks"] = airflow.ask(
        "viewer", "PATCH", f"/dags/ui_marked/dagRuns/{RUN}/taskInstances/consent_gate", {"new_state": "success"}
    )[0]
    with battle.open() as service:
        say(service, event("ui_cleared_after_withdrawal", "withdraw", effective_at="2026-01-01T00:00:00Z"))
        with service.ledger.read() as reader:
            permit = next(e.body for e in reader.entries("permit") if e.subject.startswith('["ui_allowed"'))
    forged = {"decision": 1, "verdict": "allow", "permits": {"train": permit["envelope"]}}
    path = f"/dags/xcom_forged/dagRuns/{RUN}/taskInstances/consent_gate/xcomEntries"
    airflow.do("user", "POST", path, {"key": "return_value", "value": forged, "map_index": -1})
    for dag_id in MARKED:
        airflow.mark("user", dag_id, RUN, "consent_gate")
    for dag_id in CLEARED:
        airflow.clear("user", dag_id, RUN, "train")
    airflow.start("forged", RUN)
    [asset] = airflow.do("op", "GET", "/assets")["assets"]
    event_of_nobody = {"asset_id": asset["id"], "extra": {"dag_id": "asset_gate", "run_id": RUN, "permit": permit}}
    battle.answers["user forges an asset event"] = airflow.ask("user", "POST", "/assets/events", event_of_nobody)[0]
    airflow.do("op", "POST", "/assets/events", event_of_nobody)
    return dict.fromkeys((*MARKED, *CLEARED, "forged"), RUN)


def _third_wave(battle: Battle) -> Mapping[str, str]:
    """Clear training once more, where its gate stands as successful."""
    battle.airflow.clear("user", "ui_marked", RUN, "train")
    battle.airflow.clear("user", "xcom_forged", RUN, "hand_over", "train")
    battle.airflow.start("asset_stranger", RUN)
    return dict.fromkeys((*MARKED, "asset_stranger"), RUN)


def _asset_run(airflow: RealAirflow, number: int) -> None:
    """Wait until training was triggered by assets so many times, and ended."""

    def ended() -> bool | None:
        runs = airflow.do("admin", "GET", "/dags/asset_train/dagRuns?run_type=asset_triggered")["dag_runs"]
        return (len(runs) >= number and all(run["state"] in ENDED for run in runs)) or None

    airflow.until(ended, f"{number} runs of asset_train that an asset triggered", 400)


def _asset_runs(airflow: RealAirflow) -> dict[str, dict[str, str | None]]:
    """Return the states of the training runs that assets triggered, by the DAG that emitted the event."""
    found = {}
    for run in airflow.do("admin", "GET", "/dags/asset_train/dagRuns?run_type=asset_triggered")["dag_runs"]:
        [event] = airflow.upstream_events("asset_train", run["dag_run_id"])
        found[event["source_dag_id"] or "nobody"] = {
            "run_id": run["dag_run_id"],
            **airflow.states("asset_train", run["dag_run_id"]),
        }
    return found


def _ask_who_runs(airflow: RealAirflow) -> dict[str, Any]:
    """Ask Airflow, as a decision service does, about a task while it runs and after it."""
    confirm = airflow_confirmation(airflow.url, username="viewer", password=airflow.passwords["viewer"])

    def running() -> TaskRun | None:
        runs = airflow.do("admin", "GET", "/dags/asset_held/dagRuns")["dag_runs"]
        held = [
            run["dag_run_id"] for run in runs if airflow.states("asset_held", run["dag_run_id"])["hold"] == "running"
        ]
        return TaskRun("asset_held", held[0], "hold") if held else None

    run = airflow.until(running, "asset_held to run", 400)
    asked = {
        "running": run,
        "next try": replace(run, try_number=2),
        "mapped": replace(run, map_index=0),
        "other task": replace(run, task_id="train"),
        "other run": replace(run, run_id="scheduled__2020-01-01"),
        "up": replace(run, run_id=".."),
    }
    answers = {name: _confirmed(confirm, one) for name, one in asked.items()}
    (airflow.home.gate / "let-go").touch()
    airflow.until(lambda: airflow.run("asset_held", run.run_id)["state"] in ENDED or None, "asset_held to end", 400)
    return answers | {"ended": _confirmed(confirm, run)}


def _confirmed(confirm: Callable[[TaskRun], Confirmed], run: TaskRun) -> Any:
    try:
        return confirm(run)
    except GateError as error:
        return error
