"""Who is really running, seen from the service: asks Airflow's REST API about the try that wants to redeem.

What a worker says of itself is a claim. Airflow knows which tries its scheduler queued and which of them run now, and
which asset events triggered a run; a worker cannot change that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import finalize

from gate.domain.instants import parse_instant
from gate.domain.run import Confirmed, TaskRun
from gate.errors import CannotDecide, InputError, PermitRefused
from gate.service.answers import ISSUER, LABELS

if TYPE_CHECKING:
    import httpx

    from gate.service.answers import ReviewAnswer

ASSET_TRIGGERED = "asset_triggered"
TEST = "test"  # `triggered_by` of a run that `dag.test()` or `airflow dags test` made
AIRFLOW_URL = "GATE_AIRFLOW_URL"
TIMEOUT = 5.0  # seconds for each answer
NOT_FOUND, UNAUTHORIZED = 404, 401


def airflow_confirmation(
    url: str,
    *,
    username: str | None = None,
    password: str | None = None,
    token: str | None = None,
    timeout: float = TIMEOUT,
) -> Callable[[TaskRun], Confirmed]:
    """Return a function that asks this Airflow whether a try is running now.

    Args:
        url: where Airflow's API server is, such as `https://airflow.example`.
        username: of an Airflow user that may read DAG runs, task instances and assets; role *Viewer* is enough.
        password: of that user; a token is fetched with it, and another when that one ends.
        token: a ready token instead of a user.
        timeout: seconds for each answer.

    Returns:
        A function, safe to call from several threads, that returns what Airflow says of a running try. It raises
        `PermitRefused` (`permit_mismatch`) when that try is not running, or no scheduler started it, and `CannotDecide`
        when Airflow cannot be asked.

    Raises:
        InputError: neither a user with password nor a token.
    """
    return AskedAirflow(url, username=username, password=password, token=token, timeout=timeout).confirm


def configured_confirmation(environ: Mapping[str, str]) -> Callable[[TaskRun], Confirmed] | None:
    """Return what asks the Airflow of the environment who is running; see `configured_airflow`."""
    airflow = configured_airflow(environ)
    return airflow.confirm if airflow else None


def configured_airflow(environ: Mapping[str, str]) -> AskedAirflow | None:
    """Return the Airflow of the environment; `None` when none is configured.

    Args:
        environ: `GATE_AIRFLOW_URL`, and `GATE_AIRFLOW_USER` with `GATE_AIRFLOW_PASSWORD`, or `GATE_AIRFLOW_TOKEN`.

    Raises:
        InputError: an Airflow without credentials.
    """
    url = environ.get(AIRFLOW_URL)
    if not url:
        return None
    return AskedAirflow(
        url,
        username=environ.get("GATE_AIRFLOW_USER"),
        password=environ.get("GATE_AIRFLOW_PASSWORD"),
        token=environ.get("GATE_AIRFLOW_TOKEN"),
    )


class AskedAirflow:
    """An Airflow that is asked over its REST API; see `airflow_confirmation`. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        import httpx

        if not token and not (username and password):
            raise InputError("a user with password, or a token, is needed to ask Airflow", where="Airflow")
        self.url = url.rstrip("/")
        self.login = {"username": username, "password": password} if username and password else None
        self.token = token
        self.lock = Lock()
        self.client = httpx.Client(timeout=timeout)
        finalize(self, self.client.close)

    def confirm(self, run: TaskRun) -> Confirmed:
        """Say what Airflow knows of a running try; see `airflow_confirmation`."""
        base = f"/api/v2/dags/{_quoted(run.dag_id)}/dagRuns/{_quoted(run.run_id)}"
        mapped = "" if run.map_index < 0 else f"/{run.map_index}"
        dag_run = self.read(base)
        instance = self.read(f"{base}/taskInstances/{_quoted(run.task_id)}{mapped}")
        try:
            _check_run(dag_run, run)
            _check_instance(instance, run)
            if dag_run["run_type"] != ASSET_TRIGGERED:
                return Confirmed()
            events = self.read(f"{base}/upstreamAssetEvents")["asset_events"]
            return Confirmed(tuple(dict.fromkeys(pair for event in events if (pair := _source(event)))))
        except (KeyError, TypeError) as error:
            raise _silent(f"its answer lacks {error}") from None

    def confirm_review(self, answer: ReviewAnswer) -> None:
        """Make sure that this answer stands in Airflow, or for a timeout that none does.

        Raises:
            PermitRefused: it does not.
            CannotDecide: Airflow cannot be asked.
        """
        run = answer.run
        instance = f"/dagRuns/{_quoted(run.run_id)}/taskInstances/{_quoted(run.task_id)}/{run.map_index}"
        try:
            detail = self.read(f"/api/v2/dags/{_quoted(run.dag_id)}{instance}/hitlDetails")
        except PermitRefused:
            raise _no_answer("it asked nobody") from None
        try:
            _check_answered(detail, answer)
        except (KeyError, TypeError, AttributeError) as error:
            raise _silent(f"its answer lacks {error}") from None

    def read(self, path: str) -> Any:
        """GET a JSON object, with a new token when the one we have is no longer good."""
        answer = self.send("GET", path, token=self.bearer())
        if answer.status_code == UNAUTHORIZED and self.login:
            answer = self.send("GET", path, token=self.bearer(instead_of=answer.request.headers["Authorization"]))
        if answer.status_code == NOT_FOUND:
            raise _refused("Airflow does not know it")
        return _object(answer)

    def bearer(self, instead_of: str | None = None) -> str:
        """Return the token, fetching one when there is none or the one we have was refused."""
        with self.lock:
            if self.token is None or (self.login and instead_of == f"Bearer {self.token}"):
                self.token = _object(self.send("POST", "/auth/token", body=self.login)).get("access_token")
            if not self.token:
                raise _silent("it gives no token")
            return self.token

    def send(
        self, method: str, path: str, *, token: str | None = None, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        """Send one request."""
        import httpx

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            return self.client.request(method, self.url + path, headers=headers, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _silent(type(error).__name__) from None


def _check_run(dag_run: Mapping[str, Any], run: TaskRun) -> None:
    if (dag_run["dag_id"], dag_run["dag_run_id"]) != (run.dag_id, run.run_id):
        raise _refused("Airflow knows it by another name")  # ids are the caller's: `..` leads elsewhere
    if dag_run["triggered_by"] == TEST or dag_run["queued_at"] is None:
        raise _refused("its run is a test")  # Airflow queues every run but those that tests make
    if dag_run["state"] != "running":
        raise _refused(f"its run is not running but {dag_run['state']}")


def _check_instance(instance: Mapping[str, Any], run: TaskRun) -> None:
    names = (instance["dag_id"], instance["dag_run_id"], instance["task_id"], instance["map_index"])
    if names != (run.dag_id, run.run_id, run.task_id, run.map_index):
        raise _refused("Airflow knows it by another name")
    if instance["state"] != "running":
        raise _refused(f"it is not running but {instance['state'] or 'waiting'}")
    if instance["try_number"] != run.try_number:
        raise _refused(f"its try number {instance['try_number']} is running, not {run.try_number}")
    if not (instance["queued_when"] and instance["hostname"] and instance["pid"]):
        raise _refused("no scheduler queued it")


def _check_answered(detail: Mapping[str, Any], answer: ReviewAnswer) -> None:
    instance, run = detail["task_instance"], answer.run
    names = (instance["dag_id"], instance["dag_run_id"], instance["task_id"], instance["map_index"])
    if (*names, instance["try_number"]) != (run.dag_id, run.run_id, run.task_id, run.map_index, run.try_number):
        raise _no_answer("Airflow knows the task by another name or try")
    if answer.responder is None:
        if detail["response_received"]:
            raise _no_answer("somebody did answer")
        return
    said_by, said_at = detail["responded_by_user"], detail["responded_at"]
    if not detail["response_received"] or said_by is None or said_at is None:
        raise _no_answer("nobody answered")
    if f"{ISSUER}|{said_by['id']}" != answer.responder or parse_instant(said_at) != answer.answered_at:
        raise _no_answer("somebody else answered, or at another time")
    if answer.answer not in LABELS:
        return  # it keeps blocked
    if detail["chosen_options"] != [LABELS[answer.answer]]:
        raise _no_answer("the answer was another one")
    assigned = {user["id"] for user in detail["assigned_users"]}
    if assigned and said_by["id"] not in assigned:
        raise _no_answer("whoever answered was not asked")


def _source(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the run whose task emitted an event; one made through the REST API has none and counts for nothing."""
    if not (event["source_dag_id"] and event["source_run_id"] and event["source_task_id"]):
        return None
    return event["source_dag_id"], event["source_run_id"]


def _object(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise _silent(f"HTTP {answer.status_code}")
    try:
        data = answer.json()
    except ValueError:
        raise _silent("its answer is not JSON") from None
    if not isinstance(data, dict):
        raise _silent("its answer is not an object")
    return data


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _refused(why: str) -> PermitRefused:
    return PermitRefused(
        f"only a task that Airflow's scheduler started may train: {why}",
        hint="trigger the DAG in Airflow; dag.test(), `airflow dags test` and `airflow tasks test` never train",
        reason="permit_mismatch",
    )


def _no_answer(why: str) -> PermitRefused:
    return PermitRefused(
        f"Airflow knows no such answer of a reviewer: {why}",
        hint="clear the gate's task: it asks again",
        reason="permit_mismatch",
    )


def _silent(what: str) -> CannotDecide:
    return CannotDecide(
        f"Airflow does not say what was asked: {what}",
        where="Airflow",
        hint="see the service's settings for Airflow's address and user",
        reason="cannot_decide",
    )
