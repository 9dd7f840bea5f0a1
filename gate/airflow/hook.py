"""Opens the gate's service inside a task: from the environment, else the connection `gate_default`, else embedded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from gate.service.core import Service

DEFAULT_CONNECTION = "gate_default"


class ConsentGateHook(BaseHook):
    """Connection type `consent_gate`: host holds the database URL, password (optional) its password."""

    conn_name_attr = "gate_conn_id"
    default_conn_name = DEFAULT_CONNECTION
    conn_type = "consent_gate"
    hook_name = "Consent Gate"

    def __init__(self, gate_conn_id: str = DEFAULT_CONNECTION) -> None:
        super().__init__()
        self.gate_conn_id = gate_conn_id

    def get_conn(self) -> Service:
        """Open the service of this connection."""
        return open_gate(self.gate_conn_id)

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the ledger can be read: Airflow's *Test* button."""
        from gate.errors import GateError

        try:
            with self.get_conn() as service, service.ledger.read() as reader:
                return True, f"the ledger holds {reader.size} entries"
        except GateError as error:
            return False, str(error)


def open_gate(gate_conn_id: str = DEFAULT_CONNECTION) -> Service:
    """Open the service a task works with.

    Raises:
        GateError: as `gate.service.core.open_service`.
    """
    from gate.airflow.identity import confirm_running
    from gate.service.core import open_service
    from gate.service.settings import read_settings

    url = None if os.environ.get("GATE_DATABASE_URL") else _connection_url(gate_conn_id)
    service = open_service(read_settings(database_url=url))
    service.confirm = confirm_running
    return service


def _connection_url(gate_conn_id: str) -> str | None:
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection: Any = BaseHook.get_connection(gate_conn_id)
    except AirflowNotFoundException:
        return None
    url: str | None = connection.host or None
    if url and connection.password and "@" in url and ":" not in url.split("://", 1)[1].split("@", 1)[0]:
        head, tail = url.split("@", 1)
        return f"{head}:{quote(connection.password, safe='')}@{tail}"
    return url
