from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attr
import pytest
from openlineage.client.transport import Config, Transport

from gate.lineage.relay import configured_transport, deliver
from gate.lineage.transport import AppendConfig, AppendTransport
from support.events import EVENTS
from support.openlineage_spec import errors_of

EVENT = EVENTS["decision_block"]()


@pytest.fixture(autouse=True)
def unconfigured(monkeypatch, tmp_path):
    """No OpenLineage configuration of this machine, and none left behind (the client writes to os.environ)."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("OPENLINEAGE", "AIRFLOW__OPENLINEAGE")):
            del os.environ[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Backend(ThreadingHTTPServer):
    """A lineage backend on the loopback that answers with the status its `status` says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status = 201
        self.received: list[dict] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(json.loads(body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def backend():
    with Backend() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_events_arrive_as_they_were_made(tmp_path):
    path = tmp_path / "events.jsonl"
    transport = configured_transport({"type": "file", "log_file_path": str(path), "append": True})
    results = deliver([(1, EVENT), (2, EVENTS["training"]())], transport)
    assert [(r.id, r.error) for r in results] == [(1, None), (2, None)]
    first, second = lines(path)
    assert errors_of(first) == errors_of(second) == []
    assert first["run"] == EVENT["run"]
    assert [d["inputFacets"] for d in first["inputs"]] == [d["inputFacets"] for d in EVENT["inputs"]]
    assert second["outputs"][0]["facets"] == EVENTS["training"]()["outputs"][0]["facets"]


def test_nothing_configured_means_no_transport():
    assert configured_transport() is None


@pytest.mark.parametrize("name", ["OPENLINEAGE__TRANSPORT", "AIRFLOW__OPENLINEAGE__TRANSPORT"])
def test_the_environments_transport_is_used(monkeypatch, tmp_path, name):
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv(name, json.dumps({"type": "file", "log_file_path": f"file://{path}", "append": True}))
    assert deliver([("a", EVENT)], configured_transport())[0].error is None
    assert len(lines(path)) == 1


def test_single_variables_are_read(monkeypatch, tmp_path):
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "file")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", str(path))
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__APPEND", "true")
    deliver([("a", EVENT)], configured_transport())
    assert len(lines(path)) == 1


def test_a_url_alone_is_enough(monkeypatch, backend):
    monkeypatch.setenv("OPENLINEAGE_URL", backend.url)
    assert deliver([(1, EVENT)], configured_transport())[0].error is None
    assert backend.received[0]["run"]["runId"] == EVENT["run"]["runId"]


def test_disabled_keeps_the_events(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert configured_transport({"type": "console"}) is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '"file"',
        '{"type": "nowhere.Transport"}',
        '{"type": "http"}',
        '{"type": "http", "url": "http://user:hunter2@[broken"}',
        '{"type": "composite"}',
        '{"type": "file", "append": true}',
        '{"type": "gate.lineage.relay.Delivery"}',
    ],
)
def test_a_broken_configuration_keeps_the_events_and_is_logged(monkeypatch, caplog, text):
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", text)
    with caplog.at_level(logging.ERROR, "gate.lineage.relay"):
        assert configured_transport() is None
    assert [r.levelname for r in caplog.records if r.name == "gate.lineage.relay"] == ["ERROR"]
    assert "hunter2" not in caplog.text


def test_the_async_transport_is_replaced_by_one_that_tells(backend):
    backend.status = 400
    transport = configured_transport({"type": "async_http", "url": backend.url})
    assert transport.kind == "http"
    assert deliver([(1, EVENT)], transport)[0].error == "HTTPError (HTTP 400)"


@pytest.mark.parametrize("as_mapping", [True, False])
def test_a_composite_is_made_dependable_inside(tmp_path, backend, as_mapping):
    path = tmp_path / "events.jsonl"
    parts = {
        "log": {"type": "file", "log_file_path": str(path), "append": True},
        "web": {"type": "async_http", "url": backend.url},
    }
    config = {"type": "composite", "transports": parts if as_mapping else list(parts.values())}
    transport = configured_transport(config)
    assert sorted(part.kind for part in transport.transports) == ["gate_append", "http"]
    assert deliver([(1, EVENT)], transport)[0].error is None
    assert (len(lines(path)), len(backend.received)) == (1, 1)


def test_a_refusing_backend_is_told_and_the_next_event_is_tried(backend):
    backend.status = 422
    transport = configured_transport({"type": "http", "url": backend.url})
    results = deliver([(1, EVENT), (2, EVENT)], transport)
    assert [(r.id, r.error) for r in results] == [(1, "HTTPError (HTTP 422)"), (2, "HTTPError (HTTP 422)")]
    backend.status = 201
    assert deliver([(1, EVENT)], transport)[0].error is None


def test_a_dead_backend_fails_no_task_and_shows_no_secret():
    config = {"type": "http", "url": "http://user:hunter2@127.0.0.1:9", "retry": {"total": 0}}
    (result,) = deliver([(1, EVENT)], configured_transport(config))
    assert result.error
    assert "hunter2" not in result.error


def test_an_event_that_is_none_is_reported_not_raised(tmp_path):
    path = tmp_path / "events.jsonl"
    transport = configured_transport({"type": "file", "log_file_path": str(path), "append": True})
    results = deliver([(1, {}), (2, {**EVENT, "eventType": "PARTY"}), (3, EVENT)], transport)
    assert [r.error for r in results] == ["KeyError", "ValueError", None]
    assert len(lines(path)) == 1


def test_an_unwritable_file_is_reported(tmp_path):
    transport = AppendTransport(AppendConfig(str(tmp_path)))
    assert deliver([(1, EVENT)], transport)[0].error == "IsADirectoryError"


@attr.define
class SlowConfig(Config):
    pass


class Slow(Transport):
    """A transport that queues: it says at closing whether everything was sent."""

    kind = "slow"
    config_class = SlowConfig
    finishes = True

    def emit(self, event: object) -> None:
        pass

    def close(self, timeout: float = -1) -> bool:
        return self.finishes


def test_what_a_transport_did_not_finish_is_not_delivered():
    transport = Slow()
    assert deliver([(1, EVENT)], transport)[0].error is None
    transport.finishes = False
    assert deliver([(1, EVENT)], transport)[0].error == "the transport did not finish in time"


def test_no_event_is_begun_when_patience_is_over():
    assert deliver([(1, EVENT), (2, EVENT)], Slow(), patience=0) == []


WRITER = """
import sys
from gate.lineage.transport import AppendConfig, AppendTransport
transport = AppendTransport(AppendConfig(sys.argv[1]))
for number in range(60):
    transport.emit({"writer": sys.argv[2], "number": number, "text": sys.argv[2] * 50_000})
"""


def test_writers_side_by_side_never_interleave(tmp_path):
    path = tmp_path / "events.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abc"]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    written = lines(path)
    assert len(written) == 180
    for name in "abc":
        assert [line["number"] for line in written if line["writer"] == name] == list(range(60))
    assert all(set(line["text"]) == {line["writer"]} for line in written)
