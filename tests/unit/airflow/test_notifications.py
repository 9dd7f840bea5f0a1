"""The notifier: it tells what the gate stopped, to a real webhook, and nothing when the gate stopped nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from gate.domain.dataset import Dataset
from gate.domain.instants import utc_now
from gate.domain.run import TaskRun
from gate.errors import PermitRefused
from gate.permits.keys import public_key_to_text
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.outcome import Asking, Outcome
from gate.service.subsetting import decide_on_subset
from gate.service.tagging import tag_dataset
from gate.service.worker import redeem
from support.served import served
from support.world import USE, add_account, chat_file, event, new_service, say

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.xdist_group("policy")]

WORKER = "service:airflow"
DAG = "train_summary"
HOSTILE = "<!channel> @here [win](https://evil.example)"

# Plays what Airflow does with a notifier: `callback(context)`, with Airflow's own DAG, tasks and task instance.
SCRIPT = """
import asyncio, json, sys, time, uuid, warnings
warnings.simplefilter("ignore")
import httpx
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from gate.airflow import ConsentGateOperator, dataset, mark_training, use
from gate.airflow.notifications import BlockedRunNotifier

USE, DATA = use("train", feature="meeting_summary", model="ms-1"), dataset("/lake/x.csv", "account_id")

def make(gate_conn_id, on_block):
    ours = {"use": USE, "gate_conn_id": gate_conn_id}
    with DAG("train_summary", schedule=None) as dag:
        one = ConsentGateOperator(task_id="gate", datasets=[DATA], on_block=on_block, **ours)
        two = ConsentGateOperator(task_id="gate_two", datasets=[DATA], **ours)
        train = mark_training(EmptyOperator(task_id="train"), reads=[DATA], **ours)
        [one, two] >> train >> EmptyOperator(task_id="after")
    return dag

found = {}
for case in json.load(sys.stdin):
    dag = make(case.get("gate", "gate_default"), case.get("on_block", "fail"))
    ti = RuntimeTaskInstance.model_construct(
        id=uuid.uuid4(), dag_id="train_summary", run_id=case["run"], task_id=case["task"], map_index=-1,
        try_number=case.get("try", 1), task=dag.get_task(case["task"]),
    )
    context = {"dag": dag, "run_id": case["run"], "ti": ti, "task_instance": ti, "task": ti.task}
    if case.get("of_dag"):
        context["reason"] = "task_failure"
    elif not case.get("parked"):
        context["exception"] = AirflowFailException(case.get("failed_with", "blocked"))
    notifier = BlockedRunNotifier(conn_id=case["conn"], text=case.get("text", ""))
    began, raised = time.monotonic(), None
    try:
        if case.get("is_async"):
            asyncio.run(notifier.async_notify(context))
        else:
            notifier(context)
    except BaseException as error:
        raised = repr(error)
    found[case["name"]] = {"raised": raised, "seconds": time.monotonic() - began}
json.dump(found, sys.stdout)
"""


class Webhook(BaseHTTPRequestHandler):
    """Answers by the first word of the path, and keeps what came."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append((self.path.strip("/"), dict(self.headers), json.loads(body)))  # type: ignore[attr-defined]
        kind = self.path.strip("/")
        if kind == "redirect":
            self.send_response(307)
            self.send_header("Location", "/elsewhere")
        elif kind == "slow":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for letter in b"X-Drip: " + b"x" * 30:
                time.sleep(0.4)
                self.wfile.write(bytes([letter]))
            return
        else:
            self.send_response(500 if kind == "broken" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


CASES: list[dict[str, Any]] = [
    {"name": "gate", "run": "blocked", "task": "gate", "conn": "gate"},
    {"name": "async", "run": "blocked", "task": "gate", "conn": "async", "is_async": True},
    {"name": "text", "run": "blocked", "task": "gate", "conn": "text", "text": "{{ dag.dag_id }} needs you"},
    {"name": "dag", "run": "blocked", "task": "after", "conn": "dag", "of_dag": True},
    {"name": "other_task", "run": "blocked", "task": "after", "conn": "silent"},
    {"name": "parked", "run": "blocked", "task": "gate", "conn": "parked", "parked": True, "on_block": "review"},
    {"name": "refused", "run": "blocked", "task": "train", "conn": "refused"},
    {"name": "refused_other_try", "run": "blocked", "task": "train", "conn": "silent", "try": 2},
    {"name": "refused_dag", "run": "refused", "task": "after", "conn": "refused_dag", "of_dag": True},
    {"name": "allowed", "run": "allowed", "task": "gate", "conn": "silent"},
    {"name": "allowed_dag", "run": "allowed", "task": "after", "conn": "silent", "of_dag": True},
    {"name": "unknown_dag", "run": "nobody_asked", "task": "after", "conn": "silent", "of_dag": True},
    {"name": "two_gates", "run": "two", "task": "after", "conn": "two_gates", "of_dag": True},
    {"name": "second_gate", "run": "two", "task": "gate_two", "conn": "silent"},
    {"name": "first_gate", "run": "two", "task": "gate", "conn": "first_gate"},
    {"name": "cleared", "run": "cleared", "task": "after", "conn": "silent", "of_dag": True},
    {"name": "cleared_gate", "run": "cleared", "task": "gate", "conn": "silent", "try": 2},
    {"name": "subset", "run": "subset", "task": "gate", "conn": "silent", "on_block": "subset"},
    {"name": "hostile", "run": HOSTILE, "task": "gate", "conn": "hostile"},
    {"name": "remote", "run": "blocked", "task": "gate", "conn": "remote", "gate": "gate_remote"},
    {"name": "remote_refused", "run": "blocked", "task": "train", "conn": "remote_refused", "gate": "gate_remote"},
    {"name": "down", "run": "blocked", "task": "gate", "conn": "down", "gate": "gate_down"},
    {"name": "down_dag", "run": "blocked", "task": "gate", "conn": "silent", "gate": "gate_down", "of_dag": True},
    {"name": "broken", "run": "blocked", "task": "gate", "conn": "broken"},
    {"name": "redirect", "run": "blocked", "task": "gate", "conn": "redirect"},
    {"name": "slow", "run": "blocked", "task": "gate", "conn": "slow"},
    {"name": "nobody", "run": "blocked", "task": "gate", "conn": "nobody"},
    {"name": "plain_http", "run": "blocked", "task": "gate", "conn": "plain_http"},
    {"name": "file", "run": "blocked", "task": "gate", "conn": "file"},
]


@dataclass
class Told:
    """What the webhook got, and what became of each call."""

    came: list[tuple[str, dict[str, str], dict[str, Any]]]
    calls: dict[str, dict[str, Any]]
    log: str

    def at(self, path: str) -> dict[str, Any]:
        [(_, _, body)] = [one for one in self.came if one[0] == path]
        return body


def _ask(service: Service, data: Dataset, run: str, task: str = "gate", number: int = 1) -> tuple[Outcome, Asking]:
    asking = Asking(TaskRun(DAG, run, task, try_number=number), ("train",), WORKER, "airflow")
    return decide(service, [data], USE, asking), asking


def _train(service: Service, data: Dataset, run: str) -> None:
    with pytest.raises(PermitRefused):
        redeem(service, TaskRun(DAG, run, "train"), [data], USE, by=WORKER)


def _record(service: Service, folder: Path) -> None:
    for account in ("acme", "zeta"):
        add_account(service, account)
    say(service, event("acme"))
    (folder / "zeta").mkdir()  # a path may name an account
    good, half = (chat_file(folder / "zeta", who, f"{len(who)}.jsonl") for who in (["acme"], ["acme", "acme", "zeta"]))
    for data in (good, half):
        tag_dataset(service, data, ["chat"], by=WORKER, via="airflow")
    _ask(service, half, "blocked")
    _train(service, half, "blocked")
    _train(service, half, "refused")
    _ask(service, half, HOSTILE)
    _ask(service, good, "allowed")
    _ask(service, half, "two")
    _ask(service, good, "two", "gate_two")
    _ask(service, half, "cleared")
    _ask(service, good, "cleared", number=2)
    whole, asking = _ask(service, half, "subset")
    assert decide_on_subset(service, whole, USE, asking, str(folder / "subsets")).passes


def _environment(home: Path, service: Service, url: str, gate: tuple[str, str]) -> dict[str, str]:
    keys = [public_key_to_text(key) for key in service.pinned_keys]
    gates = {"gate_default": None, "gate_remote": gate[0], "gate_down": "http://127.0.0.1:9"}
    hooks = {case["conn"]: f"{url}/{case['conn']}" for case in CASES} | {
        "nobody": "http://127.0.0.1:9/secret-path",
        "plain_http": "http://hooks.example/secret-path",
        "file": "file:///etc/passwd",
    }
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("GATE_", "AIRFLOW"))},
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__API__BASE_URL": "https://airflow.example/af",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "GATE_HOME": str(home / "gate"),
        **{
            f"AIRFLOW_CONN_{name.upper()}": json.dumps(
                {"conn_type": "consent_gate", "host": host, "password": gate[1], "extra": {"keys": keys}}
            )
            for name, host in gates.items()
        },
        **{
            f"AIRFLOW_CONN_{name.upper()}": json.dumps({"conn_type": "http", "host": host, "password": "s3cret-token"})
            for name, host in hooks.items()
            if name != "gate"
        },
        "AIRFLOW_CONN_GATE": json.dumps({"conn_type": "http", "host": f"{url}/gate"}),
    }


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    home = tmp_path_factory.mktemp("told")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    server.came = []  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, daemon=True).start()
    with new_service(home / "gate", utc_now) as service, served(service) as there:
        _record(service, home)
        environ = _environment(home, service, f"http://127.0.0.1:{server.server_port}", (there.url, there.token()))
        ran = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environ, input=json.dumps(CASES), capture_output=True, text=True
        )
    server.shutdown()
    server.server_close()
    assert ran.returncode == 0, ran.stderr
    *log, last = ran.stdout.splitlines()
    return Told(server.came, json.loads(last), "\n".join([*log, ran.stderr]))  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["gate", "async", "dag", "two_gates", "first_gate", "remote"])
def test_a_block_is_told_with_its_counts_its_remedy_and_where_to_look(told: Told, path: str) -> None:
    body = told.at(path)
    assert body["text"].startswith("The consent gate blocked a run.\nDAG train_summary, run ")
    assert "BLOCKED: train for meeting_summary with ms-1 (first_party): no_consent" in body["text"]
    assert "What blocks: chat, 1 account, 1 row.\nWhat to do: an owner or admin" in body["text"]
    gate = body["gate"]
    assert (gate["verdict"], gate["reasons"], gate["accounts"], gate["rows"]) == ("block", ["no_consent"], 1, 1)
    assert (gate["dag_id"], gate["task_id"], gate["waiting"]) == (DAG, "gate", False)
    run = f"https://airflow.example/af/dags/train_summary/runs/{gate['run_id']}"
    assert gate["url"] == f"{run}/tasks/gate/plugin/consent-gate-task"
    assert body["text"].endswith(f"See {gate['url']}")


@pytest.mark.parametrize("path", ["refused", "refused_dag", "remote_refused"])
def test_a_refused_training_is_told(told: Told, path: str) -> None:
    body = told.at(path)
    assert body["text"].startswith("The consent gate refused to let a training task start.")
    assert (body["gate"]["verdict"], body["gate"]["reasons"]) == ("refused", ["permit_missing"])
    assert body["gate"]["task_id"] == "train"


def test_a_block_that_waits_for_a_reviewer_says_so(told: Told) -> None:
    body = told.at("parked")
    assert body["text"].startswith("The consent gate blocked a run, which waits for a reviewer.")
    assert body["gate"]["waiting"] is True


def test_the_authors_text_stands_before_ours(told: Told) -> None:
    assert told.at("text")["text"].startswith("train_summary needs you\nThe consent gate blocked a run.")


def test_where_the_gate_stopped_nothing_nobody_is_told(told: Told) -> None:
    assert [one for one in told.came if one[0] == "silent"] == []


def test_a_gate_that_cannot_be_asked_says_only_that_the_run_failed_there(told: Told) -> None:
    body = told.at("down")
    assert body["text"].startswith("A run failed at the consent gate.")
    assert (body["gate"]["verdict"], body["gate"]["reasons"], body["gate"]["rows"]) == ("unknown", [], None)


def test_no_account_is_named_and_no_name_calls_a_channel(told: Told) -> None:
    everything = json.dumps([body for _, _, body in told.came])
    assert "zeta" not in everything
    assert "acme" not in everything
    text = told.at("hostile")["text"]
    assert "‹!channel› ＠here ［win］" in text
    assert not any(mark in text for mark in "<>@[]")


def test_the_connections_password_is_a_bearer_token(told: Told) -> None:
    headers = {path: headers for path, headers, _ in told.came}
    assert headers["dag"]["Authorization"] == "Bearer s3cret-token"
    assert "Authorization" not in headers["gate"]


def test_whatever_the_webhook_does_the_run_stays_as_it_is(told: Told) -> None:
    assert {name: call["raised"] for name, call in told.calls.items()} == dict.fromkeys(told.calls)
    assert told.calls["slow"]["seconds"] < 7
    assert [one for one in told.came if one[0] == "elsewhere"] == []  # a redirection is not followed
    for what in ("HTTP 500", "HTTP 307", "no answer within 5 s", "is no webhook's address"):
        assert what in told.log
    assert len([one for one in told.came if one[0] == "broken"]) == 1  # one try


def test_the_log_holds_neither_token_nor_the_webhooks_address(told: Told) -> None:
    assert "s3cret-token" not in told.log
    assert "secret-path" not in told.log


def test_the_provider_offers_it() -> None:
    from gate.airflow.provider import get_provider_info

    assert get_provider_info()["notifications"] == ["gate.airflow.notifications.BlockedRunNotifier"]
