"""A whole decision over random consent histories, and the proof that it equals one made account by account."""

from __future__ import annotations

import json
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gate.domain.consent import Appointment, ConsentEvent, Profile, parse_consent_event
from gate.domain.dataset import Dataset, dataset
from gate.domain.decision import wanted_use
from gate.domain.words import Ownership, Role
from gate.service.consents import record_appointments, record_consent_events, record_model, record_profile
from gate.service.core import Service, set_up
from gate.service.deciding import check
from gate.service.differential import differential
from gate.service.settings import read_settings
from gate.service.tagging import tag_dataset

ACCOUNTS, ROWS, SEED = 1_000, 20_000, 7
USE = wanted_use("train", feature="meeting_summary", model="ms-1")
_START = datetime(2023, 8, 10, tzinfo=UTC)


def main() -> list[dict[str, object]]:
    """Decide over 20,000 rows of 1,000 accounts; fails when any count differs from the slow way."""
    with tempfile.TemporaryDirectory(prefix="gate-bench-") as folder:
        home = Path(folder)
        with set_up(read_settings({"GATE_HOME": str(home / "gate")})) as service:
            _record(service)
            data = _lake(home)
            tag_dataset(service, data, ["chat"], by="bench", via="cli")
            check(service, [data], USE)  # the first call imports the engines
            began = time.perf_counter()
            decision, _ = check(service, [data], USE)
            joined = time.perf_counter() - began
            began = time.perf_counter()
            differences = differential(service, [data], USE)  # decides once more, then the slow way
            slow = time.perf_counter() - began - joined
    assert not differences, differences
    return [
        {
            "what": "decision by groups / account by account",
            "measured": joined / slow,
            "bar": 1.0,
            "unit": "x",
            "note": f"{joined:.2f} s against {slow:.2f} s; {decision.rows_blocked} rows blocked, no difference",
        }
    ]


def _record(service: Service) -> None:
    chance = random.Random(SEED)
    names = [f"account-{number}" for number in range(ACCOUNTS)]
    since = datetime(2023, 1, 1, tzinfo=UTC)
    admins = [
        Appointment(name, f"admin@{name}", "appoint", Role.ADMIN, since) for name in names if chance.random() < 0.9
    ]
    record_appointments(service, admins, via="import")
    for name in names[: ACCOUNTS // 2]:
        segment = chance.choice(["none", "none", "none", "education"])
        record_profile(service, name, Profile("US", segment, "2023-08-07"), by="bench", via="cli")
    record_model(service, "ms-1", Ownership.FIRST_PARTY, ["meeting_summary"], "bench", by="bench", via="cli")
    events = [event for name in names for event in _history(chance, name)]
    record_consent_events(service, events, by="bench", via="import")


def _history(chance: random.Random, name: str) -> list[ConsentEvent]:
    return [parse_consent_event(_event(chance, name)) for _ in range(chance.randrange(4))]


def _event(chance: random.Random, name: str) -> dict[str, Any]:
    at = _START + timedelta(days=chance.randrange(800))
    action = chance.choice(["grant", "grant", "grant", "withdraw", "refuse"])
    event: dict[str, Any] = {
        "account_id": name,
        "action": action,
        "principal": {"id": f"admin@{name}", "role": "admin"},
        "effective_at": at.isoformat(),
    }
    if action == "grant":
        event |= {
            "toggle": chance.choice(["share_for_training", "share_for_training", "enable_feature"]),
            "categories": chance.choice([["chat"], ["chat", "audio"], ["audio"]]),
            "features": chance.choice(["*", ["meeting_summary"], ["team_chat_compose"]]),
            "purposes": chance.choice([["train"], ["train", "tune"], ["improve_product"]]),
            "notice": {"terms_version": "2023-08-07", "text_sha256": "ab" * 32},
            "withdrawal_channel": "console",
            "evidence": "form",
            "expires_at": (at + timedelta(days=chance.randrange(30, 2000))).isoformat(),
        }
    return event


def _lake(home: Path) -> Dataset:
    chance = random.Random(SEED)
    path = home / "chat.jsonl"
    rows = ({"account_id": f"account-{chance.randrange(ACCOUNTS + 20)}", "text": "hi"} for _ in range(ROWS))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return dataset(str(path), "account_id")
