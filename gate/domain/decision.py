"""Facts that go into a decision and the decision that comes out: pure values, JSON-ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gate.domain.consent import UNKNOWN_PROFILE, Profile, RecordedEvent
from gate.domain.instants import format_instant, parse_instant
from gate.domain.words import Ownership, Purpose, Reason, Requirement, Verdict
from gate.errors import InputError


@dataclass(frozen=True, slots=True)
class Use:
    """What a job wants: purpose, feature, model and who owns the model (from the registry)."""

    purpose: Purpose
    feature: str | None = None
    model: str | None = None
    ownership: Ownership = Ownership.UNKNOWN

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "purpose": self.purpose.value,
            "feature": self.feature,
            "model": self.model,
            "ownership": self.ownership.value,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Use:
        """Read what `to_dict` wrote."""
        return cls(Purpose(data["purpose"]), data["feature"], data["model"], Ownership(data["ownership"]))


@dataclass(frozen=True, slots=True)
class WantedUse:
    """What a DAG author or a person asks for; who owns the model is looked up, never taken from them."""

    purpose: Purpose
    feature: str | None = None
    model: str | None = None


def wanted_use(purpose: str, feature: str | None = None, model: str | None = None) -> WantedUse:
    """Name a use.

    Raises:
        InputError: an unknown purpose.
    """
    try:
        return WantedUse(Purpose(purpose), feature, model)
    except ValueError:
        raise InputError(f"{purpose!r} is not a purpose", where="use", hint="one of: " + ", ".join(Purpose)) from None


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """Everything the policy may look at of one account: profile and recorded consent events."""

    profile: Profile = UNKNOWN_PROFILE
    events: tuple[RecordedEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows that share their category and the set of account groups they belong to.

    Attributes:
        groups: indices into `DatasetFacts.groups`; several when rows name several accounts (all must pass).
        rows: how many rows, at least 1.
        category: the rows' own category where the dataset has a category column, as found (it may be unknown
            text); `None` means the dataset's categories apply.
    """

    groups: tuple[int, ...]
    rows: int
    category: str | None = None


@dataclass(frozen=True, slots=True)
class AccountGroup:
    """Accounts with equal facts: a representative's facts, and how many distinct accounts per category.

    Attributes:
        facts: the facts of one of them; the policy cannot tell the others apart.
        accounts: distinct accounts by row category; the key `None` where the dataset has no category column.
        label: account id when the group is a single named account (policy tests, `explain`), else empty.
    """

    facts: AccountFacts
    accounts: Mapping[str | None, int]
    label: str = ""


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What is known of one dataset version at the moment of deciding.

    Attributes:
        dataset: its OpenLineage name, for findings.
        version: digest, or empty for policy tests.
        categories: effective categories as text; an unknown word counts as unclassified.
        groups, rows: who is in it; see `AccountGroup` and `RowGroup`.
        unattributed: rows without an account, by row category (key `None` as in `AccountGroup`).
        null_categories: rows whose category column is null.
        problems: what the service already knows is wrong (stale tag, conflict, errored contract, …): each blocks.
        declared_none: `none` was declared (detection alone never makes `none`).
        declassified: a signed, unexpired declassification covers this version.
        total_rows: rows in all, for findings that concern all of them; a file of a media folder is a row.
    """

    dataset: str
    categories: frozenset[str]
    version: str = ""
    groups: tuple[AccountGroup, ...] = ()
    rows: tuple[RowGroup, ...] = ()
    unattributed: Mapping[str | None, int] = field(default_factory=dict)
    null_categories: int = 0
    problems: frozenset[Reason] = frozenset()
    declared_none: bool = False
    declassified: bool = False
    total_rows: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """All datasets of a use.

    Attributes:
        stale_feeds: consent sources that are behind the policy's bound: what consent rests on may be out of date.
    """

    datasets: tuple[DatasetFacts, ...]
    stale_feeds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Citation:
    """The words a policy row rests on."""

    source: str  # S0 … S4, or a law
    authority: str  # terms > blog > spokesperson > press > law > default
    section: str | None
    quote: str

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"source": self.source, "authority": self.authority, "section": self.section, "quote": self.quote}


@dataclass(frozen=True, slots=True)
class Finding:
    """One dataset × category × policy row: what it asks for, and what is missing, exactly.

    Attributes:
        category: the category, or `unclassified` when nothing usable is known.
        row: policy row id; `None` when no row matched or the finding is about the dataset itself.
        reasons: sorted reason codes; on an allow finding those recorded without effect (`not_admin`).
        groups: indices of the account groups it concerns.
        accounts, rows: how many of them; 0 accounts when it concerns the dataset as such.
        terms: terms versions the consents were given under, sorted (requirement `consent`, passing).
    """

    dataset: str
    category: str
    verdict: Verdict
    requirement: Requirement | None
    row: str | None
    reasons: tuple[Reason, ...]
    accounts: int
    rows: int
    groups: tuple[int, ...] = ()
    citations: tuple[Citation, ...] = ()
    terms: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields, citations included, group indices left out."""
        return {
            "dataset": self.dataset,
            "category": self.category,
            "verdict": self.verdict.value,
            "requirement": self.requirement and self.requirement.value,
            "row": self.row,
            "reasons": [reason.value for reason in self.reasons],
            "accounts": self.accounts,
            "rows": self.rows,
            "citations": [citation.to_dict() for citation in self.citations],
            "terms": list(self.terms),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Finding:
        """Read what `to_dict` wrote."""
        return cls(
            dataset=data["dataset"],
            category=data["category"],
            verdict=Verdict(data["verdict"]),
            requirement=Requirement(data["requirement"]) if data["requirement"] else None,
            row=data["row"],
            reasons=tuple(Reason(reason) for reason in data["reasons"]),
            accounts=data["accounts"],
            rows=data["rows"],
            citations=tuple(Citation(**citation) for citation in data["citations"]),
            terms=tuple(data["terms"]),
        )


@dataclass(frozen=True, slots=True)
class Coverage:
    """Rows and accounts of one dataset × category with and without what the policy asks for. A row counts once."""

    dataset: str
    category: str
    rows: int
    rows_blocked: int
    accounts: int
    accounts_blocked: int
    rows_unattributed: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, with everything it rests on but the ledger's checkpoint (the service adds that).

    Attributes:
        passing: per dataset (in the order of the facts) the account groups every one of whose cells passed:
            what `subset` may keep.
        subset_possible: missing or insufficient consent (and rows without an account) is all that blocks.
        terms_version: the terms in force at `decided_at`.
    """

    verdict: Verdict
    use: Use
    findings: tuple[Finding, ...]
    coverage: tuple[Coverage, ...]
    passing: tuple[frozenset[int], ...]
    subset_possible: bool
    policy_name: str
    policy_digest: str
    decided_at: datetime
    terms_version: str | None
    content_owner: str = "customer"

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """All reason codes of blocking findings, sorted."""
        return tuple(sorted({r for f in self.findings if f.verdict is Verdict.BLOCK for r in f.reasons}))

    @property
    def rows_blocked(self) -> int:
        """Rows that may not be used: per dataset the most of any category, summed (a row counts once)."""
        return sum(_most(self.coverage, "rows_blocked").values())

    @property
    def accounts_blocked(self) -> int:
        """Accounts that lack something: per dataset the most of any category, summed."""
        return sum(_most(self.coverage, "accounts_blocked").values())

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields: what is recorded, printed and put into facets."""
        return {
            "verdict": self.verdict.value,
            "use": self.use.to_dict(),
            "reasons": [reason.value for reason in self.reasons],
            "findings": [finding.to_dict() for finding in self.findings],
            "coverage": [row.to_dict() for row in self.coverage],
            "subset_possible": self.subset_possible,
            "policy": {"name": self.policy_name, "digest": self.policy_digest},
            "decided_at": format_instant(self.decided_at),
            "terms_version": self.terms_version,
            "content_owner": self.content_owner,
        }


def decision_from_dict(data: Mapping[str, Any]) -> Decision:
    """Read what `Decision.to_dict` wrote; group indices are not kept, so `passing` is empty."""
    return Decision(
        verdict=Verdict(data["verdict"]),
        use=Use.from_dict(data["use"]),
        findings=tuple(Finding.from_dict(finding) for finding in data["findings"]),
        coverage=tuple(Coverage(**row) for row in data["coverage"]),
        passing=(),
        subset_possible=data["subset_possible"],
        policy_name=data["policy"]["name"],
        policy_digest=data["policy"]["digest"],
        decided_at=parse_instant(data["decided_at"]),
        terms_version=data["terms_version"],
        content_owner=data["content_owner"],
    )


def _most(coverage: tuple[Coverage, ...], name: str) -> dict[str, int]:
    most: dict[str, int] = {}
    for row in coverage:
        most[row.dataset] = max(most.get(row.dataset, 0), getattr(row, name))
    return most
