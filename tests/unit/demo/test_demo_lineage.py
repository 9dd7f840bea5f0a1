"""The demo's events reach its store and its file whatever becomes of the other, and its last lines can be pasted."""

import json
import subprocess

import pytest
from openlineage.client.transport import get_default_factory

from gate.demo.airflow import environment, transport
from gate.demo.home import new_home
from gate.demo.lineage import command, places, waits
from gate.demo.seed import record_history
from gate.lineage.store.delivery import events_after
from gate.service.core import open_service
from gate.service.lineage_store import open_lineage

EVENT = {
    "eventType": "COMPLETE",
    "eventTime": "2026-11-22T10:00:00Z",
    "run": {"runId": "0190163d-8694-739b-aea5-966c26f8ad91"},
    "job": {"namespace": "airflow", "name": "notes.tag"},
    "inputs": [{"namespace": "file", "name": "/lake/chat.jsonl", "facets": {"filler": {"text": "x" * 20_000}}}],
}


@pytest.fixture
def home(tmp_path):
    return new_home(tmp_path / "a folder's name")


def emit(home, *events):
    opened = get_default_factory().create(transport(home))
    for event in events:
        opened.emit(event)
    assert opened.close(10)


def in_file(home):
    return [json.loads(line) for line in home.events.read_text().splitlines()] if home.events.is_file() else []


def in_store(home):
    with open_lineage(home.settings) as store:
        return [json.loads(raw) for _, raw in events_after(store, 0, 100)]


def test_an_event_is_in_the_store_and_in_the_file(home):
    emit(home, EVENT)
    assert in_file(home) == in_store(home) == [EVENT]


def test_the_store_has_once_what_comes_twice(home):
    emit(home, EVENT, EVENT)
    assert in_file(home) == [EVENT, EVENT]
    assert in_store(home) == [EVENT]


def test_without_the_file_the_store_loses_nothing(home):
    home.events.mkdir()
    emit(home, EVENT)
    assert in_store(home) == [EVENT]


def test_without_the_store_the_file_loses_nothing_and_the_store_gets_it_later(home):
    database = home.gate / "lineage.db"
    database.mkdir()
    emit(home, EVENT)
    assert in_file(home) == [EVENT]
    database.rmdir()
    (home.gate / "lineage" / "spool.lock").unlink()  # ten seconds later
    with open_service(home.settings) as service:
        assert not waits(service)
    assert in_store(home) == [EVENT]


def test_nothing_of_another_lineage_store_leaks_in(home):
    ours = environment(home, (1, 2, 3), {"GATE_LINEAGE_URL": "sqlite:////elsewhere", "OPENLINEAGE_URL": "http://x"})
    assert not {"GATE_LINEAGE_URL", "OPENLINEAGE_URL"} & set(ours)
    assert json.loads(ours["AIRFLOW__OPENLINEAGE__TRANSPORT"]) == transport(home)


def test_a_command_can_be_pasted_whatever_the_folder_is_called(home):
    with open_service(home.settings) as service:
        record_history(service)
    line = command(home, "lineage", "impact", "--account", "harbor", "--json")
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["question"]["name"] == "harbor", done.stderr


def test_where_to_look_is_one_address_and_two_commands(home):
    found = places(home, "http://127.0.0.1:8080")
    assert list(found) == ["graph_url", "upstream_command", "impact_command"]
    page = "/plugin/consent-gate/gate/ui/lineage?node=model:ms-1&direction=upstream"
    assert found["graph_url"] == f"http://127.0.0.1:8080{page}"
    assert found["upstream_command"].endswith(" lineage upstream model:ms-1")
    assert found["impact_command"].endswith(" lineage impact --account harbor")
