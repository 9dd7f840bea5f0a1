"""Logs in to databases that datasets are tables of by Airflow's connections, so that no DAG holds a password."""

from __future__ import annotations

import os
from collections.abc import Mapping

from airflow.sdk import BaseHook

SETTING = "GATE_SQL_CONNECTIONS"
_PORT = 5432
_EXTRA = ("sslmode", "sslrootcert", "sslcert", "sslkey")


def connection_login(host: str, port: int) -> Mapping[str, str]:
    """Return libpq's parameters from the Airflow connection of a host and port, none where there is none.

    Only connections that `GATE_SQL_CONNECTIONS` names are looked at (ids, with commas between), for Airflow hands out
    no list of them.
    """
    for name in filter(None, (word.strip() for word in os.environ.get(SETTING, "").split(","))):
        connection = BaseHook.get_connection(name)
        if (connection.host, connection.port or _PORT) != (host, port):
            continue
        found = {"user": connection.login, "password": connection.password}
        found |= {key: connection.extra_dejson.get(key) for key in _EXTRA}
        return {key: str(value) for key, value in found.items() if value}
    return {}
