"""Opens the service as `gate serve` and Airflow's plugin need it: with everything read from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gate.api.airflow_identity import configured_airflow
from gate.service.acts import settle_keys
from gate.service.core import Service, open_service


def warm_up() -> None:
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
    airflow = configured_airflow(environ)
    service = open_service()
    try:
        settle_keys(service)  # a revocation that died between its entry and the pins is finished here
    except BaseException:
        service.close()
        raise
    if airflow is not None:
        service.confirm, service.confirm_review = airflow.confirm, airflow.confirm_review
    return service
