"""The Airflow plugin: mounts the gate's API, with Airflow's log-in, below `/gate` of Airflow's own server."""

from __future__ import annotations

import os
from threading import Lock
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin


class Mounted:
    """The gate's app, built at the first request: this module is imported by every Airflow process."""

    def __init__(self) -> None:
        self._app: Any = None
        self._lock = Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand a request to the app."""
        if self._app is None:
            with self._lock:
                if self._app is None:
                    self._app = _build()
        await self._app(scope, receive, send)


def _build() -> Any:
    from gate.airflow.login import AirflowAuthenticator
    from gate.api.app import create_app
    from gate.api.serving import open_served

    return create_app(open_served, authenticators=[AirflowAuthenticator()])


class ConsentGatePlugin(AirflowPlugin):
    """Found through the entry point group `airflow.plugins`; nothing to configure.

    An Airflow whose gate is elsewhere (`GATE_URL` is set) mounts nothing.
    """

    name = "consent_gate"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = (
        [] if os.environ.get("GATE_URL") else [{"app": Mounted(), "url_prefix": "/gate", "name": "Consent Gate"}]
    )
