"""Gather the facts of a decision: what was seen of the data, and what the ledger knows of it and of who is in it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from gate.domain.decision import AccountGroup, DatasetFacts, Facts, Use, WantedUse
from gate.domain.words import CONTENT, Category, Ownership, Reason
from gate.ledger.snapshots import Snapshot, current_snapshot
from gate.ledger.state import feeds, model_record
from gate.ledger.store import Reader
from gate.policy.table import Policy
from gate.scan.census import Look
from gate.scan.coverage import CoverageCounts, count_coverage
from gate.service.core import Service
from gate.service.feeds import stale_feeds
from gate.service.origins import known_sources
from gate.service.tags import Tagged, read_tags

ANY_FEATURE = "*"


@dataclass(frozen=True, slots=True)
class Gathered:
    """Facts at one state of the ledger, with what is needed to write them down.

    Attributes:
        size, root: the ledger's state the facts rest on.
        looks: what was seen of each dataset, in order.
        tagged: what is recorded of each.
        snapshot: the consent snapshot.
        numbers: per dataset, the snapshot's group number of each account group of the facts.
    """

    facts: Facts
    use: Use
    policy: Policy
    size: int
    root: bytes
    looks: tuple[Look, ...]
    tagged: tuple[Tagged, ...]
    snapshot: Snapshot
    numbers: tuple[tuple[int, ...], ...]

    @property
    def snapshot_files(self) -> list[str]:
        """The snapshot as `gate.scan` reads it."""
        return [str(path) for path in self.snapshot.paths]


def gather(
    service: Service,
    looks: Sequence[Look],
    wanted: WantedUse,
    *,
    now: datetime,
    folder: Path,
    policy: Policy | None = None,
    claimed: Sequence[frozenset[Category] | None] = (),
) -> Gathered:
    """Put what was seen of the data beside the ledger as it is now.

    Args:
        looks: see `gate.scan.census.look`.
        folder: where a snapshot may be written if it cannot be kept; belongs to the caller.
        policy: instead of the active one (dry checks only).
        claimed: categories to assume per dataset instead of recorded tags (dry checks only).

    Raises:
        DatasetError: a dataset without rows.
        LineageUnavailable: nobody can say now what a dataset was made from.
    """
    sources = [known_sources(service, one.version.dataset) for one in looks]
    newest = service.ledger.look(lambda reader: reader.head())
    with service.ledger.read_since(newest) as reader:  # the long reading may be a replica's that holds this very head
        head = reader.head()
        policy = policy or service.policy(reader)
        stale = stale_feeds(policy, feeds(reader), now)
        use, model_problems = _looked_up(reader, wanted)
        tagged = tuple(read_tags(reader, one.version, now, made) for one, made in zip(looks, sources, strict=True))
        terms_changes = [terms.since for terms in policy.terms_versions]
        snapshot = current_snapshot(reader, now, terms_changes, service.settings.snapshots_path, folder / "snapshots")
    if claimed:
        tagged = tuple(_assume(tag, said) for tag, said in zip(tagged, claimed, strict=True))
    counted = [count_coverage(one.census, [str(path) for path in snapshot.paths]) for one in looks]
    numbers = tuple(tuple(sorted({group for _, group in counts.accounts})) for counts in counted)
    facts = Facts(
        tuple(
            _dataset_facts(tag, counts, present, snapshot, model_problems | _locator_problems(policy, tag, counts))
            for tag, counts, present in zip(tagged, counted, numbers, strict=True)
        ),
        stale,
    )
    return Gathered(facts, use, policy, head.size, head.root, tuple(looks), tagged, snapshot, numbers)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a private folder that is removed at the end of its context."""
    return tempfile.TemporaryDirectory(prefix="gate-")


def _looked_up(reader: Reader, wanted: WantedUse) -> tuple[Use, frozenset[Reason]]:
    """Complete the use from the model registry; a model registered for other features is a problem of its own."""
    record = model_record(reader, wanted.model) if wanted.model else None
    ownership = record.ownership if record else Ownership.UNKNOWN
    use = Use(wanted.purpose, wanted.feature, wanted.model, ownership)
    if record and ANY_FEATURE not in record.features and wanted.feature not in record.features:
        return use, frozenset({Reason.WRONG_FEATURE})
    return use, frozenset()


def _locator_problems(policy: Policy, tag: Tagged, counts: CoverageCounts) -> frozenset[Reason]:
    """Content needs all participants' accounts where the policy says so; one account a row cannot name them."""
    if policy.participant_locator and tag.categories & CONTENT and not counts.listed:
        return frozenset({Reason.UNATTRIBUTED_ROWS})
    return frozenset()


def _assume(tag: Tagged, said: frozenset[Category] | None) -> Tagged:
    if said is None:
        return tag
    sources = tuple(sorted({*tag.sources, *((category.value, "declared") for category in said)}))
    return replace(tag, categories=tag.categories | said, sources=sources, problems=frozenset())


def _dataset_facts(
    tag: Tagged,
    counts: CoverageCounts,
    present: tuple[int, ...],
    snapshot: Snapshot,
    model_problems: frozenset[Reason],
) -> DatasetFacts:
    place = {group: index for index, group in enumerate(present)}
    groups = tuple(
        AccountGroup(snapshot.facts(group), {category: n for (category, g), n in counts.accounts.items() if g == group})
        for group in present
    )
    rows = tuple(replace(row, groups=tuple(place[group] for group in row.groups)) for row in counts.rows)
    return DatasetFacts(
        dataset=tag.version.dataset.name,
        version=tag.version.digest,
        categories=frozenset(category.value for category in tag.categories),
        groups=groups,
        rows=rows,
        unattributed=counts.unattributed,
        null_categories=counts.null_categories,
        problems=tag.problems | model_problems,
        declared_none=tag.declared_none,
        declassified=tag.declassified_until is not None,
        total_rows=counts.total_rows,
    )
