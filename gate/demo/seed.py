"""Records the demo's history in its ledger; recording it again adds nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from gate.demo.history import MODELS, appointments, consents, profiles
from gate.domain.consent import ConsentEvent
from gate.service.consents import record_appointments, record_consent_events, record_model, record_profile
from gate.service.core import Service, open_service

BY = "service:demo"


def record_history(service: Service) -> None:
    """Record who may speak for whom, who said what, and who owns which model."""
    for account, profile in profiles().items():
        record_profile(service, account, profile, by=BY, via="import")
    record_appointments(service, appointments(), via="import")
    record_consent_events(service, consents(), by=BY, via="import")
    for model, ownership, features, evidence in MODELS:
        record_model(service, model, ownership, features, evidence, by=BY, via="import")


def record_now(make: Callable[[datetime], ConsentEvent]) -> None:
    """Record what `make` says an admin answers at this moment."""
    with open_service() as service:
        record_consent_events(service, [make(service.clock())], by=BY, via="airflow")
