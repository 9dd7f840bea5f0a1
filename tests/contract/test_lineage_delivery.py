"""The relay on both databases: every backend gets every event in order, at its own pace; what it refuses is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from gate.errors import InputError
from gate.lineage.observed import observe
from gate.lineage.store import delivery
from gate.lineage.store.ingest import index_again
from gate.lineage.store.locks import alone
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.relaying import (
    BATCH,
    DOUBTFUL,
    dead_letters,
    read_backends,
    relay_once,
    relay_until,
    replay,
)
from gate.service.tagging import tag_dataset
from support.lineage_backend import Recorder, key_of, recording, run_events
from support.world import ASKING, USE, Clock, add_account, chat_file, event, new_service, say


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(ledger_url: str, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    for name in ("AIRFLOW__OPENLINEAGE__TRANSPORT", "OPENLINEAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with new_service(tmp_path / "home", clock, url=ledger_url) as opened:
        yield opened


@pytest.fixture
def backend() -> Iterator[Recorder]:
    with recording() as server:
        yield server


def put(service: Service, *numbers: int) -> list[tuple[str, str]]:
    """Put runs into the store; return what a backend should get."""
    sent = [one for number in numbers for one in run_events(number)]
    service.intake.keep([observe(one) for one in sent])
    return [key_of(one) for one in sent]


def of(done: dict[str, Any], name: str = "b") -> tuple[int, int, int]:
    one = done["backends"][name]
    return one["delivered"], one["dead"], one["behind"]


def test_every_event_arrives_once_in_order_and_unchanged(service: Service, backend: Recorder) -> None:
    sent = put(service, *range(BATCH))
    backends = {"b": backend.config}
    assert of(relay_once(service, backends)) == (2 * BATCH, 0, 0)
    assert [key_of(one) for one in backend.received] == sent
    assert backend.received[0] == run_events(0)[0]
    assert of(relay_once(service, backends)) == (0, 0, 0)
    assert len(backend.received) == 2 * BATCH


def test_other_kinds_of_events_arrive_too(service: Service, backend: Recorder) -> None:
    common = {"eventTime": "2026-01-01T00:00:00Z", "producer": "p", "schemaURL": "s"}
    others = [
        {**common, "dataset": {"namespace": "file", "name": "/x"}},
        {**common, "job": {"namespace": "dbt", "name": "model"}, "unknown": {"kept": True}},
        {**common, "run": {"runId": "not-a-uuid"}, "job": {"namespace": "a", "name": "b"}},
    ]
    service.intake.keep([observe(one) for one in others])
    assert of(relay_once(service, {"b": backend.config})) == (3, 0, 0)
    assert backend.received == others


def test_a_decision_reaches_store_and_backends_by_itself(service: Service, backend: Recorder, tmp_path: Path) -> None:
    add_account(service, "acme")
    say(service, event("acme"))
    data = chat_file(tmp_path, ["acme"])
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    decide(service, [data], USE, ASKING)
    assert service.ledger.pending_outbox(10) == []
    assert of(relay_once(service, {"b": backend.config})) == (1, 0, 0)
    assert backend.received[0]["run"]["facets"]["gate_decision"]["verdict"] == "allow"


def test_a_decision_s_event_waits_for_a_store_that_went_away_meanwhile(
    service: Service,
    backend: Recorder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gate.service.facts.known_sources", lambda *_: [])  # it was asked just before
    add_account(service, "acme")
    say(service, event("acme"))
    data = chat_file(tmp_path, ["acme"])
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    working = service.intake._url
    service.intake.close()
    service.intake._url = f"sqlite:///{tmp_path}"  # a folder
    assert decide(service, [data], USE, ASKING).allowed
    assert "no events" in caplog.text
    assert len(service.ledger.pending_outbox(10)) == 1
    service.intake._url = working
    assert of(relay_once(service, {"b": backend.config})) == (1, 0, 0)
    assert service.ledger.pending_outbox(10) == []


def test_a_backend_that_is_down_holds_back_only_itself(service: Service, backend: Recorder, clock: Clock) -> None:
    sent = put(service, 1, 2)
    with recording() as gone:
        away = gone.config
    backends = {"b": backend.config, "away": away}
    done = relay_once(service, backends)
    assert of(done) == (4, 0, 0)
    assert of(done, "away") == (0, 0, 4)
    assert "ConnectionError" in done["backends"]["away"]["error"]
    waits = []
    for _ in range(12):
        before = clock()
        said = relay_once(service, backends)["backends"]["away"]
        assert said["next_try"] is not None
        at = delivery.standing(service.intake.store(), "away")
        waits.append(round((at.retry_at or 0) / 1e6 - before.timestamp()))
        clock.forward(seconds=waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    with recording(int(away["url"].rpartition(":")[2])) as back:
        assert of(relay_once(service, backends), "away") == (4, 0, 0)
        assert [key_of(one) for one in back.received] == sent


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_a_backend_refuses_for_good_is_kept_and_the_rest_goes_on(
    service: Service, backend: Recorder, status: int
) -> None:
    sent = put(service, 1, 2, 3)
    backend.status = lambda one: status if key_of(one) == sent[2] else 201
    backends = {"b": backend.config}
    assert of(relay_once(service, backends)) == (5, 1, 0)
    assert [key_of(one) for one in backend.received] == [*sent[:2], *sent[3:]]
    [letter] = dead_letters(service)
    assert (letter["backend"], letter["error"]) == ("b", f"HTTPError (HTTP {status})")
    assert letter["about"] == "etl.task START"
    assert replay(service, backends) == {"b": {"delivered": 0, "refused": 1}}
    assert len(dead_letters(service, "b")) == 1
    backend.status = lambda one: 201
    assert replay(service, backends, "b") == {"b": {"delivered": 1, "refused": 0}}
    assert key_of(backend.received[-1]) == sent[2]
    assert dead_letters(service) == []
    with pytest.raises(InputError, match="is no backend"):
        replay(service, backends, "nobody")


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 503])
def test_what_is_no_answer_about_the_event_buries_nothing(
    service: Service, backend: Recorder, clock: Clock, status: int
) -> None:
    sent = put(service, 1, 2)
    backend.status = lambda one: status
    backends = {"b": backend.config}
    for _ in range(DOUBTFUL + 3):
        assert of(relay_once(service, backends)) == (0, 0, 4)
        clock.forward(minutes=6)
    backend.status = lambda one: 201
    assert of(relay_once(service, backends)) == (4, 0, 0)
    assert [key_of(one) for one in backend.received] == sent


def test_an_event_that_a_working_backend_fails_with_is_buried_after_some_tries(
    service: Service, backend: Recorder, clock: Clock
) -> None:
    sent = put(service, 1, 2, 3)
    poison = set(sent[1:3])
    backend.status = lambda one: 500 if key_of(one) in poison else 201
    backends = {"b": backend.config}
    assert of(relay_once(service, backends)) == (1, 0, 5)
    for _ in range(DOUBTFUL - 1):
        clock.forward(minutes=6)
        assert of(relay_once(service, backends)) == (0, 0, 5)
    clock.forward(minutes=6)
    assert of(relay_once(service, backends)) == (3, 2, 0)
    assert [key_of(one) for one in backend.received] == [sent[0], *sent[3:]]
    assert {letter["error"] for letter in dead_letters(service)} == {"HTTPError (HTTP 500)"}


def test_deliveries_survive_an_index_made_anew(service: Service, backend: Recorder) -> None:
    put(service, 1)
    backends = {"b": backend.config}
    relay_once(service, backends)
    with service.intake.store().write() as connection:
        index_again(connection)
    assert of(relay_once(service, backends)) == (0, 0, 0)


def test_a_backend_named_later_gets_everything_from_the_beginning(service: Service, backend: Recorder) -> None:
    sent = put(service, 1, 2)
    relay_once(service, {})
    assert of(relay_once(service, {"b": backend.config})) == (4, 0, 0)
    assert [key_of(one) for one in backend.received] == sent


def test_two_relays_do_not_work_for_one_backend_at_once(service: Service, backend: Recorder) -> None:
    sent = put(service, *range(60))
    backends = {"b": backend.config}
    with alone(service.intake.store(), "relay b") as mine:
        assert mine
        said = relay_once(service, backends)["backends"]["b"]
        assert (said["busy"], said["delivered"], said["behind"]) == (True, 0, 120)
    both = [Thread(target=relay_once, args=(service, backends)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert of(relay_once(service, backends)) == (0, 0, 0)
    assert [key_of(one) for one in backend.received] == sent


def test_following_delivers_what_comes_later_and_ends_when_told(service: Service, backend: Recorder) -> None:
    stop, said = Event(), []
    sent = put(service, 1)
    follower = Thread(target=lambda: said.append(relay_until(service, {"b": backend.config}, stop)))
    follower.start()
    sent += put(service, 2)
    service.intake.spool.append(json.dumps(run_events(3)[0]))
    sent.append(key_of(run_events(3)[0]))
    deadline = time.monotonic() + 20
    while len(backend.received) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    follower.join(10)
    assert backend.firsts == sent
    assert of(said[0]) == (5, 0, 0)
    assert said[0]["spool"] == 1


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{", "GATE_LINEAGE_BACKENDS"),
        ("[1]", "GATE_LINEAGE_BACKENDS"),
        ('{"a b": {"type": "console"}}', "GATE_LINEAGE_BACKENDS"),
        ('{"a": {}}', "GATE_LINEAGE_BACKENDS.a"),
        ('{"a": {"type": "http"}}', "GATE_LINEAGE_BACKENDS.a"),
        ('{"a": {"type": "noop"}}', "GATE_LINEAGE_BACKENDS.a"),
        ('{"a": {"type": "composite"}}', "GATE_LINEAGE_BACKENDS.a"),
        ('{"a": {"type": "http", "url": "http://user:hunter2@[broken"}}', "GATE_LINEAGE_BACKENDS.a"),
    ],
)
def test_backends_that_cannot_be_are_named(text: str, where: str) -> None:
    with pytest.raises(InputError) as caught:
        read_backends({"GATE_LINEAGE_BACKENDS": text})
    assert caught.value.where == where
    assert "hunter2" not in str(caught.value)


def test_no_backends_are_none() -> None:
    assert read_backends({}) == {}
