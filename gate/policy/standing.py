"""Which consent stands for a cell, and every reason why one does not (design.md section 5)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from gate.domain.consent import ANY_FEATURE, ConsentEvent, RecordedEvent
from gate.domain.decision import Use
from gate.domain.words import Action, Authority, Category, Ownership, Reason
from gate.policy.rows import Policy, Row

_FIRST_PARTY = (Ownership.FIRST_PARTY,)
_WITHOUT_AUTHORITY = {Authority.NOT_ADMIN: Reason.NOT_ADMIN, Authority.WRONG_ACCOUNT: Reason.WRONG_ACCOUNT}
_NONE: frozenset[Reason] = frozenset()
_NO_CONSENT = frozenset({Reason.NO_CONSENT})
_REVOKED = {Action.REFUSE: Reason.CONSENT_REFUSED, Action.WITHDRAW: Reason.CONSENT_WITHDRAWN}


class Standing(NamedTuple):
    """Whether consent stands for a cell.

    Attributes:
        stands: it does.
        reasons: why not, every failing dimension of every event; when it stands, what was recorded without effect.
        terms: the terms version the standing consent was given under.
    """

    stands: bool
    reasons: frozenset[Reason]
    terms: str | None = None


def standing(
    policy: Policy, row: Row, category: Category, events: tuple[RecordedEvent, ...], use: Use, now: datetime
) -> Standing:
    """Say whether a grant of one account satisfies a consent row for a category and use, at `now`.

    Args:
        policy: whose terms versions and rule on non-admins' withdrawals apply.
        row: a row with requirement `consent`.
        category: the cell's category.
        events: all recorded consent events of the account, in any order.
        use: what the data is wanted for.
        now: the instant of deciding.
    """
    grants: list[tuple[RecordedEvent, set[Reason]]] = []
    against: list[RecordedEvent] = []
    speaker: RecordedEvent | None = None
    faults: set[Reason] = set()
    for recorded in events:
        if recorded.event.action is Action.GRANT:
            failing = _failing(policy, row, category, recorded, use, now)
            grants.append((recorded, failing))
            if failing.isdisjoint(_COVERAGE) and (speaker is None or _order(recorded) > _order(speaker)):
                speaker, faults = recorded, failing
        elif recorded.event.effective_at <= now and _applies(recorded.event, row, category, use):
            against.append(recorded)
    if not (grants or against):
        return Standing(False, _NO_CONSENT)
    objections = _NONE
    upheld = False
    if against:
        covering = [recorded for recorded, failing in grants if failing.isdisjoint(_COVERAGE)]
        objections, upheld = _objections(policy, against, speaker, covering)
    if speaker is not None and not faults and not upheld:
        terms = speaker.event.notice.terms_version or policy.terms_at(speaker.event.effective_at)
        return Standing(True, objections, terms)
    return Standing(False, objections.union(*(failing for _, failing in grants)))


def _objections(
    policy: Policy, against: list[RecordedEvent], speaker: RecordedEvent | None, covering: list[RecordedEvent]
) -> tuple[frozenset[Reason], bool]:
    """Weigh applicable refusals and withdrawals: which to report, and whether any of them ends the consent."""
    admins = [r for r in against if r.authority is Authority.ADMIN]
    others = [r for r in against if r.authority is not Authority.ADMIN]
    revoked = {_REVOKED[r.event.action] for r in admins if speaker is None or _overtakes(r, speaker)}
    upheld = bool(revoked)
    if policy.non_admin_withdrawal == "blocks":
        upheld = upheld or not all(_answered(other, covering + admins) for other in others)
    return frozenset(revoked).union(_WITHOUT_AUTHORITY[r.authority] for r in others), upheld


# What a grant lacks when it does not speak for the cell at all; the rest of its faults are faults of one that does.
_COVERAGE = frozenset(
    {
        Reason.WRONG_TOGGLE,
        Reason.WRONG_CATEGORY,
        Reason.WRONG_FEATURE,
        Reason.WRONG_PURPOSE,
        Reason.WRONG_OWNERSHIP,
        Reason.CONSENT_NOT_YET_EFFECTIVE,
        Reason.NOT_ADMIN,
        Reason.WRONG_ACCOUNT,
    }
)


def _failing(
    policy: Policy, row: Row, category: Category, recorded: RecordedEvent, use: Use, now: datetime
) -> set[Reason]:
    grant = recorded.event
    failing: set[Reason] = set()
    if recorded.authority is not Authority.ADMIN:
        failing.add(_WITHOUT_AUTHORITY[recorded.authority])
    if category not in (grant.categories or ()):
        failing.add(Reason.WRONG_CATEGORY)
    if not _names_feature(grant, use.feature):
        failing.add(Reason.WRONG_FEATURE)
    if use.purpose not in (grant.purposes or ()):
        failing.add(Reason.WRONG_PURPOSE)
    if use.ownership not in (_FIRST_PARTY if grant.ownership is None else grant.ownership):
        failing.add(Reason.WRONG_OWNERSHIP)
    if grant.effective_at > now:
        failing.add(Reason.CONSENT_NOT_YET_EFFECTIVE)
    if grant.expires_at is not None and grant.expires_at <= now:
        failing.add(Reason.CONSENT_EXPIRED)
    if grant.toggle is not row.toggle:
        failing.add(Reason.WRONG_TOGGLE)
    else:  # the other toggle's form is nothing this row asks about
        failing.update(_unmet(policy, row, grant))
    return failing


def _names_feature(grant: ConsentEvent, feature: str | None) -> bool:
    named = grant.features or ()
    return ANY_FEATURE in named or (feature is not None and feature in named)


def _unmet(policy: Policy, row: Row, grant: ConsentEvent) -> Iterable[Reason]:
    asked = row.conditions
    if asked.notice and (
        not grant.notice.text_sha256
        or grant.notice.terms_version is None
        or grant.notice.terms_version != policy.terms_at(grant.effective_at)
    ):
        yield Reason.NOTICE_MISMATCH
    if asked.evidence and not grant.evidence:
        yield Reason.INSTRUMENT_REQUIRED
    if asked.withdrawal_channel and not grant.withdrawal_channel:
        yield Reason.NO_WITHDRAWAL_CHANNEL
    if asked.unbundled and grant.bundled_with_service:
        yield Reason.BUNDLED_CONSENT
    if asked.instruments and grant.instrument not in asked.instruments:
        yield Reason.INSTRUMENT_REQUIRED
    if asked.expiry and grant.expires_at is None:
        yield Reason.INSTRUMENT_REQUIRED


def _applies(event: ConsentEvent, row: Row, category: Category, use: Use) -> bool:
    # An omitted or empty field of a refusal or withdrawal means everything; and a use that names no
    # feature is a use of all of them.
    return (
        event.toggle in (None, row.toggle)
        and (not event.categories or category in event.categories)
        and (not event.purposes or use.purpose in event.purposes)
        and (not event.ownership or use.ownership in event.ownership)
        and (not event.features or use.feature is None or _names_feature(event, use.feature))
    )


def _order(recorded: RecordedEvent) -> tuple[datetime, int]:
    return recorded.event.effective_at, recorded.index


def _overtakes(revocation: RecordedEvent, grant: RecordedEvent) -> bool:
    return revocation.event.effective_at >= grant.event.effective_at or revocation.index > grant.index


def _answered(other: RecordedEvent, answers: list[RecordedEvent]) -> bool:
    said_at = other.event.effective_at
    return any(answer.index > other.index or answer.event.effective_at > said_at for answer in answers)
