"""The demo's consent histories: eight accounts, eight ways to have (or not have) consented. Pure values.

| account | history | trains `meeting_summary` |
|---|---|---|
| aurora | its admin granted everything that is needed | yes |
| borealis | switched the feature on, never shared data for training | no: `wrong_toggle` |
| cascade | refused | no: `consent_refused` |
| delta | granted, then withdrew | no: `consent_withdrawn` |
| ember | granted for two years, which are over | no: `consent_expired` |
| fjord | a member granted, not an admin | no: `not_admin` |
| glacier | granted for another feature | no: `wrong_feature` |
| harbor | nobody ever answered | no: `no_consent` |
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from gate.demo.lake import ACCOUNTS
from gate.domain.consent import Appointment, ConsentEvent, Features, Notice, Principal, Profile
from gate.domain.words import CONTENT, Action, Instrument, Ownership, Purpose, Role, Toggle

TERMS = "2023-08-07"
MODELS = (
    ("ms-1", Ownership.FIRST_PARTY, ("meeting_summary", "team_chat_compose"), "demo: trained and served in-house"),
    ("cq-1", Ownership.FIRST_PARTY, ("call_quality",), "demo: trained and served in-house"),
    ("vendor-llm", Ownership.THIRD_PARTY, ("team_chat_compose",), "demo: owned by the invented Vendor Ltd."),
    ("outcomes-1", Ownership.FIRST_PARTY, ("outcomes",), "demo: trained and served in-house"),
)
"""(model id, who owns it, features it serves, evidence) of every registered model."""

_NOTICE_TEXT = "Demo notice: with this switch you let us train our own models on your meetings. You can switch it off."
_NOTICE = Notice(TERMS, hashlib.sha256(_NOTICE_TEXT.encode()).hexdigest(), "en")
_SUMMARY: Features = ("meeting_summary",)
_BOTH: Features = ("meeting_summary", "team_chat_compose")


def profiles() -> dict[str, Profile]:
    """Return every account's recorded profile."""
    return dict.fromkeys(ACCOUNTS, Profile(region="US", segment="none", terms_version=TERMS))


def appointments() -> list[Appointment]:
    """Return one admin for each account, appointed before anybody consented."""
    return [
        Appointment(account, _person("admin", account), "appoint", Role.ADMIN, _on(2022, 1, 10)) for account in ACCOUNTS
    ]


def consents() -> list[ConsentEvent]:
    """Return everything that was ever answered, oldest first."""
    events = [
        _feature_on("aurora", _on(2023, 9, 1), _BOTH),
        _grant("aurora", _on(2023, 9, 1), _BOTH),
        _feature_on("borealis", _on(2023, 9, 4), _SUMMARY),
        _refusal("cascade", _on(2023, 9, 5)),
        _grant("delta", _on(2023, 9, 18), _BOTH),
        _grant("ember", _on(2023, 10, 2), _BOTH, expires_at=_on(2025, 10, 2)),
        _grant("fjord", _on(2024, 2, 12), _BOTH, role=Role.MEMBER),
        _grant("glacier", _on(2024, 5, 6), ("team_chat_compose",)),
        withdrawal("delta", _on(2025, 3, 3)),
    ]
    return sorted(events, key=lambda event: event.effective_at)


def renewal(now: datetime) -> ConsentEvent:
    """Return harbor's late grant: the DAG `train_after_withdrawal` records it, and soon takes it back."""
    return _grant("harbor", now, _BOTH)


def withdrawal(account: str, now: datetime) -> ConsentEvent:
    """Return the withdrawal of all training consent by the account's admin."""
    return ConsentEvent(
        account_id=account,
        action=Action.WITHDRAW,
        principal=Principal(_person("admin", account), Role.ADMIN),
        effective_at=now,
        toggle=Toggle.SHARE_FOR_TRAINING,
        channel="admin console",
        evidence="console log, demo",
    )


def _grant(
    account: str,
    effective_at: datetime,
    features: Features,
    *,
    role: Role = Role.ADMIN,
    expires_at: datetime | None = None,
) -> ConsentEvent:
    return ConsentEvent(
        account_id=account,
        action=Action.GRANT,
        principal=Principal(_person(role.value, account), role),
        effective_at=effective_at,
        toggle=Toggle.SHARE_FOR_TRAINING,
        categories=tuple(sorted(CONTENT)),
        features=features,
        purposes=(Purpose.TRAIN,),
        ownership=(Ownership.FIRST_PARTY,),
        notice=_NOTICE,
        instrument=Instrument.ADMIN_TOGGLE,
        channel="admin console",
        withdrawal_channel="admin console, the same switch",
        expires_at=expires_at,
        evidence="signed form, demo",
    )


def _feature_on(account: str, effective_at: datetime, features: Features) -> ConsentEvent:
    return ConsentEvent(
        account_id=account,
        action=Action.GRANT,
        principal=Principal(_person("admin", account), Role.ADMIN),
        effective_at=effective_at,
        toggle=Toggle.ENABLE_FEATURE,
        categories=tuple(sorted(CONTENT)),
        features=features,
        purposes=(Purpose.INFER,),
        ownership=(Ownership.FIRST_PARTY,),
        notice=_NOTICE,
        instrument=Instrument.ADMIN_TOGGLE,
        channel="admin console",
        withdrawal_channel="admin console, the same switch",
        evidence="console log, demo",
    )


def _refusal(account: str, effective_at: datetime) -> ConsentEvent:
    return ConsentEvent(
        account_id=account,
        action=Action.REFUSE,
        principal=Principal(_person("admin", account), Role.ADMIN),
        effective_at=effective_at,
        toggle=Toggle.SHARE_FOR_TRAINING,
        channel="admin console",
        evidence="console log, demo",
    )


def _person(role: str, account: str) -> str:
    return f"{role}@{account}.example"


def _on(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 12, 0, tzinfo=UTC)
