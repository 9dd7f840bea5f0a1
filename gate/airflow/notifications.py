"""Tells people where they talk that the gate stopped a run: one message to a webhook, with no personal data in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseNotifier

from gate.airflow.address import origin
from gate.airflow.context import task_run
from gate.airflow.hook import DEFAULT_CONNECTION, open_gate
from gate.airflow.links import DecisionLink
from gate.domain.run import TaskRun
from gate.errors import CannotDecide, GateError, InputError

if TYPE_CHECKING:
    from gate.service.outcome import Outcome
    from gate.service.ports import DecisionService

TIMEOUT = 5.0  # seconds for all of it: a task waits for its callbacks
MORE_TRIES = 3  # a cleared gate has more tries than its retries say; so many more are looked for
MISSING = 2  # reviewers' answers in a row that led to no decision, before we look no further
_HARMLESS = str.maketrans({"<": "‹", ">": "›", "@": "＠", "[": "［", "]": "］"})  # chats read these as links, mentions


@dataclass(frozen=True, slots=True)
class Stop:
    """A no of the gate that stopped a task.

    Attributes:
        verdict: `block` by a gate, `refused` to a training task, or `unknown` when the gate cannot be asked.
        lines: what it said.
        waiting: it waits for a reviewer.
    """

    run: TaskRun
    verdict: Literal["block", "refused", "unknown"]
    lines: str
    reasons: tuple[str, ...] = ()
    accounts: int | None = None
    rows: int | None = None
    decision: int | None = None
    waiting: bool = False


class BlockedRunNotifier(BaseNotifier):
    """Post to a webhook (Slack, Teams, Mattermost, your own) when the gate stopped a run, and only then.

    Put it where Airflow takes notifiers: `on_failure_callback` of a gate, a training task or a DAG, or `notifiers` of a
    gate whose blocks wait for a reviewer. It stays silent about runs that failed for other reasons.

    Args:
        conn_id: Airflow HTTP connection: host is the webhook's address (https, or http on this machine), password a
            bearer token if it wants one.
        text: stands before the gate's own words; may hold Jinja.
        gate_conn_id: Airflow connection of the gate; default: the one of the task, or of the DAG's first gate.

    A webhook that fails changes nothing: the task's log says so.
    """

    template_fields = ("text",)

    def __init__(self, *, conn_id: str, text: str = "", gate_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id
        self.text = text
        self.gate_conn_id = gate_conn_id

    def notify(self, context: Any) -> None:
        """Say what the gate stopped, if it stopped anything; never raise."""
        try:
            stop = find_stop(context, self.gate_conn_id)
            if stop is not None:
                post(self.conn_id, message(stop, self.text))
        except GateError as error:
            self.log.warning("nobody was told about this run: %s", error)
        except Exception as error:  # noqa: BLE001  whatever is wrong with telling, the run is as it is
            self.log.warning("nobody was told about this run: %s", type(error).__name__)  # its text may hold secrets

    async def async_notify(self, context: Any) -> None:
        """Do the same in a thread, for Airflow's triggerer."""
        await asyncio.to_thread(self.notify, context)


def find_stop(context: Mapping[str, Any], gate_conn_id: str | None = None) -> Stop | None:
    """Find what the gate said no to, in the context of a callback of a task or of a DAG.

    Returns:
        `None` when the gate stopped nothing there.

    Raises:
        GateError: the gate of a DAG cannot be asked whether it was the cause.
    """
    if context.get("ti") is None or "reason" in context:  # only callbacks of DAGs bear a reason
        return _stop_of_dag(context, gate_conn_id)
    kind = _kind(context["ti"].task)
    return None if kind is None else _stop_of_task(context, kind, gate_conn_id)


def _stop_of_task(context: Mapping[str, Any], kind: Literal["gate", "training"], conn_id: str | None) -> Stop | None:
    run = task_run(context)
    try:
        with open_gate(conn_id or _connection(context["ti"].task)) as service:
            if kind == "training":
                return _refusal(service, run, str(context.get("exception") or ""))
            outcome = _answer(service, run)
    except CannotDecide:
        return Stop(run, "unknown", "The gate cannot be asked now: the task's log says why it failed.")
    return None if outcome is None or outcome.passes else _block(run, outcome, waiting=_waits(context))


def _stop_of_dag(context: Mapping[str, Any], conn_id: str | None) -> Stop | None:
    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    tasks = {task.task_id: task for task in context["dag"].tasks if _kind(task) is not None}
    if not tasks:
        return None
    gates = [task for task in tasks.values() if _kind(task) == "gate"]
    with open_gate(conn_id or _connection((gates or list(tasks.values()))[0])) as service:
        newest = service.decision_of_run(dag_id, run_id)
        answers = {} if newest is None else {_asker(newest).task_id: newest}
        for gate in gates:
            if gate.task_id not in answers and (found := _last_answer(service, dag_id, run_id, gate)):
                answers[gate.task_id] = found
        for outcome in answers.values():
            if not outcome.passes:
                return _block(_asker(outcome), outcome, waiting=False)
        stop = _refusal(service, TaskRun(dag_id, run_id, ""))
        return None if stop is None or (newest and newest.index > (stop.decision or 0)) else stop


def _kind(task: Any) -> Literal["gate", "training"] | None:
    from gate.airflow.guard import guard_of
    from gate.airflow.operators import ConsentGateOperator
    from gate.airflow.recognition import operator_class

    if issubclass(operator_class(task), ConsentGateOperator):
        return "gate"
    return None if guard_of(task) is None else "training"


def _connection(task: Any) -> str:
    from gate.airflow.guard import guard_of

    guard = guard_of(task)
    return guard.gate_conn_id if guard else getattr(task, "gate_conn_id", DEFAULT_CONNECTION)


def _waits(context: Mapping[str, Any]) -> bool:
    return context.get("exception") is None and getattr(context["ti"].task, "on_block", None) == "review"


def _asker(outcome: Outcome) -> TaskRun:
    from gate.service.decisions import gate_of

    return gate_of(TaskRun.from_dict(outcome.record["run"]))


def _answer(service: DecisionService, run: TaskRun) -> Outcome | None:
    """Return the newest of what a gate's try was answered: about the whole, its subset, or after a review."""
    newest = service.decision_of_run(run.dag_id, run.run_id)
    return newest if newest is not None and _asker(newest) == run else _find_answer(service, run)


def _find_answer(service: DecisionService, run: TaskRun) -> Outcome | None:
    """Look for what another decision of the run is newer than."""
    from gate.service.decisions import SUBSET, checked_run

    newest = service.recorded_decision(run)
    if newest is None:
        return None
    number = last = 0
    while number <= last + MISSING:
        asked = checked_run(run, number) if number else run
        for about in (asked, replace(asked, task_id=asked.task_id + SUBSET)):
            if (found := service.recorded_decision(about)) is not None:
                newest, last = max(newest, found, key=lambda outcome: outcome.index), number
        number += 1
    return newest


def _last_answer(service: DecisionService, dag_id: str, run_id: str, gate: Any) -> Outcome | None:
    tries = range((gate.retries or 0) + 1 + MORE_TRIES, 0, -1)
    found = (_find_answer(service, TaskRun(dag_id, run_id, gate.task_id, try_number=number)) for number in tries)
    return next((outcome for outcome in found if outcome is not None), None)


def _block(run: TaskRun, outcome: Outcome, *, waiting: bool) -> Stop:
    """Say in few lines what blocks; names of datasets stay here, for a path may name an account."""
    from gate.domain.remedies import REMEDIES
    from gate.domain.words import Verdict

    decision = outcome.decision
    blocking = [finding for finding in decision.findings if finding.verdict is Verdict.BLOCK]
    use, categories = decision.use, ", ".join(sorted({finding.category for finding in blocking}))
    accounts, rows = decision.accounts_blocked, decision.rows_blocked
    remedies = list(dict.fromkeys(REMEDIES[reason] for reason in decision.reasons))[:2]
    lines = [
        f"BLOCKED: {use.purpose.value} for {use.feature or 'no feature'} with {use.model or 'no model'} "
        f"({use.ownership.value}): {', '.join(decision.reasons)}",
        f"What blocks: {categories}, {_count(accounts, 'account')}, {_count(rows, 'row')}.",
        f"What to do: {'; '.join(remedies)}.",
    ]
    return Stop(run, "block", "\n".join(lines), tuple(outcome.reasons), accounts, rows, outcome.index, waiting)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _refusal(service: DecisionService, run: TaskRun, said: str | None = None) -> Stop | None:
    """Return why a training task was turned away.

    Args:
        service: the gate.
        run: the task's try; in a DAG's callback, whichever of its tasks it was.
        said: what the task failed with; `None` in a DAG's callback.
    """
    from gate.domain.remedies import REMEDIES
    from gate.domain.words import Reason

    found = service.refusal_of_run(run.dag_id, run.run_id)
    if found is None or found.get("observed"):
        return None
    refused = TaskRun.from_dict(found["run"])
    same = (refused.task_id, refused.try_number) == (run.task_id, run.try_number)
    if said is not None and not same and found["message"] not in said:  # of several refused tasks it names the last
        return None
    reason = found["reason"]
    lines = f"REFUSED: {reason}\nWhat to do: {REMEDIES[Reason(reason)]}." if reason else "REFUSED"
    return Stop(
        refused if said is None else run, "refused", lines, (reason,) if reason else (), decision=found["index"]
    )


def message(stop: Stop, before: str = "") -> dict[str, Any]:
    """Return the JSON to post: `text` as chats take it, and the same as fields below `gate`."""
    heads = {
        "block": "The consent gate blocked a run" + (", which waits for a reviewer." if stop.waiting else "."),
        "refused": "The consent gate refused to let a training task start.",
        "unknown": "A run failed at the consent gate.",
    }
    run = stop.run
    url = _link(run)
    where = f"DAG {run.dag_id}, run {run.run_id}, task {run.task_id}"
    lines = [heads[stop.verdict], _plain(where), *map(_plain, stop.lines.split("\n")), *([f"See {url}"] if url else [])]
    fields = {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "task_id": run.task_id,
        "map_index": run.map_index,
        "verdict": stop.verdict,
        "reasons": list(stop.reasons),
        "accounts": stop.accounts,
        "rows": stop.rows,
        "ledger_index": stop.decision,
        "waiting": stop.waiting,
        "url": url,
    }
    return {"text": "\n".join(([before] if before else []) + lines), "gate": fields}


def _link(run: TaskRun) -> str | None:
    """Return the address of our tab of the task, or of the decision service's page; `None` when nobody knows it."""
    found = DecisionLink().get_link(run, ti_key=run)
    if not found.startswith("/"):
        return found
    host = origin()
    return host and host + found


def _plain(text: str) -> str:
    """Take from names what a chat would act on: a run's or model's name must not call a whole channel."""
    return "".join(character if character.isprintable() else " " for character in text).translate(_HARMLESS)


def post(conn_id: str, body: Mapping[str, Any]) -> None:
    """Post to the webhook of a connection, once.

    Raises:
        InputError: its address is not safe.
        CannotDecide: it does not take the message.
    """
    from airflow.sdk import BaseHook

    connection = BaseHook.get_connection(conn_id)
    url, token = _address(connection), connection.password
    failures: list[str] = []

    def send() -> None:
        if (failure := _send(url, token, body)) is not None:
            failures.append(failure)

    sending = Thread(target=send, daemon=True)  # a server that answers a byte a second would hold the task for ever
    sending.start()
    sending.join(TIMEOUT)
    if sending.is_alive():
        failures.append(f"no answer within {TIMEOUT:g} s")
    if failures:
        raise CannotDecide(f"the webhook of the connection {conn_id}: {failures[0]}", reason="cannot_decide")


def _address(connection: Any) -> str:
    """Return where a connection leads; the address itself may be a secret, so errors only name the connection."""
    from urllib.parse import urlsplit

    from gate.api.sending import LOOPBACK

    host = connection.host or ""
    if "://" not in host:
        port = f":{connection.port}" if connection.port else ""
        host = f"{connection.schema or 'https'}://{host}{port}"
    parts = urlsplit(host)
    if not parts.hostname or (parts.scheme != "https" and (parts.scheme, parts.hostname in LOOPBACK) != ("http", True)):
        raise InputError("is no webhook's address", where=f"connection {connection.conn_id}", hint="https://…")
    return str(host)


def _send(url: str, token: str | None, body: Mapping[str, Any]) -> str | None:
    """Post; return what went wrong, without the address. The standard library logs no addresses, as httpx does."""
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        request = Request(url, json.dumps(body).encode(), headers)  # noqa: S310  the scheme was checked
        with build_opener(Stay()).open(request, timeout=TIMEOUT):
            return None
    except HTTPError as error:
        error.close()
        return f"HTTP {error.code}"
    except (OSError, ValueError) as error:  # an HTTPException is neither: see `post`
        return type(error).__name__
