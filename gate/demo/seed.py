"""Records the demo's history in its ledger; recording it again adds nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from gate.demo.history import MODELS, appointments, consents, profiles
from gate.domain.consent import ConsentEvent
from gate.domain.instants import utc_now
from gate.service.consents import record_appointments, record_consent_events, record_model, record_profile
from gate.service.core import Service, open_service

BY = "service:demo"
CONSOLE = "GATE_DEMO_CONSOLE"  # a JSON file with url and token of a console, where a decision service holds the ledger


def record_history(service: Service) -> None:
    """Record who may speak for whom, who said what, and who owns which model."""
    for account, profile in profiles().items():
        record_profile(service, account, profile, by=BY, via="import")
    record_appointments(service, appointments(), via="import")
    record_consent_events(service, consents(), by=BY, via="import")
    for model, ownership, features, evidence in MODELS:
        record_model(service, model, ownership, features, evidence, by=BY, via="import")


def record_now(make: Callable[[datetime], ConsentEvent], environ: Mapping[str, str] = os.environ) -> None:
    """Record what `make` says an admin answers at this moment.

    Args:
        make: returns the event at an instant.
        environ: `GATE_DEMO_CONSOLE` where the ledger is elsewhere; a worker's own token records no consent.
    """
    if console := environ.get(CONSOLE):
        _tell(json.loads(Path(console).read_text("utf-8")), make(utc_now()))
        return
    with open_service() as service:
        record_consent_events(service, [make(service.clock())], by=BY, via="airflow")


def _tell(console: Mapping[str, str], event: ConsentEvent) -> None:
    from gate.api.sending import Line, writing

    line = Line(console["url"], console["token"], timeout=30.0)
    try:
        line.json(writing("/consents", {"events": [event.to_dict()]}))
    finally:
        line.close()
