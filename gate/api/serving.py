"""What `gate serve` runs: the app with everything around it read from the environment, once per worker process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from threading import Thread

from fastapi import FastAPI

from gate.api.airflow_identity import airflow_confirmation
from gate.api.app import create_app
from gate.api.oidc import OidcAuthenticator, read_oidc_settings
from gate.domain.run import Confirmed, TaskRun
from gate.service.core import Service, open_service

AIRFLOW_URL = "GATE_AIRFLOW_URL"
AIRFLOW_USER = "GATE_AIRFLOW_USER"
AIRFLOW_PASSWORD = "GATE_AIRFLOW_PASSWORD"  # noqa: S105  # the setting's name
AIRFLOW_TOKEN = "GATE_AIRFLOW_TOKEN"  # noqa: S105  # the setting's name


def app() -> FastAPI:
    """Build the app of one worker process; uvicorn calls it.

    Raises:
        InputError: a setting that cannot be right.
    """
    oidc = read_oidc_settings(os.environ)
    people = [] if oidc is None else [OidcAuthenticator(oidc)]
    Thread(target=_warm_up, daemon=True).start()
    return create_app(open_served, authenticators=people)


def _warm_up() -> None:
    """Import what the first decision needs (seconds) before it is asked for."""
    from gate.lineage import events
    from gate.scan.engine import engine

    with engine():
        _ = events


def open_served(environ: Mapping[str, str] = os.environ) -> Service:
    """Open the service that asks the configured Airflow who is running; without one, nothing can be redeemed.

    Raises:
        GateError: as `open_service`.
        InputError: an Airflow without credentials.
    """
    confirm = confirmation(environ)
    service = open_service()
    if confirm is not None:
        service.confirm = confirm
    return service


def confirmation(environ: Mapping[str, str]) -> Callable[[TaskRun], Confirmed] | None:
    """Return what asks the configured Airflow; `None` when none is configured.

    Raises:
        InputError: an Airflow without credentials.
    """
    url = environ.get(AIRFLOW_URL)
    if not url:
        return None
    return airflow_confirmation(
        url,
        username=environ.get(AIRFLOW_USER),
        password=environ.get(AIRFLOW_PASSWORD),
        token=environ.get(AIRFLOW_TOKEN),
    )
