"""Small ledgers with known content, and ways to look at them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from gate.domain.consent import Appointment, ConsentEvent, Profile, parse_consent_event
from gate.domain.words import Ownership, Role
from gate.ledger import records
from gate.ledger.store import Ledger, NewEntry, Transaction, create_ledger, open_ledger
from gate.ledger.verify import VerifyReport, verify

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
COMMON: dict[str, Any] = {"recorded_at": NOW, "by": "service:test", "via": "import"}


def counting_salt() -> Callable[[], bytes]:
    """Return a source of salts that is the same in every run."""
    numbers = count()
    return lambda: hashlib.sha256(next(numbers).to_bytes(8, "big")).digest()[:16]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def consent(account: str = "acme", action: str = "grant", **changes: Any) -> ConsentEvent:
    fields: dict[str, Any] = {
        "account_id": account,
        "action": action,
        "toggle": "share_for_training",
        "categories": ["audio"],
        "features": ["meeting_summary"],
        "purposes": ["train"],
        "principal": {"id": "ada", "role": "owner"},
        "notice": {"terms_version": "2023-08-07", "text_sha256": "a" * 64, "language": "en"},
        "withdrawal_channel": "admin console",
        "evidence": "form 1",
        "effective_at": "2024-01-10T00:00:00Z",
    }
    return parse_consent_event({**fields, **changes})


def appointment(
    account: str = "acme", person: str = "ada", action: str = "appoint", since: str = "2023-01-01"
) -> Appointment:
    return Appointment(account, person, action, Role.OWNER, at(since))  # type: ignore[arg-type]


@contextmanager
def opened(url: str, **options: Any) -> Iterator[Ledger]:
    ledger = open_ledger(url, **options)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def fresh(url: str, **options: Any) -> Iterator[Ledger]:
    create_ledger(url, **options)
    with opened(url, **options) as ledger:
        yield ledger


def numbered(first: int, last: int, kind: str = "tag") -> list[NewEntry]:
    return [NewEntry(kind, f"n{number}", {"number": number}, **COMMON) for number in range(first, last)]


def fill(tx: Transaction) -> None:
    """Record a little of everything the tampering and erasure tests look at."""
    records.record_appointments(tx, [appointment(), appointment("bolt", "bob")], **COMMON)
    records.record_profile(tx, "acme", Profile("US", "none", "2023-08-07"), **COMMON)
    records.record_consents(tx, [consent(), consent("bolt", principal={"id": "bob", "role": "admin"})], **COMMON)
    records.record_model(tx, "ms-1", Ownership.FIRST_PARTY, ["meeting_summary"], "model card 7", **COMMON)
    text = tx.attach(b"rows: []\n", "application/yaml")
    tx.append("policy_activation", "p1", {"name": "p", "digest": text, "text": text}, **COMMON)


def check(url: str, **options: Any) -> VerifyReport:
    with opened(url) as ledger, ledger.read() as reader:
        return verify(reader, **options)


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"
