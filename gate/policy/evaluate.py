"""Decides: policy, facts, use and an instant in; decision out. No I/O, no clock (design.md section 5)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from gate.domain.decision import Coverage, DatasetFacts, Decision, Facts, Finding, RowGroup, Use
from gate.domain.instants import checked_instant
from gate.domain.words import CONSENT_REASONS, Category, Reason, Requirement, Verdict
from gate.policy.classify import categories_of
from gate.policy.judge import NOBODY, Judged, Outcome, cell_rows, judge, judged, together
from gate.policy.rows import Policy
from gate.policy.tally import Tally

_UNATTRIBUTED = Outcome(None, True, frozenset({Reason.UNATTRIBUTED_ROWS}))
_STALE_FEED = Outcome(None, True, frozenset({Reason.STALE_FEED}))
_CANNOT_DECIDE = Outcome(None, True, frozenset({Reason.CANNOT_DECIDE}))
_ABOVE_CONSENT = (Requirement.DENY, Requirement.UNDECIDED)


def evaluate(policy: Policy, facts: Facts, use: Use, now: datetime) -> Decision:
    """Decide whether `use` of the datasets is allowed at `now`.

    Each cell (dataset, category, account group) is judged once; rows and accounts are then counted exactly. A
    row passes only if every one of its accounts passes for every category it bears; everything that is missing
    or unknown blocks.

    Args:
        policy: the decision table.
        facts: what is known of the datasets and the accounts in them.
        use: purpose, feature, model and the model's owner.
        now: the instant of deciding, with a zone.

    Raises:
        InputError: `now` has no zone or is not plausible.
    """
    now = checked_instant(now, "now")
    results = [_Evaluation(policy, dataset, use, now, bool(facts.stale_feeds)).result() for dataset in facts.datasets]
    findings = tuple(finding for result in results for finding in result.findings) or _NOTHING_TO_DECIDE
    blocking = [finding for finding in findings if finding.verdict is Verdict.BLOCK]
    droppable = all(map(_droppable, blocking)) and all(result.survives for result in results)
    return Decision(
        verdict=Verdict.BLOCK if blocking else Verdict.ALLOW,
        use=use,
        findings=findings,
        coverage=tuple(row for result in results for row in result.coverage),
        passing=tuple(result.passing for result in results),
        subset_possible=bool(blocking) and droppable,
        policy_name=policy.name,
        policy_digest=policy.digest,
        decided_at=now,
        terms_version=policy.terms_at(now),
        content_owner=policy.content_owner,
    )


_NOTHING_TO_DECIDE = (
    Finding("", Category.UNCLASSIFIED.value, Verdict.BLOCK, None, None, (Reason.CANNOT_DECIDE,), accounts=0, rows=0),
)


def _droppable(finding: Finding) -> bool:
    """Say whether leaving rows out would cure the finding: missing consent, or rows nobody owns."""
    if finding.requirement is Requirement.CONSENT:
        return CONSENT_REASONS.issuperset(finding.reasons)
    return finding.reasons == (Reason.UNATTRIBUTED_ROWS,)


def _rests_on_consent(cell: Judged) -> bool:
    return any(o.row is not None and o.row.requirement is Requirement.CONSENT for o in cell.outcomes)


class _Result(NamedTuple):
    findings: list[Finding]
    coverage: list[Coverage]
    passing: frozenset[int]
    survives: bool  # nothing blocks here, or some rows' accounts all pass


class _Slice(NamedTuple):
    """Rows that are judged alike: one category, the row groups that bear it, the accounts in them."""

    category: Category
    rows: list[RowGroup]
    unattributed: int
    accounts: dict[int, int]  # distinct accounts by group


class _Evaluation:
    """One dataset's evaluation; every cell is judged once."""

    def __init__(self, policy: Policy, dataset: DatasetFacts, use: Use, now: datetime, stale: bool) -> None:
        self.policy = policy
        self.dataset = dataset
        self.use = use
        self.now = now
        self.stale = stale
        self.tally = Tally(dataset.dataset)
        self.cells: dict[tuple[Category, int], Judged] = {}
        self.seen: set[int] = set()
        self.failing: set[int] = set()

    def result(self) -> _Result:
        """Judge every cell and add up."""
        dataset, tally = self.dataset, self.tally
        if not (dataset.rows or any(dataset.unattributed.values()) or dataset.null_categories):
            self._without_rows()
        for part in self._slices():
            self._judge(part)
        if dataset.null_categories:
            unknown = judge(self.policy, Category.UNCLASSIFIED, NOBODY, self.use, self.now)
            tally.add_rows(Category.UNCLASSIFIED, unknown, dataset.null_categories)
        self._faults()
        passing = frozenset(self.seen - self.failing)
        survives = not tally.blocks or any(row.groups and passing.issuperset(row.groups) for row in dataset.rows)
        return _Result(tally.findings(), tally.coverage(), passing, survives)

    def _slices(self) -> Iterable[_Slice]:
        """Sort the rows by what they bear: their own category where there is one, else all of the dataset's."""
        nameless: dict[str | None, int] = {word: n for word, n in self.dataset.unattributed.items() if n}
        by_word: dict[str | None, list[RowGroup]] = {word: [] for word in nameless}
        for row in self.dataset.rows:
            owned = by_word.setdefault(row.category, [])
            if row.groups:
                owned.append(row)
            else:
                nameless[row.category] = nameless.get(row.category, 0) + row.rows
        borne: set[Category] = set()
        for word, rows in by_word.items():
            categories = self._set_categories() if word is None else self._categories((word,))
            borne |= categories
            accounts = self._accounts(rows, word)
            for category in categories:
                yield _Slice(category, rows, nameless.get(word, 0), accounts)
        if by_word.keys() - {None} and self.dataset.categories:
            yield from self._unadmitted(self._set_categories() - borne, by_word, nameless)

    def _unadmitted(
        self, categories: Iterable[Category], by_word: dict[str | None, list[RowGroup]], nameless: dict[str | None, int]
    ) -> Iterable[_Slice]:
        """Yield what the dataset bears but no row admits to: another source found it, so it concerns all rows."""
        rows = [row for word, group in by_word.items() if word is not None for row in group]
        unattributed = sum(n for word, n in nameless.items() if word is not None)
        for category in categories:
            yield _Slice(category, rows, unattributed, self._accounts(rows, None))

    def _accounts(self, rows: list[RowGroup], word: str | None) -> dict[int, int]:
        groups = self.dataset.groups
        found: dict[int, int] = {}
        for row in rows:
            for group in row.groups:
                if group not in found:
                    counts = groups[group].accounts
                    found[group] = counts[word] if word in counts else max(counts.values(), default=0)
        return found

    def _categories(self, words: Iterable[str]) -> frozenset[Category]:
        dataset = self.dataset
        return categories_of(self.policy, words, declared_none=dataset.declared_none, declassified=dataset.declassified)

    def _set_categories(self) -> frozenset[Category]:
        words = self.dataset.categories
        return self._categories(words - {Category.NONE} if len(words) > 1 else words)

    def _judge(self, part: _Slice) -> None:
        category, tally = part.category, self.tally
        for group, accounts in part.accounts.items():
            tally.add_accounts(category, self._cell(category, group), group, accounts)
        for row in part.rows:
            if len(row.groups) == 1:
                cell = self._cell(category, row.groups[0])
            else:
                cell = together([self._cell(category, group) for group in row.groups])
            tally.add_rows(category, cell, row.rows)
        if part.unattributed:
            tally.add_rows(category, self._of_nobody(category, _UNATTRIBUTED), part.unattributed, attributed=False)

    def _cell(self, category: Category, group: int) -> Judged:
        cell = self.cells.get((category, group))
        if cell is None:
            facts = self.dataset.groups[group].facts
            cell = judge(self.policy, category, facts, self.use, self.now)
            if self.stale and _rests_on_consent(cell):
                cell = Judged((*cell.outcomes, _STALE_FEED), True)
            self.cells[category, group] = cell
            self.seen.add(group)
            if cell.blocks:
                self.failing.add(group)
        return cell

    def _of_nobody(self, category: Category, block: Outcome) -> Judged:
        """Judge data without an account: `block` where the policy asks about accounts, with whatever denies anyway."""
        matched = cell_rows(self.policy, category, NOBODY, self.use, self.now)
        cell = judge(self.policy, category, NOBODY, self.use, self.now)
        if not matched.account_required:
            return cell
        denying = {row.order for row in matched.rows if row.terms is None and row.requirement in _ABOVE_CONSENT}
        return judged([block, *(o for o in cell.outcomes if o.row is not None and o.row.order in denying)])

    def _without_rows(self) -> None:
        for category in self._set_categories():
            self.tally.add_rows(category, self._of_nobody(category, _CANNOT_DECIDE), self.dataset.total_rows)

    def _faults(self) -> None:
        """Record what is wrong with the dataset as a whole: contradictory tags, and the problems handed in."""
        dataset, tally = self.dataset, self.tally
        if self._contradicts_none():
            attributed = sum(row.rows for row in dataset.rows)
            rows = max(dataset.total_rows, attributed + sum(dataset.unattributed.values()))
            tally.block_all(Category.NONE, Reason.TAG_CONFLICT, rows, self.seen)
        for category in tally.categories() if dataset.problems else ():
            for problem in sorted(dataset.problems):
                tally.block_all(category, problem, tally.rows_of(category), self.seen)

    def _contradicts_none(self) -> bool:
        words = self.dataset.categories
        if len(words) < 2 or Category.NONE not in words:
            return False
        return all(row.category != Category.NONE for row in self.dataset.rows)
