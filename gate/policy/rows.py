"""The decision table as frozen values: rows, conditions, terms versions, sources."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from gate.domain.decision import Citation
from gate.domain.words import Category, Instrument, Ownership, Purpose, Reason, Requirement, Toggle

AUTHORITIES = ("law", "terms", "blog", "spokesperson", "press", "default")  # the highest first
RANK = {requirement: rank for rank, requirement in enumerate(Requirement)}  # the least restrictive first
EVERY_CATEGORY = frozenset(Category) - {Category.UNCLASSIFIED}

Status = Literal["stated", "default", "conflicted"]

_GAP = re.compile(r"[\s_-]+")
_COUNTRY = re.compile(r"[A-Z]{2}")


def fold(word: str) -> str:
    """Return a segment or feature name as rows compare it: case, spaces, `-` and `_` make no difference."""
    return _GAP.sub("_", word.strip().casefold())


def region_code(region: str) -> str:
    """Return a region as rows compare it: `us_ca` is `US-CA`."""
    return region.strip().upper().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a grant must bring along to satisfy a row, beyond covering the cell.

    Attributes:
        notice: the hash of the notice's text, and terms that were in force when the grant took effect.
        evidence: a record of the consent form.
        withdrawal_channel: a recorded way to withdraw.
        unbundled: not made a condition of the service.
        instruments: one of these legal forms; empty means any.
        expiry: an end date.
    """

    notice: bool = False
    evidence: bool = False
    withdrawal_channel: bool = False
    unbundled: bool = False
    instruments: tuple[Instrument, ...] = ()
    expiry: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: the cells it speaks about, what it asks for, and the clause it rests on.

    `None` in a dimension means any value. `region_set`, `segment_set` and `feature_set` are what `regions`,
    `segments` and `features` stand for once groups are expanded and spelling is folded.

    Attributes:
        reason: the reason code a deny or undecided row adds.
        account_required: rows of data without an account block here.
        offline: what the row allows may be used where the service cannot be asked.
        effective_from, effective_until: the row applies in [from, until).
        rules: numbers of the requirements it implements.
    """

    id: str
    order: int
    categories: frozenset[Category] | None
    purposes: frozenset[Purpose] | None
    ownership: frozenset[Ownership] | None
    features: tuple[str, ...] | None
    regions: tuple[str, ...] | None
    segments: tuple[str, ...] | None
    terms: tuple[str, ...] | None
    requirement: Requirement
    citations: tuple[Citation, ...]
    effective_from: datetime
    status: Status
    effective_until: datetime | None = None
    toggle: Toggle | None = None
    conditions: Conditions = Conditions()
    reason: Reason | None = None
    account_required: bool = True
    offline: bool = False
    owner: str = "customer"
    rules: tuple[int, ...] = ()
    note: str = ""
    feature_set: frozenset[str] | None = None
    region_set: frozenset[str] | None = None
    segment_set: frozenset[str] | None = None

    @property
    def authority(self) -> str:
        """Return the highest authority the row cites: what it has when rows disagree."""
        return self.citations[0].authority

    @property
    def block_reasons(self) -> tuple[Reason, ...]:
        """Return the reason codes of a deny or undecided row."""
        general = Reason.POLICY_DENIED if self.requirement is Requirement.DENY else Reason.POLICY_UNDECIDED
        return (general,) if self.reason is None else (general, self.reason)

    def speaks_of(self, category: Category, purpose: Purpose, ownership: Ownership) -> bool:
        """Say whether the row is about this kind of cell, wherever and whenever."""
        return (
            category in (EVERY_CATEGORY if self.categories is None else self.categories)
            and (self.purposes is None or purpose in self.purposes)
            and (self.ownership is None or ownership in self.ownership)
        )

    def in_effect(self, at: datetime) -> bool:
        """Say whether the row applies at `at`."""
        return self.effective_from <= at and (self.effective_until is None or at < self.effective_until)


@dataclass(frozen=True, slots=True)
class TermsVersion:
    """A version of the customer terms: in force from `since` until the next one."""

    version: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Kind:
    """A finer word for data: the categories it stands for, and those of which one must be beside it.

    A transcript is `chat`, and says nothing usable unless the recording's own category is declared too.
    """

    name: str
    categories: tuple[Category, ...]
    needs_one_of: frozenset[Category]
    rules: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FeedBound:
    """How far behind a consent source may be; `required` sources must have reported at all."""

    max_age: timedelta
    required: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Policy:
    """A dated decision table. Compared by identity; two policies with equal `digest` say the same.

    Attributes:
        digest: of the canonical bytes of the parsed table; comments and layout do not count.
        non_admin_withdrawal: `reported`: recorded without effect; `blocks`: until an admin answers.
        participant_locator: datasets must name the participants' accounts, not only the host's.
        terms_versions: sorted by `since`.
        regions, segments: named groups with their expanded members.
        feeds: how old the word of a consent source may be; None: no bound.
        on_withdrawal: what becomes of a training that runs when a consent it rests on is withdrawn.
        boundaries: instants at which some row starts or ends, sorted.
        table: the parsed file, for `show` and for recording an activation. Not to be changed.
    """

    name: str
    version: str
    dated: str
    description: str
    digest: str
    content_owner: str
    non_admin_withdrawal: Literal["reported", "blocks"]
    participant_locator: bool
    consent_scope: str
    terms_versions: tuple[TermsVersion, ...]
    regions: Mapping[str, frozenset[str]]
    segments: Mapping[str, frozenset[str]]
    kinds: Mapping[str, Kind]
    rows: tuple[Row, ...]
    boundaries: tuple[datetime, ...]
    table: Mapping[str, Any]
    source: str = ""
    feeds: FeedBound | None = None
    on_withdrawal: Literal["stop", "continue"] = "stop"

    def terms_at(self, at: datetime) -> str | None:
        """Return the terms version in force at `at`, or None before the first."""
        index = bisect_right(self.terms_versions, at, key=lambda terms: terms.since)
        return self.terms_versions[index - 1].version if index else None

    def knows_terms(self, version: str | None) -> bool:
        """Say whether the policy lists this terms version."""
        return any(terms.version == version for terms in self.terms_versions)

    def knows_region(self, region: str) -> bool:
        """Say whether a region can be placed: a country code, a subdivision of one, or a group of the policy.

        Anything else (`Europe`, `EMEA`) may or may not be where a region row applies, so it counts as unknown.
        """
        head = region_code(region).partition("-")[0]
        return bool(_COUNTRY.fullmatch(head)) or head in self.regions

    @property
    def rules(self) -> frozenset[int]:
        """Return the numbers of the requirements that rows, kinds and sources name."""
        sources = self.table.get("sources") or {}
        stated = {rule for source in sources.values() for said in source["statements"] for rule in said["rules"]}
        in_rows = {rule for row in self.rows for rule in row.rules}
        return frozenset(stated | in_rows | {rule for kind in self.kinds.values() for rule in kind.rules})
