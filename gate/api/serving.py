"""What `gate serve` runs: the app with everything around it read from the environment, once per worker process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Thread

from fastapi import FastAPI

from gate.api.airflow_identity import configured_confirmation
from gate.api.app import create_app
from gate.api.oidc import OidcAuthenticator, read_oidc_settings
from gate.service.acts import settle_keys
from gate.service.core import Service, open_service


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
    confirm = configured_confirmation(environ)
    service = open_service()
    try:
        settle_keys(service)  # a revocation that died between its entry and the pins is finished here
    except BaseException:
        service.close()
        raise
    if confirm is not None:
        service.confirm = confirm
    return service
