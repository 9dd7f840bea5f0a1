"""What a decision service makes of Airflow's answers; a real Airflow gives them in tests/adversarial."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from gate.api.airflow_identity import AskedAirflow, airflow_confirmation
from gate.domain.run import Confirmed, TaskRun
from gate.errors import CannotDecide, InputError, PermitRefused
from gate.service.answers import Answer, ReviewAnswer

RUN = TaskRun("train_summary", "manual__2026-11-21T00:00:00+00:00", "train", -1, 2)
WHEN = "2026-11-21T12:00:00Z"
BASE = "/api/v2/dags/train_summary/dagRuns/manual__2026-11-21T00%3A00%3A00%2B00%3A00"


class OddAirflow:
    """Answers what it is told to, by path; tokens are handed out in order."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, Any] = {
            BASE: {
                "dag_id": RUN.dag_id,
                "dag_run_id": RUN.run_id,
                "run_type": "manual",
                "state": "running",
                "triggered_by": "rest_api",
                "queued_at": WHEN,
            },
            f"{BASE}/taskInstances/train": self.instance(),
        }
        self.good_tokens = {"token-1"}
        self.handed_out = 0

    def instance(self, **changes: Any) -> dict[str, Any]:
        names = {"dag_id": RUN.dag_id, "dag_run_id": RUN.run_id, "task_id": RUN.task_id, "map_index": RUN.map_index}
        known = {"state": "running", "try_number": 2, "queued_when": WHEN, "hostname": "worker-1", "pid": 7}
        return names | known | changes

    def says(self, **changes: Any) -> None:
        """Change the run; with a leading `ti_`, the task instance."""
        for name, value in changes.items():
            path = f"{BASE}/taskInstances/train" if name.startswith("ti_") else BASE
            self.answers[path][name.removeprefix("ti_")] = value


@pytest.fixture
def odd() -> Iterator[OddAirflow]:
    airflow = OddAirflow()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["Authorization"] not in {f"Bearer {token}" for token in airflow.good_tokens}:
                self.answer(401, {})
            elif self.path not in airflow.answers:
                self.answer(404, {"detail": "not found"})
            else:
                found = airflow.answers[self.path]
                self.answer(found if isinstance(found, int) else 200, {} if isinstance(found, int) else found)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert asked == {"username": "viewer", "password": "secret"}
            airflow.handed_out += 1
            self.answer(201, {"access_token": f"token-{airflow.handed_out}"})

        def answer(self, status: int, body: Any) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        airflow.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield airflow
        server.shutdown()
        thread.join()


@pytest.fixture
def confirm(odd: OddAirflow) -> Callable[[TaskRun], Confirmed]:
    return airflow_confirmation(odd.url + "/", username="viewer", password="secret")


def test_a_running_try(confirm: Callable[[TaskRun], Confirmed]) -> None:
    assert confirm(RUN) == Confirmed()


def test_a_mapped_one_is_asked_for_by_its_index(odd: OddAirflow, confirm: Callable[[TaskRun], Confirmed]) -> None:
    odd.answers[f"{BASE}/taskInstances/train/3"] = odd.instance(map_index=3)
    assert confirm(TaskRun(RUN.dag_id, RUN.run_id, RUN.task_id, 3, 2)) == Confirmed()


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"triggered_by": "test"}, "test"),
        ({"queued_at": None}, "test"),
        ({"state": "success"}, "success"),
        ({"state": "queued"}, "queued"),
        ({"ti_state": "restarting"}, "restarting"),
        ({"ti_state": None}, "waiting"),
        ({"ti_try_number": 3}, "try number 3"),
        ({"ti_queued_when": None}, "no scheduler queued it"),
        ({"ti_pid": None}, "no scheduler queued it"),
        ({"dag_run_id": "another"}, "another name"),
        ({"ti_dag_id": "another"}, "another name"),
        ({"ti_map_index": 1}, "another name"),
    ],
)
def test_anything_else_is_refused(
    odd: OddAirflow, confirm: Callable[[TaskRun], Confirmed], says: dict[str, Any], why: str
) -> None:
    odd.says(**says)
    with pytest.raises(PermitRefused, match=why) as caught:
        confirm(RUN)
    assert caught.value.reason == "permit_mismatch"


@pytest.mark.parametrize("path", [BASE, f"{BASE}/taskInstances/train"])
def test_what_airflow_does_not_know_is_refused(
    odd: OddAirflow, confirm: Callable[[TaskRun], Confirmed], path: str
) -> None:
    del odd.answers[path]
    with pytest.raises(PermitRefused, match="does not know"):
        confirm(RUN)


@pytest.mark.parametrize("answer", [500, 503, 403, 204, b"<html>", [], "running", {"state": "running"}, {}])
@pytest.mark.parametrize("path", [BASE, f"{BASE}/taskInstances/train"])
def test_an_odd_answer_decides_nothing(
    odd: OddAirflow, confirm: Callable[[TaskRun], Confirmed], path: str, answer: Any
) -> None:
    odd.answers[path] = answer
    with pytest.raises(CannotDecide) as caught:
        confirm(RUN)
    assert caught.value.reason == "cannot_decide"


def test_only_events_that_a_task_emitted_count(odd: OddAirflow, confirm: Callable[[TaskRun], Confirmed]) -> None:
    odd.says(run_type="asset_triggered")
    real = {"source_dag_id": "features", "source_run_id": "r1", "source_task_id": "consent_gate"}
    by_rest = {"source_dag_id": None, "source_run_id": None, "source_task_id": None, "extra": {"dag_id": "features"}}
    half = {**real, "source_task_id": None}
    odd.answers[f"{BASE}/upstreamAssetEvents"] = {"asset_events": [by_rest, half, real, real]}
    assert confirm(RUN) == Confirmed((("features", "r1"),))


@pytest.mark.parametrize("answer", [500, {}, {"asset_events": [{}]}, {"asset_events": None}])
def test_odd_events_decide_nothing(odd: OddAirflow, confirm: Callable[[TaskRun], Confirmed], answer: Any) -> None:
    odd.says(run_type="asset_triggered")
    odd.answers[f"{BASE}/upstreamAssetEvents"] = answer
    with pytest.raises(CannotDecide):
        confirm(RUN)


def test_a_token_that_ended_is_renewed(odd: OddAirflow, confirm: Callable[[TaskRun], Confirmed]) -> None:
    confirm(RUN)
    odd.good_tokens = {"token-2"}
    assert confirm(RUN) == Confirmed()
    assert odd.handed_out == 2


def test_a_user_that_may_not_look_decides_nothing(odd: OddAirflow, confirm: Callable[[TaskRun], Confirmed]) -> None:
    odd.good_tokens = set()
    with pytest.raises(CannotDecide, match="401"):
        confirm(RUN)


def test_a_ready_token_is_not_renewed(odd: OddAirflow) -> None:
    odd.good_tokens = {"ready"}
    confirm = airflow_confirmation(odd.url, token="ready")
    assert confirm(RUN) == Confirmed()
    odd.good_tokens = set()
    with pytest.raises(CannotDecide, match="401"):
        confirm(RUN)
    assert odd.handed_out == 0


def test_nobody_there() -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        confirm = airflow_confirmation(f"http://127.0.0.1:{place.getsockname()[1]}", token="t")
        with pytest.raises(CannotDecide, match="ConnectError"):
            confirm(RUN)


def test_an_airflow_that_never_answers() -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        place.listen()
        confirm = airflow_confirmation(f"http://127.0.0.1:{place.getsockname()[1]}", token="t", timeout=0.2)
        with pytest.raises(CannotDecide, match="ReadTimeout"):
            confirm(RUN)


@pytest.mark.parametrize("given", [{}, {"username": "viewer"}, {"password": "secret"}])
def test_somebody_must_ask(given: dict[str, str]) -> None:
    with pytest.raises(InputError):
        airflow_confirmation("http://127.0.0.1", **given)


@pytest.mark.parametrize("field", ["dag_id", "run_id", "task_id"])
def test_a_name_with_slashes_and_dots_stays_a_name(
    odd: OddAirflow, confirm: Callable[[TaskRun], Confirmed], field: str
) -> None:
    names = {"dag_id": RUN.dag_id, "run_id": RUN.run_id, "task_id": RUN.task_id, field: "x/../y?z=1#%2F"}
    with pytest.raises(PermitRefused, match="does not know"):
        confirm(TaskRun(**names, map_index=-1, try_number=2))


class TestReviewers:
    """Whether an answer that a worker hands over stands in Airflow."""

    PATH = f"{BASE}/taskInstances/train/-1/hitlDetails"
    ANSWER = ReviewAnswer(
        RUN,
        41,
        1,
        Answer.CHECK_AGAIN,
        (Answer.CHECK_AGAIN, Answer.KEEP_BLOCKED),
        responder="airflow|ada",
        answered_at=datetime(2026, 11, 21, 12, tzinfo=UTC),
    )

    @pytest.fixture
    def asked(self, odd: OddAirflow) -> AskedAirflow:
        odd.answers[self.PATH] = {
            "task_instance": odd.instance(),
            "response_received": True,
            "responded_by_user": {"id": "ada", "name": "Ada"},
            "responded_at": WHEN,
            "chosen_options": ["Check again"],
            "assigned_users": [],
        }
        return AskedAirflow(odd.url, username="viewer", password="secret")

    def test_it_stands_there(self, odd: OddAirflow, asked: AskedAirflow) -> None:
        asked.confirm_review(self.ANSWER)
        odd.answers[self.PATH]["assigned_users"] = [{"id": "ada", "name": "Ada"}]
        asked.confirm_review(self.ANSWER)

    @pytest.mark.parametrize(
        "says",
        [
            {"response_received": False},
            {"responded_by_user": None},
            {"responded_by_user": {"id": "eve", "name": "ada"}},
            {"responded_at": "2026-11-21T12:00:01Z"},
            {"responded_at": None},
            {"chosen_options": ["Keep blocked"]},
            {"chosen_options": ["Check again", "Keep blocked"]},
            {"chosen_options": []},
            {"chosen_options": None},
            {"assigned_users": [{"id": "eve", "name": "Eve"}]},
        ],
        ids=repr,
    )
    def test_another_one_does(self, odd: OddAirflow, asked: AskedAirflow, says: dict[str, Any]) -> None:
        odd.answers[self.PATH] |= says
        with pytest.raises(PermitRefused, match="no such answer"):
            asked.confirm_review(self.ANSWER)

    @pytest.mark.parametrize("says", [{"try_number": 1}, {"task_id": "other"}, {"map_index": 3}], ids=repr)
    def test_of_another_task(self, odd: OddAirflow, asked: AskedAirflow, says: dict[str, Any]) -> None:
        odd.answers[self.PATH]["task_instance"] |= says
        with pytest.raises(PermitRefused, match="another name or try"):
            asked.confirm_review(self.ANSWER)

    def test_nobody_was_asked(self, odd: OddAirflow, asked: AskedAirflow) -> None:
        del odd.answers[self.PATH]
        with pytest.raises(PermitRefused, match="asked nobody"):
            asked.confirm_review(self.ANSWER)

    def test_a_timeout_is_when_nobody_answered(self, odd: OddAirflow, asked: AskedAirflow) -> None:
        late = replace(self.ANSWER, answer=Answer.TIMED_OUT, responder=None, answered_at=None)
        with pytest.raises(PermitRefused, match="did answer"):
            asked.confirm_review(late)
        odd.answers[self.PATH]["response_received"] = False
        asked.confirm_review(late)

    @pytest.mark.parametrize("answer", [Answer.NOT_ASSIGNED, Answer.INVALID])
    def test_what_keeps_blocked_needs_only_the_person(
        self, odd: OddAirflow, asked: AskedAirflow, answer: Answer
    ) -> None:
        odd.answers[self.PATH] |= {"assigned_users": [{"id": "eve", "name": "Eve"}], "chosen_options": []}
        asked.confirm_review(replace(self.ANSWER, answer=answer))
        with pytest.raises(PermitRefused):
            asked.confirm_review(replace(self.ANSWER, answer=answer, responder="airflow|eve"))

    @pytest.mark.parametrize("says", [500, {}, {"task_instance": None}, [1]], ids=repr)
    def test_an_airflow_that_says_nothing_usable(self, odd: OddAirflow, asked: AskedAirflow, says: Any) -> None:
        odd.answers[self.PATH] = says
        with pytest.raises(CannotDecide):
            asked.confirm_review(self.ANSWER)
