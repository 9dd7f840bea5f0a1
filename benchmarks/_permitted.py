"""A ledger with permits for the benchmarks that redeem them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ACCOUNTS = 200


def permitted(folder: Path, *, runs: int) -> tuple[str, list[Any]]:
    """Set up the environment's ledger with one permit per run `run-N`, each for the task `train` of the DAG `train`.

    Returns:
        A worker's token, and per run what the worker asks (`gate.service.ports.RedemptionRequest`).
    """
    from gate.domain.consent import Appointment, Profile, parse_consent_event
    from gate.domain.dataset import dataset
    from gate.domain.decision import wanted_use
    from gate.domain.run import TaskRun
    from gate.domain.words import Ownership, Role
    from gate.permits.receipt import new_nonce
    from gate.service.consents import record_appointments, record_consent_events, record_model, record_profile
    from gate.service.core import set_up
    from gate.service.deciding import decide
    from gate.service.outcome import Asking
    from gate.service.ports import RedemptionRequest
    from gate.service.settings import read_settings
    from gate.service.tagging import tag_dataset
    from gate.service.tokens import create_token

    since, use = datetime(2023, 1, 1, tzinfo=UTC), wanted_use("train", "meeting_summary", "ms-1")
    names = [f"account-{number}" for number in range(ACCOUNTS)]
    with set_up(read_settings()) as service:
        record_model(service, "ms-1", Ownership.FIRST_PARTY, ["*"], "card", by="eve", via="cli")
        appointed = [Appointment(name, f"admin@{name}", "appoint", Role.ADMIN, since) for name in names]
        record_appointments(service, appointed, via="import")
        for name in names:
            record_profile(service, name, Profile("US", "none", "2023-08-07"), by="eve", via="cli")
        record_consent_events(service, [parse_consent_event(grant(name)) for name in names], by="eve", via="import")
        path = folder / "chat.jsonl"
        path.write_text("".join(json.dumps({"account_id": name, "text": "hello"}) + "\n" for name in names))
        data = dataset(str(path), "account_id")
        tag_dataset(service, data, ["chat"], by="service:bench", via="airflow")
        requests = []
        for run_id in (f"run-{number}" for number in range(runs)):
            asking = Asking(TaskRun("train", run_id, "gate"), ("train",), "service:bench", "airflow")
            outcome = decide(service, [data], use, asking)
            assert outcome.allowed, outcome.reasons
            measured: dict[str, str | None] = {version.key: version.digest for version in outcome.versions}
            run = TaskRun("train", run_id, "train")
            requests.append(RedemptionRequest(run, (data,), use, measured, new_nonce()))
        token = create_token(service, "bench", ["read", "redeem"], lifetime=timedelta(days=1), by="eve", via="cli")
    return token.text, requests


def grant(account: str) -> dict[str, Any]:
    """Return an admin's consent to training on chat, as `parse_consent_event` reads it."""
    return {
        "account_id": account,
        "action": "grant",
        "toggle": "share_for_training",
        "categories": ["chat"],
        "features": ["meeting_summary"],
        "purposes": ["train"],
        "principal": {"id": f"admin@{account}", "role": "admin"},
        "notice": {"terms_version": "2023-08-07", "text_sha256": "ab" * 32},
        "withdrawal_channel": "console",
        "evidence": "form",
        "effective_at": "2023-09-01T00:00:00Z",
    }
