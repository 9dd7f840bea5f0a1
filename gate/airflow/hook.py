"""Opens the gate inside a task: the decision service or the database of a connection, else the embedded ledger."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseHook

from gate.errors import CannotDecide

if TYPE_CHECKING:
    from gate.service.answers import ReviewAnswer
    from gate.service.ports import DecisionService

DEFAULT_CONNECTION = "gate_default"
ELSEWHERE = "GATE_URL"  # set where the gate is a decision service: then nothing of this machine stands in for it
KEYS = "keys"  # in the connection's extra: the public keys this Airflow trusts, as `gate keys show` prints them


class ConsentGateHook(BaseHook):
    """Connection type `consent_gate`: host holds the decision service's URL, password a token, extra the trusted keys.

    In the embedded mode host holds the database URL, and password (optional) its password.
    """

    conn_name_attr = "gate_conn_id"
    default_conn_name = DEFAULT_CONNECTION
    conn_type = "consent_gate"
    hook_name = "Consent Gate"

    def __init__(self, gate_conn_id: str = DEFAULT_CONNECTION) -> None:
        super().__init__()
        self.gate_conn_id = gate_conn_id

    def get_conn(self) -> DecisionService:
        """Open the service of this connection."""
        return open_gate(self.gate_conn_id)

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the ledger can be asked: Airflow's *Test* button."""
        from gate.errors import GateError

        try:
            with self.get_conn() as service:
                return True, f"the ledger holds {service.ledger_size()} entries"
        except GateError as error:
            return False, str(error)


def open_gate(gate_conn_id: str = DEFAULT_CONNECTION) -> DecisionService:
    """Open what a task works with; close it when done.

    A connection that names a decision service wins over `GATE_DATABASE_URL`, which wins over one that names a database.
    Where `GATE_URL` is set, only a decision service will do.

    Raises:
        CannotDecide: Airflow does not say whether there is a connection, or there is none where there must be one.
        InputError: the connection lacks a token or trusted keys, or its address is not safe.
        GateError: as `gate.service.core.open_service`.
    """
    connection = _connection(gate_conn_id)
    host = connection.host if connection else None
    if host and host.startswith(("http://", "https://")):
        return _remote(connection)
    if os.environ.get(ELSEWHERE):
        raise _unknown("it names no decision service", gate_conn_id, f"make it, or unset {ELSEWHERE}")
    from gate.airflow.identity import confirm_running
    from gate.service.core import open_service
    from gate.service.settings import read_settings

    url = None if os.environ.get("GATE_DATABASE_URL") else _database_url(connection)
    service = open_service(read_settings(database_url=url))
    service.confirm, service.confirm_review = confirm_running, _as_the_worker_says
    return service


def _as_the_worker_says(_: ReviewAnswer) -> None:
    """Take a reviewer's answer as Airflow gave it to this task: in the embedded mode the worker records everything."""


def _connection(gate_conn_id: str) -> Any:
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return BaseHook.get_connection(gate_conn_id)
    except AirflowNotFoundException:
        _check_absent(gate_conn_id)
        return None


def _check_absent(gate_conn_id: str) -> None:
    """Make sure that there is none: Airflow says so of one that it could not look up just now, too.

    An embedded ledger, made in its place, would know of no refusal. Outside of tasks there is nobody to ask.

    Raises:
        CannotDecide: it is not sure.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import CommsDecoder, ErrorResponse, GetConnection

    supervisor: Any = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if type(supervisor) is not CommsDecoder:  # `dag.test()` puts another class there
        return
    try:
        answer = supervisor.send(GetConnection(conn_id=gate_conn_id))
    except (AirflowRuntimeError, OSError, EOFError):
        answer = None
    if not isinstance(answer, ErrorResponse) or answer.error is not ErrorType.CONNECTION_NOT_FOUND:
        raise _unknown("Airflow does not say whether there is one", gate_conn_id, "try again")


def _unknown(what: str, gate_conn_id: str, hint: str) -> CannotDecide:
    return CannotDecide(what, where=f"connection {gate_conn_id}", hint=hint, reason="cannot_decide")


def _remote(connection: Any) -> DecisionService:
    from gate.api.client import RemoteService
    from gate.permits.keys import public_key_from_text

    extra: Mapping[str, Any] = connection.extra_dejson
    keys = extra.get(KEYS) or []
    texts = keys.split(",") if isinstance(keys, str) else keys
    return RemoteService(connection.host, connection.password or "", [public_key_from_text(text) for text in texts])


def _database_url(connection: Any) -> str | None:
    if connection is None:
        return None
    url: str | None = connection.host or None
    if url and connection.password and "@" in url and ":" not in url.split("://", 1)[1].split("@", 1)[0]:
        head, tail = url.split("@", 1)
        return f"{head}:{quote(connection.password, safe='')}@{tail}"
    return url
