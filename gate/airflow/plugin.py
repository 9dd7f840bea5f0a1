"""The Airflow plugin: mounts the gate's API and pages, with Airflow's log-in, and puts the pages into Airflow's UI."""

from __future__ import annotations

import json
import os
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar
from urllib.parse import quote

from airflow.plugins_manager import AirflowPlugin

from gate.airflow.address import base_path
from gate.web.tabs import DAG_TAB, NAVIGATION, PREFIX, RUN_TAB, TASK_TAB


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
    from gate.airflow.coverage import coverage
    from gate.airflow.login import AirflowAuthenticator
    from gate.airflow.waiting import is_parked
    from gate.api.serving import open_served
    from gate.web.host import Host
    from gate.web.site import create_site, warmed

    host = Host(login=_login, airflow=base_path(), coverage=coverage, parked=is_parked)
    return warmed(create_site(open_served, authenticators=[AirflowAuthenticator()], host=host))


def _login(back: str) -> str:
    return f"{base_path()}/api/v2/auth/login?next={quote(back, safe='')}"


def _views() -> list[dict[str, Any]]:
    """Return the places in Airflow's UI that lead to our pages."""
    if remote := os.environ.get("GATE_URL"):
        # Another origin cannot be framed: its log-in would not come along. The navigation leads there.
        return [{"name": "Consent gate", "href": f"{remote.rstrip('/')}/ui/decisions", "destination": "nav"}]
    pages = f"{base_path()}{PREFIX}/ui"
    run = "dag_id={DAG_ID}&run_id={RUN_ID}"
    framed = (
        ("nav", NAVIGATION, "Consent gate", f"{pages}/decisions"),
        ("dag", DAG_TAB, "Consent", f"{pages}/decisions?dag={{DAG_ID}}"),
        ("dag_run", RUN_TAB, "Consent", f"{pages}/run?{run}"),
        ("task_instance", TASK_TAB, "Consent", f"{pages}/run?{run}&task_id={{TASK_ID}}&map_index={{MAP_INDEX}}"),
    )
    icons = {"icon": f"{pages}/static/shield.svg", "icon_dark_mode": f"{pages}/static/shield-dark.svg"}
    return [
        {"name": name, "href": href, "destination": place, "url_route": route, "nav_top_level": place == "nav", **icons}
        for place, route, name, href in framed
    ]


def _badge() -> list[dict[str, Any]]:
    """Return the line on Airflow's dashboard; none where the gate is another origin or its scripts are not built."""
    manifest = Path(__file__).parents[1] / "web" / "static" / "manifest.json"
    if os.environ.get("GATE_URL") or not manifest.is_file():
        return []
    built = json.loads(manifest.read_text("utf-8"))["src/badge.ts"]["file"]  # its name changes with its content
    address = f"{base_path()}{PREFIX}/ui/static/{built}"
    return [{"name": "Consent gate badge", "bundle_url": address, "destination": "dashboard"}]


class ConsentGatePlugin(AirflowPlugin):
    """Found through the entry point group `airflow.plugins`; nothing to configure.

    An Airflow whose gate is elsewhere (`GATE_URL` is set) mounts nothing; its navigation leads there.
    """

    name = "consent_gate"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = (
        [] if os.environ.get("GATE_URL") else [{"app": Mounted(), "url_prefix": PREFIX, "name": "Consent Gate"}]
    )
    external_views: ClassVar[list[dict[str, Any]]] = _views()
    react_apps: ClassVar[list[dict[str, Any]]] = _badge()
