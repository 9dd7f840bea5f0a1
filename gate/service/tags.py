"""What is recorded of a dataset version: its own tags, what it inherits from its sources, what still blocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gate.domain.canonical import digest
from gate.domain.contract import ContractOutcome, Outcome
from gate.domain.dataset import Dataset, DatasetVersion
from gate.domain.instants import format_instant
from gate.domain.words import Category, Reason, TagSource
from gate.ledger.store import Entry, Reader
from gate.service.actors import PERSONAL_VIA
from gate.service.inheriting import Source, answers_in, inherited, questions_of, sources_in


@dataclass(frozen=True, slots=True)
class Tagged:
    """What is recorded of one dataset version.

    Attributes:
        categories: effective categories, the union over all tags of this version and what its sources bear.
        sources: (category, source) pairs, sorted.
        problems: reasons that block whatever the policy says.
        notes: what a person should know, without personal data.
        entries: ledger indices of the tags, and of the declassification if one stands.
        declassified_until: end of the declassification that stands, its own or that of a source; its categories are
            taken away in `categories`.
        questions: what a person must answer, with `gate dataset tag --resolve`, before it is known what it bears.
        contract: how its categories' data contracts went when they were checked last; `None`: they never were.
    """

    version: DatasetVersion
    categories: frozenset[Category]
    sources: tuple[tuple[str, str], ...]
    problems: frozenset[Reason]
    notes: tuple[str, ...]
    entries: tuple[int, ...]
    declassified_until: datetime | None = None
    questions: tuple[str, ...] = ()
    contract: ContractOutcome | None = None

    @property
    def declared_none(self) -> bool:
        """Somebody declared `none`; detection alone never does."""
        return (Category.NONE.value, TagSource.DECLARED.value) in self.sources

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "version": self.version.to_dict(),
            "categories": sorted(self.categories),
            "sources": [list(pair) for pair in self.sources],
            "problems": sorted(self.problems),
            "notes": list(self.notes),
            "entries": list(self.entries),
            "declassified_until": self.declassified_until and format_instant(self.declassified_until),
            "questions": list(self.questions),
            "contract": self.contract and self.contract.to_dict(),
        }


def dataset_key(dataset: Dataset) -> str:
    """One text per dataset identity, whatever its version."""
    return digest([dataset.namespace, dataset.name])


def read_tags(reader: Reader, version: DatasetVersion, now: datetime, also: Iterable[Source] = ()) -> Tagged:
    """Return what is recorded of exactly this version at `now`; nothing recorded is a problem, not an empty answer.

    Args:
        also: sources that are known beside those on record.
    """
    dataset = version.dataset
    everything = list(reader.entries(kind="tag", subject_prefix=f"{dataset_key(dataset)}/"))
    mine = [entry for entry in everything if entry.body["version"]["digest"] == version.digest]
    problems: set[Reason] = set()
    notes: list[str] = list(mine[-1].body["contradictions"]) if mine else []
    if not mine and everything:
        problems.add(Reason.STALE_TAG)
    checked = [contract for entry in mine if (contract := contract_of(entry)) is not None]
    contract = checked[-1] if checked else None  # a tag that checked none mends none
    if contract is not None and contract.outcome is Outcome.ERRORED:
        problems.add(Reason.CONTRACT_ERRORED)
    if contract is not None and contract.broken:
        problems.add(Reason.TAG_CONFLICT)
    notes += contract.told() if contract is not None else []
    if mine and not _locator_confirmed(dataset, everything):
        problems.add(Reason.TAG_CONFLICT)
        named = f"of the kind {dataset.account.kind}"  # a constant names an account, and notes go into logs
        if dataset.account.kind == "column":
            named = repr(dataset.account.value)
        notes.append(
            f"the account locator {named} is not the one on record: a person confirms it with gate dataset tag"
        )
    recorded = [entry.body["version"] for entry in mine]
    tagged = Tagged(
        version=DatasetVersion(
            dataset, version.digest, version.files, version.size, recorded[-1].get("subset_of") if recorded else None
        ),
        categories=frozenset(),
        sources=(),
        problems=frozenset(problems),
        notes=tuple(notes),
        entries=tuple(entry.idx for entry in mine),
        contract=contract,
    )
    return _with_sources(reader, tagged, mine, now, also)


def contract_of(tag: Entry) -> ContractOutcome | None:
    """Return how the data contracts went when the tag was made; `None`: they were not checked."""
    return ContractOutcome.from_dict(tag.body["contract"]) if tag.body.get("contract") else None


def _with_sources(reader: Reader, tagged: Tagged, mine: list[Entry], now: datetime, also: Iterable[Source]) -> Tagged:
    """Add what the version's own tags say, and what it inherits; take away what two people took away."""
    dataset = tagged.version.dataset
    said = {(category, source) for entry in mine for category, source in entry.body["statements"]}
    found = inherited(reader, (dataset.namespace, dataset.name, tagged.version.digest), [*sources_in(mine), *also], now)
    said |= {(word, TagSource.INHERITED.value) for word in found.categories}
    asked = [*(questions_of(mine[-1].body) if mine else ()), *found.questions]
    questions = tuple(question for question in dict.fromkeys(asked) if question not in answers_in(mine))
    categories = frozenset(Category(word) for word, _ in said) - found.removed
    anonymous = Category.AGGREGATED_ANONYMOUS
    if found.own_act is None and found.until is not None and categories - {anonymous}:
        # Anonymous data among other data is nobody's: what the rest bears is all there is to ask about.
        categories, said = categories - {anonymous}, {pair for pair in said if pair[0] != anonymous}
    elif found.until is not None:
        categories |= {anonymous}
        said.add((anonymous.value, TagSource.DECLASSIFIED.value))
    entries = tagged.entries if found.own_act is None else (*tagged.entries, found.own_act)
    return replace(
        tagged,
        categories=categories,
        sources=tuple(sorted(said)),
        problems=tagged.problems | ({Reason.UNCLASSIFIED_DATA} if questions else set()),
        notes=(*tagged.notes, *found.notes, *questions),
        entries=entries,
        declassified_until=found.until,
        questions=questions,
    )


def _locator_confirmed(dataset: Dataset, tags: list[Entry]) -> bool:
    """Whether a second source stands behind the account locator a DAG names (invariant 1).

    A column or path pattern is checked against the data and must be the one the dataset was first tagged with; a
    constant says nothing the data could contradict. A person's tag outside any DAG settles both.
    """
    wanted = (str(dataset.account), dataset.category_column)
    said = [((e.body["version"]["account"], e.body["version"]["category_column"]), e.via in PERSONAL_VIA) for e in tags]
    by_person = [locator for locator, personal in said if personal]
    if by_person:
        return by_person[-1] == wanted
    if dataset.account.kind == "constant":
        return False
    return all(locator == wanted for locator, _ in said)
