"""Numbers for what a policy can tell of an account: of one event, and of all its events in their order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gate.domain.consent import (
    ConsentEvent,
    Notice,
    Principal,
    Profile,
    RecordedEvent,
    parse_consent_event,
)
from gate.domain.decision import AccountFacts
from gate.domain.words import Authority

NEVER = 2**63 - 1  # microseconds: an event without an end
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(microseconds=1)
_SOMEBODY, _RECORDED, _HASH = "somebody", "recorded", "0" * 64  # stand for personal values: only their presence counts

Signature = tuple[Any, ...]
Shape = tuple[Profile, tuple[tuple[int, int], ...]]


@dataclass
class Codes:
    """Terms and shapes by number, in the order in which they were first seen.

    *Terms* are what a policy can tell of one event apart from its times. A *shape* is an account's profile with the
    terms and the rank of `effective_at` of each of its events, in the ledger's order.

    Attributes:
        terms: per number the authority and an event that bears these terms, without anything personal.
        shapes: per number the shape.
    """

    terms: list[tuple[Authority, ConsentEvent]] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    _terms: dict[Signature, int] = field(default_factory=dict, repr=False)
    _shapes: dict[Shape, int] = field(default_factory=dict, repr=False)

    def term(self, authority: Authority, event: ConsentEvent) -> int:
        """Return the number of an event's terms."""
        number = self._terms.setdefault((authority, *terms_of(event)), len(self.terms))
        if number == len(self.terms):
            self.terms.append((authority, _impersonal(event)))
        return number

    def shape(self, profile: Profile, terms: Sequence[int], starts: Sequence[int]) -> int:
        """Return the number of an account's shape.

        Args:
            profile: the account's.
            terms: per event, in the ledger's order, the number of its terms.
            starts: per event when it takes effect; only the order of these counts.
        """
        ranks = {start: rank for rank, start in enumerate(sorted(set(starts)))}
        shape = (profile, tuple((term, ranks[start]) for term, start in zip(terms, starts, strict=True)))
        number = self._shapes.setdefault(shape, len(self.shapes))
        if number == len(self.shapes):
            self.shapes.append(shape)
        return number

    def facts(self, shape: int, starts: Sequence[int], ends: Sequence[int]) -> AccountFacts:
        """Return facts that a policy cannot tell from those of an account of this shape with these times."""
        profile, events = self.shapes[shape]
        return AccountFacts(
            profile,
            tuple(
                self._event(place, term, start, end)
                for place, ((term, _), start, end) in enumerate(zip(events, starts, ends, strict=True))
            ),
        )

    def to_json(self, terms: int = 0, shapes: int = 0) -> bytes:
        """Write down what was added since there were so many terms and shapes."""
        return json.dumps(
            {
                "terms": [[str(authority), event.to_dict()] for authority, event in self.terms[terms:]],
                "shapes": [
                    [[profile.region, profile.segment, profile.terms_version], events]
                    for profile, events in self.shapes[shapes:]
                ],
            },
            separators=(",", ":"),
        ).encode()

    def add_json(self, written: bytes) -> None:
        """Add what `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError, InputError: it did not write this.
        """
        said = json.loads(written)
        for authority, fields in said["terms"]:
            event = parse_consent_event(fields)
            self._terms[Authority(authority), *terms_of(event)] = len(self.terms)
            self.terms.append((Authority(authority), event))
        for profile, events in said["shapes"]:
            shape = (Profile(*profile), tuple((int(term), int(rank)) for term, rank in events))
            self._shapes[shape] = len(self.shapes)
            self.shapes.append(shape)

    def _event(self, place: int, term: int, start: int, end: int) -> RecordedEvent:
        authority, event = self.terms[term]
        effective_at, expires_at = instant_of(start), None if end == NEVER else instant_of(end)
        return RecordedEvent(
            replace(event, effective_at=effective_at, expires_at=expires_at), place, effective_at, authority
        )


def terms_of(event: ConsentEvent) -> Signature:
    """Return what a policy can tell of an event: ids and times left out, of texts only whether they are there."""
    return (
        event.action,
        event.toggle,
        event.categories,
        event.features,
        event.purposes,
        event.ownership,
        event.principal.role,
        event.principal.evidence is not None,
        event.notice.terms_version,
        event.notice.text_sha256 is not None,
        event.notice.language,
        event.instrument,
        event.channel,
        event.bundled_with_service,
        event.withdrawal_channel is not None,
        event.evidence is not None,
        event.expires_at is not None,
    )


def microseconds(instant: datetime) -> int:
    """Return an instant as microseconds since 1970."""
    return (instant - _EPOCH) // _SECOND


def instant_of(when: int) -> datetime:
    """Return microseconds since 1970 as an instant."""
    return _EPOCH + timedelta(microseconds=when)


def _impersonal(event: ConsentEvent) -> ConsentEvent:
    notice, principal = event.notice, event.principal
    return replace(
        event,
        account_id=_SOMEBODY,
        principal=Principal(_SOMEBODY, principal.role, principal.evidence and _RECORDED),
        notice=Notice(notice.terms_version, notice.text_sha256 and _HASH, notice.language),
        withdrawal_channel=event.withdrawal_channel and _RECORDED,
        evidence=event.evidence and _RECORDED,
        jurisdiction=None,
    )
