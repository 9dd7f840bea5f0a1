"""Decide again the slow way, account by account and row by row, and compare: any difference is a defect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gate.domain.dataset import Dataset
from gate.domain.decision import (
    AccountFacts,
    AccountGroup,
    Coverage,
    DatasetFacts,
    Decision,
    Facts,
    RowGroup,
    WantedUse,
)
from gate.domain.words import Verdict
from gate.ledger.state import account_facts
from gate.policy.evaluate import evaluate
from gate.scan.rows import row_accounts
from gate.service.core import Service
from gate.service.deciding import check
from gate.service.facts import Gathered

BLANK = " \t\n\r\v\f"  # as the counting understands it


@dataclass(frozen=True, slots=True)
class Difference:
    """One count on which the joined answer and the account-by-account answer disagree."""

    dataset: str
    category: str
    count: str
    joined: int
    one_by_one: int


def differential(service: Service, datasets: Sequence[Dataset], wanted: WantedUse) -> list[Difference]:
    """Compare the gate's answer with one that looks at every row and evaluates every account by itself.

    Returns:
        The counts that differ; empty when the two agree.
    """
    joined, gathered = check(service, datasets, wanted)
    again = _one_by_one(service, gathered, joined)
    theirs = {(row.dataset, row.category): row for row in joined.coverage}
    ours = {(row.dataset, row.category): row for row in again.coverage}
    differences = [
        Difference(*key, name, _count(theirs.get(key), name), _count(ours.get(key), name))
        for key in sorted(theirs.keys() | ours.keys())
        for name in ("rows", "rows_blocked", "accounts", "accounts_blocked", "rows_unattributed")
        if _count(theirs.get(key), name) != _count(ours.get(key), name)
    ]
    if joined.verdict is not again.verdict or joined.reasons != again.reasons:
        verdicts = [int(decision.verdict is Verdict.ALLOW) for decision in (joined, again)]
        differences.append(Difference("*", "*", "verdict or reasons", *verdicts))
    return differences


def _one_by_one(service: Service, gathered: Gathered, joined: Decision) -> Decision:
    datasets = []
    with service.ledger.read() as reader:
        for facts, tag in zip(gathered.facts.datasets, gathered.tagged, strict=True):
            rows = list(row_accounts(tag.version.dataset))
            names = sorted(
                {name for accounts, _ in rows for name in accounts if name is not None and name.strip(BLANK)}
            )
            known = [account_facts(reader, name, gathered.size) for name in names]
            datasets.append(_plain_facts(facts, rows, dict(zip(names, known, strict=True))))
    return evaluate(
        gathered.policy, Facts(tuple(datasets), gathered.facts.stale_feeds), gathered.use, joined.decided_at
    )


def _plain_facts(
    facts: DatasetFacts, rows: list[tuple[tuple[str | None, ...], str | None]], known: dict[str, AccountFacts]
) -> DatasetFacts:
    """State the same facts with one group per account and one row group per row."""
    place = {name: index for index, name in enumerate(known)}
    plain: list[RowGroup] = []
    seen: dict[str, set[str | None]] = {name: set() for name in known}
    unattributed: dict[str | None, int] = {}
    own = facts.null_categories > 0 or any(category is not None for _, category in rows)
    for accounts, category in rows:
        if own and not (category or "").strip(BLANK):
            continue  # a row without a category of its own is counted as such, whoever it belongs to
        names = [name for name in accounts if name is not None and name.strip(BLANK)]
        if len(names) == len(accounts) and names:
            plain.append(RowGroup(tuple(sorted({place[name] for name in names})), 1, category))
            for name in names:
                seen[name].add(category)
        else:
            unattributed[category] = unattributed.get(category, 0) + 1
    groups = tuple(AccountGroup(known[name], dict.fromkeys(seen[name], 1)) for name in known)
    return replace(facts, groups=groups, rows=tuple(plain), unattributed=unattributed)


def _count(row: Coverage | None, name: str) -> int:
    return 0 if row is None else int(getattr(row, name))
