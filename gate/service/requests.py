"""Which customers must be asked for what, so that runs that are blocked now could go on: one request per account."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gate.domain.authority import admins_at
from gate.domain.consent import ANY_FEATURE
from gate.domain.decision import AccountFacts, AccountGroup, Citation, DatasetFacts, Facts, Finding, RowGroup, Use
from gate.domain.words import CONSENT_REASONS, Ownership, Purpose, Reason, Requirement, Verdict
from gate.ledger.state import account_facts, appointments
from gate.ledger.store import Reader
from gate.policy.evaluate import evaluate
from gate.policy.rows import Conditions, Policy
from gate.service.core import Service
from gate.service.decision_index import Row

WHY = {
    Reason.NO_CONSENT: "no answer is on record",
    Reason.CONSENT_REFUSED: "an owner or admin said no",
    Reason.CONSENT_WITHDRAWN: "the consent was withdrawn",
    Reason.CONSENT_EXPIRED: "the consent has expired",
    Reason.CONSENT_NOT_YET_EFFECTIVE: "the consent is not in effect yet",
    Reason.NOT_ADMIN: "an answer came from somebody who was not owner or admin",
    Reason.WRONG_TOGGLE: "an answer was about the other switch",
    Reason.WRONG_FEATURE: "the consent names other features",
    Reason.WRONG_PURPOSE: "the consent names other purposes",
    Reason.WRONG_CATEGORY: "the consent names other kinds of data",
    Reason.WRONG_ACCOUNT: "an answer came from an admin of another account",
    Reason.WRONG_OWNERSHIP: "the consent does not cover who owns this model",
    Reason.INSTRUMENT_REQUIRED: "the signed form, or the end date it needs, is not on record",
    Reason.NO_WITHDRAWAL_CHANNEL: "the consent does not say how it can be withdrawn",
    Reason.NOTICE_MISMATCH: "the consent does not say which notice was shown, or names terms not in force then",
    Reason.BUNDLED_CONSENT: "the consent was made a condition of the service",
}
"""Why an account's consent does not stand, in words for people."""

SAID_NO = frozenset({Reason.CONSENT_REFUSED, Reason.CONSENT_WITHDRAWN})


@dataclass(frozen=True, slots=True)
class Lack:
    """An account lacks consent in one run that waits.

    Attributes:
        counts: how many rows of it wait, by dataset: those of the category with the most.
        categories: for which consent is asked, sorted.
    """

    ref: str
    row: Row
    counts: Mapping[str, int]
    categories: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows of it wait."""
        return sum(self.counts.values())

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets it is in, sorted."""
        return sorted(self.counts)


@dataclass(frozen=True, slots=True)
class Listed:
    """An account in the list of requests; `name` is its id."""

    ref: str
    name: str
    lacks: tuple[Lack, ...]

    @property
    def rows(self) -> int:
        """How many rows wait for it."""
        return rows_of(self.lacks)

    @property
    def uses(self) -> list[str]:
        """What its data is wanted for, sorted."""
        return sorted({" ".join(filter(None, (row.purpose, row.feature))).replace("_", " ") for row in self._rows})

    @property
    def datasets(self) -> list[str]:
        """Addresses of the datasets it is in, sorted."""
        return sorted({name for lack in self.lacks for name in lack.datasets})

    @property
    def dags(self) -> list[str]:
        """The DAGs that wait for it, sorted."""
        return sorted({row.dag_id for row in self._rows})

    @property
    def _rows(self) -> list[Row]:
        return [lack.row for lack in self.lacks]


@dataclass(frozen=True, slots=True)
class Requests:
    """All accounts that runs wait for, those with the most rows first.

    Attributes:
        erased: accounts whose name was erased: nobody can be asked.
        cut: decisions that concern more accounts than they name.
    """

    listed: tuple[Listed, ...]
    erased: int
    cut: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """What one answer must say for runs that wait.

    Attributes:
        lacks: what waits for it; a grant names no model, so these may be about several.
        categories: sorted.
        toggle: the switch that must be on.
        conditions: what the answer must bring along.
        reasons: why what is on record does not do, as of now; empty when it does by now.
        citation: the words with the highest authority that ask for consent.
    """

    purpose: Purpose
    feature: str | None
    ownership: Ownership
    lacks: tuple[Lack, ...]
    categories: tuple[str, ...]
    toggle: str
    conditions: Conditions
    policy_row: str
    reasons: tuple[Reason, ...]
    citation: Citation | None

    @property
    def given(self) -> bool:
        """Whether consent was recorded since the decision."""
        return not self.reasons

    @property
    def said_no(self) -> bool:
        """Whether the customer answered, and the answer was no."""
        return not SAID_NO.isdisjoint(self.reasons)

    @property
    def why(self) -> list[str]:
        """The reasons in words."""
        return [WHY.get(reason, reason.value.replace("_", " ")) for reason in self.reasons]

    @property
    def named_feature(self) -> str:
        """The feature a grant must name; for a use without one, all of them."""
        return self.feature or ANY_FEATURE

    @property
    def models(self) -> list[str]:
        """The models that wait, sorted."""
        return sorted({lack.row.model for lack in self.lacks if lack.row.model})

    @property
    def rows(self) -> int:
        """How many rows wait for it."""
        return rows_of(self.lacks)


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that must be asked of one account.

    Attributes:
        speakers: (person, role) of the owners and admins on record now: only they can answer.
        obstacles: reason codes of what else blocks its data, which no consent changes.
        terms_version: of the terms in force now: what a notice must name.
    """

    ref: str
    name: str
    lacks: tuple[Lack, ...]
    asks: tuple[Ask, ...]
    speakers: tuple[tuple[str, str], ...]
    obstacles: tuple[str, ...]
    policy: str
    terms_version: str | None
    made_at: datetime

    @property
    def rows(self) -> int:
        """How many rows wait for it."""
        return rows_of(self.lacks)

    @property
    def open(self) -> list[Ask]:
        """What is still to be asked."""
        return [ask for ask in self.asks if not ask.given]


def requests(reader: Reader, waiting: Iterable[Row]) -> Requests:
    """Return the accounts that blocked runs wait for.

    Args:
        reader: the ledger.
        waiting: blocks that still stand; see `gate.service.causes.waiting_rows`.
    """
    by_account: dict[str, list[Lack]] = {}
    cut = []
    for row in waiting:
        lacks, complete = _lacks(reader, row)
        if not complete:
            cut.append(row)
        for lack in lacks:
            by_account.setdefault(lack.ref, []).append(lack)
    names = reader.open_refs(by_account)
    listed = [Listed(ref, names[ref], tuple(lacks)) for ref, lacks in by_account.items() if ref in names]
    listed.sort(key=lambda one: (-one.rows, one.name))
    return Requests(tuple(listed), len(by_account) - len(listed), tuple(cut))


def request_of(service: Service, reader: Reader, listed: Listed) -> Request:
    """Return what must be asked of one account, judged on what is on record now."""
    now = service.now(reader)
    policy = service.policy(reader)
    facts = account_facts(reader, listed.name)
    standing = admins_at(appointments(reader, listed.name), now)
    wanted: dict[Use, list[Lack]] = {}
    for lack in listed.lacks:
        wanted.setdefault(_use(lack.row), []).append(lack)
    asks, others = list[Ask](), set[str]()
    for use, lacks in wanted.items():
        findings = _judged(policy, facts, use, {category for lack in lacks for category in lack.categories}, now)
        asks += _asks(policy, use, lacks, findings)
        others |= {
            reason.value
            for finding in findings
            if finding.requirement is not Requirement.CONSENT and finding.verdict is Verdict.BLOCK
            for reason in finding.reasons
        }
    others |= {reason for lack in listed.lacks for reason in lack.row.reasons if Reason(reason) not in CONSENT_REASONS}
    return Request(
        ref=listed.ref,
        name=listed.name,
        lacks=listed.lacks,
        asks=tuple(asks),
        speakers=tuple(sorted((one.person_id, one.role.value) for one in standing.values())),
        obstacles=tuple(sorted(others)),
        policy=policy.name,
        terms_version=policy.terms_at(now),
        made_at=now,
    )


def _lacks(reader: Reader, row: Row) -> tuple[list[Lack], bool]:
    """Return what each account lacks in a blocked run, and whether all accounts are named."""
    findings = reader.entry(row.index).body["decision"]["findings"]
    content = reader.attachment(row.detail)
    rows: dict[str, dict[tuple[str, str], int]] = {}
    complete = content is not None
    for top in json.loads(content) if content else ():
        finding = findings[top["finding"]]
        if finding["requirement"] != Requirement.CONSENT:
            continue
        complete = complete and len(top["accounts"]) >= finding["accounts"]
        for ref, count in top["accounts"]:
            rows.setdefault(ref, {})[finding["dataset"], finding["category"]] = count
    return [_lack(ref, row, cells) for ref, cells in rows.items()], complete


def rows_of(lacks: Iterable[Lack]) -> int:
    """Count rows that wait, those of a dataset once however many gates wait for them."""
    most: dict[str, int] = {}
    for lack in lacks:
        for name, count in lack.counts.items():
            most[name] = max(most.get(name, 0), count)
    return sum(most.values())


def _lack(ref: str, row: Row, cells: dict[tuple[str, str], int]) -> Lack:
    most: dict[str, int] = {}
    for (dataset, _), count in cells.items():
        most[dataset] = max(most.get(dataset, 0), count)
    categories = tuple(sorted({category for _, category in cells}))
    return Lack(ref, row, most, categories)


def _use(row: Row) -> Use:
    """Return what consent is asked for: all of the use but the model, which no grant names."""
    return Use(Purpose(row.purpose), row.feature, None, Ownership(row.ownership))


def _judged(
    policy: Policy, facts: AccountFacts, use: Use, categories: Iterable[str], now: datetime
) -> Sequence[Finding]:
    """Judge the account alone, as the gate would now."""
    group = AccountGroup(facts, {None: 1})
    one = DatasetFacts("", frozenset(categories), groups=(group,), rows=(RowGroup((0,), 1),), total_rows=1)
    return evaluate(policy, Facts((one,)), use, now).findings


def _asks(policy: Policy, use: Use, lacks: Iterable[Lack], findings: Iterable[Finding]) -> list[Ask]:
    """Return one ask per policy row and outcome: categories that lack the same thing are asked for together."""
    rows = {row.id: row for row in policy.rows if row.toggle is not None}
    groups: dict[tuple[str, tuple[Reason, ...]], list[Finding]] = {}
    for finding in findings:
        if finding.requirement is Requirement.CONSENT and finding.row in rows:
            reasons = finding.reasons if finding.verdict is Verdict.BLOCK else ()
            groups.setdefault((str(finding.row), reasons), []).append(finding)
    found = []
    for (row_id, reasons), group in groups.items():
        categories = {finding.category for finding in group}
        found.append(
            Ask(
                purpose=use.purpose,
                feature=use.feature,
                ownership=use.ownership,
                lacks=tuple(lack for lack in lacks if not categories.isdisjoint(lack.categories)),
                categories=tuple(sorted(categories)),
                toggle=str(rows[row_id].toggle),
                conditions=rows[row_id].conditions,
                policy_row=row_id,
                reasons=reasons,
                citation=next(iter(group[0].citations), None),
            )
        )
    return found
