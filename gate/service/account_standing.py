"""What an account's toggles come to, cell by cell, in the judgement that decides about datasets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import product

from gate.domain.consent import ANY_FEATURE, ConsentEvent
from gate.domain.decision import AccountFacts, Use
from gate.domain.words import Action, Category, Ownership, Purpose, Reason, Requirement, Toggle
from gate.policy.cells import OTHER
from gate.policy.judge import cell_rows, judge
from gate.policy.rows import EVERY_CATEGORY, RANK, Policy
from gate.policy.standing import standing

MOST_GRANTS = 100
MOST_FEATURES = 8  # of an account's events that are judged by name; the rest count as any other feature

_NONE: frozenset[Reason] = frozenset()

Cell = tuple[Category, str, Purpose, Ownership]


@dataclass(frozen=True, slots=True)
class Toggled:
    """One toggle at a glance.

    Attributes:
        state: `on`, `off`, `mixed` (on for some of what was asked for) or `never` (nobody answered).
        reasons: why not, for what is off.
        on, asked: how many of the cells its events name stand.
        features: of those that stand.
    """

    toggle: Toggle
    state: str
    reasons: tuple[Reason, ...]
    on: int
    asked: int
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Square:
    """What a decision would say of one cell.

    Attributes:
        word: `agreed`, `free` (needs no consent), `missing` (consent does), `undecided`, `denied` or `no row`.
    """

    word: str
    reasons: tuple[Reason, ...]

    @property
    def allows(self) -> bool:
        """Whether the cell passes."""
        return self.word in ("agreed", "free")


@dataclass(frozen=True, slots=True)
class Line:
    """Cells that share everything but features and purposes, which are listed where they look the same."""

    features: tuple[str, ...]
    purposes: tuple[Purpose, ...]
    ownership: Ownership
    squares: tuple[Square, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One toggle's matrix. `more_features` were named but are left out."""

    toggle: Toggle
    categories: tuple[Category, ...]
    lines: tuple[Line, ...]
    more_features: int


def toggled(policy: Policy, toggle: Toggle, facts: AccountFacts, at: datetime) -> Toggled:
    """Say whether a toggle is on at an instant, for what its events name."""
    events = [recorded.event for recorded in facts.events if recorded.event.toggle in (None, toggle)]
    if not events:
        return Toggled(toggle, "never", (), 0, 0)
    grants = [event for event in events if event.action is Action.GRANT]
    named = dict.fromkeys(cell for event in grants for cell in _cells(event))
    answers = {
        cell: answer
        for cell in named or _probes(policy, toggle)
        if (answer := _answer(policy, toggle, facts, cell, at)) is not None
    }
    on = [cell for cell, (stands, _) in answers.items() if stands]
    state = "off" if not on else "on" if len(on) == len(answers) else "mixed"
    reasons = {reason for stands, found in answers.values() if not stands for reason in found}
    features = tuple(dict.fromkeys(feature for _, feature, _, _ in on))
    return Toggled(toggle, state, tuple(sorted(reasons)), len(on), len(answers), features)


def effects(policy: Policy, facts: AccountFacts, at: datetime) -> dict[int, tuple[bool, tuple[Reason, ...]]]:
    """Say of each of the newest grants whether it has any effect at an instant, and if not, why not.

    Returns:
        Answers by ledger index; none for older grants than the newest `MOST_GRANTS`.
    """
    grants = [recorded for recorded in facts.events if recorded.event.action is Action.GRANT][-MOST_GRANTS:]
    against = tuple(recorded for recorded in facts.events if recorded.event.action is not Action.GRANT)
    together: dict[tuple[Toggle, Cell], bool] = {}
    found = {}
    for grant in grants:
        toggle, lacking, counts = grant.event.toggle, set[Reason](), False
        alone = AccountFacts(facts.profile, (grant, *against))
        for cell in _cells(grant.event):
            if toggle is None:  # never: a grant names its toggle
                break
            if (toggle, cell) not in together:
                together[toggle, cell] = (_answer(policy, toggle, facts, cell, at) or (False,))[0]
            by_itself, reasons = _answer(policy, toggle, alone, cell, at) or (False, _NONE)
            lacking |= reasons
            counts = counts or (by_itself and together[toggle, cell])
        found[grant.index] = counts, () if counts else tuple(sorted(lacking))
    return found


def sheet(policy: Policy, toggle: Toggle, facts: AccountFacts, at: datetime) -> Sheet:
    """Judge every cell that a toggle is about, for the features and owners that the account's events name."""
    events = [recorded.event for recorded in facts.events if recorded.event.toggle in (None, toggle)]
    features, more = _features(events)
    owners = sorted({Ownership.FIRST_PARTY, *(o for e in events for o in e.ownership or ())}, key=list(Ownership).index)
    categories, purposes = _about(policy, toggle)
    lines: list[Line] = []
    for ownership in owners:
        blocks: dict[tuple[tuple[tuple[Purpose, ...], tuple[Square, ...]], ...], list[str]] = {}
        for feature in features:
            looks: dict[tuple[Square, ...], list[Purpose]] = {}
            for purpose in purposes:
                use = Use(purpose, feature, None, ownership)
                looks.setdefault(tuple(square(policy, c, facts, use, at) for c in categories), []).append(purpose)
            block = tuple((tuple(same), squares) for squares, same in looks.items())
            blocks.setdefault(block, []).append(feature)
        lines += [
            Line(tuple(same), purposes_, ownership, squares)
            for block, same in blocks.items()
            for purposes_, squares in block
        ]
    return Sheet(toggle, categories, tuple(lines), more)


def square(policy: Policy, category: Category, facts: AccountFacts, use: Use, at: datetime) -> Square:
    """Judge one cell as a decision about a dataset that holds this account alone would."""
    found = judge(policy, category, facts, use, at)
    rows = [outcome.row for outcome in found.outcomes if outcome.row is not None]
    if not found.blocks:
        asked = any(row.requirement is Requirement.CONSENT for row in rows)
        return Square("agreed" if asked else "free", ())
    blocking = [outcome for outcome in found.outcomes if outcome.blocks]
    reasons = tuple(sorted({reason for outcome in blocking for reason in outcome.reasons}))
    worst = max((outcome.row.requirement for outcome in blocking if outcome.row), key=RANK.__getitem__, default=None)
    words = {Requirement.CONSENT: "missing", Requirement.UNDECIDED: "undecided", Requirement.DENY: "denied"}
    return Square("no row" if worst is None else words.get(worst, "missing"), reasons)


def _answer(
    policy: Policy, toggle: Toggle, facts: AccountFacts, cell: Cell, at: datetime
) -> tuple[bool, frozenset[Reason]] | None:
    """Say whether consent stands for a cell; `None` where no row asks this toggle for consent."""
    category, feature, purpose, ownership = cell
    use = Use(purpose, feature, None, ownership)
    found = [
        standing(policy, row, category, facts.events, use, at)
        for row in cell_rows(policy, category, facts, use, at).rows
        if row.requirement is Requirement.CONSENT and row.toggle is toggle
    ]
    if not found:
        return None
    reasons = frozenset[Reason]().union(*(one.reasons for one in found if not one.stands))
    return all(one.stands for one in found), reasons


def _cells(event: ConsentEvent) -> list[Cell]:
    """Return what a grant names; any feature is stood for by one that nobody names."""
    features, _ = _features([event])
    named = features if ANY_FEATURE in (event.features or ()) else features[:-1]
    owners = event.ownership or (Ownership.FIRST_PARTY,)
    return list(product(event.categories or (), named, event.purposes or (), owners))


def _features(events: Iterable[ConsentEvent]) -> tuple[list[str], int]:
    """Return the features that events name and one that nobody names, and how many were left out."""
    named = sorted({feature for event in events for feature in event.features or ()} - {ANY_FEATURE})
    return [*named[:MOST_FEATURES], OTHER], max(0, len(named) - MOST_FEATURES)


def _probes(policy: Policy, toggle: Toggle) -> Iterator[Cell]:
    """Yield what a toggle is about in general, for accounts that only ever said no."""
    categories, purposes = _about(policy, toggle)
    for category, purpose in product(categories, purposes):
        yield category, OTHER, purpose, Ownership.FIRST_PARTY


def _about(policy: Policy, toggle: Toggle) -> tuple[tuple[Category, ...], tuple[Purpose, ...]]:
    """Return categories and purposes for which some row asks this toggle for consent, in their usual order."""
    rows = [row for row in policy.rows if row.requirement is Requirement.CONSENT and row.toggle is toggle]
    categories = [c for c in Category if any(row.categories is None or c in row.categories for row in rows)]
    purposes = [p for p in Purpose if any(row.purposes is None or p in row.purposes for row in rows)]
    return tuple(c for c in categories if c in EVERY_CATEGORY), tuple(purposes)
