"""A small world for service tests: a ledger in a folder, accounts that agreed, files they own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gate.domain.consent import Appointment, ConsentEvent, Profile, parse_consent_event
from gate.domain.dataset import Dataset, dataset
from gate.domain.decision import WantedUse, wanted_use
from gate.domain.run import Confirmed, TaskRun
from gate.domain.words import Ownership, Role
from gate.service.consents import record_appointments, record_consent_events, record_model, record_profile
from gate.service.core import Service, open_service, set_up
from gate.service.outcome import Asking
from gate.service.settings import Settings, read_settings

START = datetime(2024, 1, 1, tzinfo=UTC)
USE = wanted_use("train", feature="meeting_summary", model="ms-1")
RUN = TaskRun("train_summary", "manual__1", "consent_gate")
TRAIN = TaskRun("train_summary", "manual__1", "train")
ASKING = Asking(RUN, ("train",), "service:airflow", "airflow")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: int) -> None:
        self.now += timedelta(**delta)


def new_service(folder: Path, clock: Clock | None = None, *, url: str | None = None) -> Service:
    """Open a fresh service with one registered model."""
    settings = read_settings({"GATE_HOME": str(folder)}, database_url=url)
    service = set_up(settings, clock=clock or Clock())
    service.confirm = lambda run: Confirmed()  # as if Airflow said that every task that asks is running
    record_model(service, "ms-1", Ownership.FIRST_PARTY, ["meeting_summary"], "registry/ms-1", by="eve", via="cli")
    record_model(service, "llm-x", Ownership.THIRD_PARTY, ["*"], "contract/7", by="eve", via="cli")
    return service


def reopen(settings: Settings, clock: Clock | None = None) -> Service:
    """Open a service that `new_service` made; every task that asks is said to be running."""
    service = open_service(settings, clock=clock or Clock())
    service.confirm = lambda run: Confirmed()
    return service


def add_account(service: Service, account: str, **profile: str) -> None:
    """Record an account with its admin `admin@ACCOUNT` and an ordinary US profile."""
    since = datetime(2023, 1, 1, tzinfo=UTC)
    admin = Appointment(account, f"admin@{account}", "appoint", Role.ADMIN, since)
    record_appointments(service, [admin], via="import")
    fields = {"region": "US", "segment": "none", "terms_version": "2023-08-07", **profile}
    record_profile(service, account, Profile(**fields), by="eve", via="cli")


def event(account: str, action: str = "grant", **changes: Any) -> ConsentEvent:
    """Build a consent event; a grant is valid for training on chat unless changed."""
    raw: dict[str, Any] = {
        "account_id": account,
        "action": action,
        "principal": {"id": f"admin@{account}", "role": "admin"},
        "effective_at": "2023-09-01T00:00:00Z",
    }
    if action == "grant":
        raw |= {
            "toggle": "share_for_training",
            "categories": ["chat"],
            "features": ["meeting_summary"],
            "purposes": ["train"],
            "notice": {"terms_version": "2023-08-07", "text_sha256": "ab" * 32},
            "withdrawal_channel": "admin console",
            "evidence": "form 12",
        }
    return parse_consent_event(raw | changes)


def say(service: Service, *events: ConsentEvent, via: str = "import") -> None:
    """Record consent events."""
    record_consent_events(service, events, by="eve", via=via)


def chat_file(folder: Path, accounts: Iterable[str | None], name: str = "chat.jsonl") -> Dataset:
    """Write one chat message per account and name the file as a dataset."""
    path = folder / name
    lines = [json.dumps({"account_id": a, "text": f"message {i}"}) for i, a in enumerate(accounts)]
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return dataset(str(path), "account_id")


def use(purpose: str = "train", **changes: str | None) -> WantedUse:
    """Return the usual use with changes."""
    return wanted_use(purpose, **({"feature": "meeting_summary", "model": "ms-1"} | changes))
