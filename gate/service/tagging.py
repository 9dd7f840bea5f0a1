"""Tag a dataset version: measure it, look into it, record which categories it bears and where we know that from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gate.domain.canonical import digest
from gate.domain.dataset import Dataset, DatasetVersion
from gate.domain.instants import format_instant, parse_instant
from gate.domain.run import TaskRun
from gate.domain.words import Category, Reason, TagSource
from gate.errors import InputError
from gate.ledger.store import Entry, Reader
from gate.scan.digest import measure
from gate.scan.media import contradictions, probe_categories
from gate.service.actors import recorded_actor
from gate.service.anchors import recording
from gate.service.core import Service
from gate.service.declassifying import declassification_of
from gate.service.ports import DecisionService, TagStatement

PERSONAL_VIA = frozenset({"cli", "api", "ui"})  # recorded by a person who is not writing the DAG


@dataclass(frozen=True, slots=True)
class Tagged:
    """What is recorded of one dataset version.

    Attributes:
        categories: effective categories, the union over all tags of this version.
        sources: (category, source) pairs, sorted.
        problems: reasons that block whatever the policy says.
        notes: what a person should know, without personal data.
        entries: ledger indices of the tags, and of the declassification if one stands.
        declassified_until: end of the declassification that stands; its categories are taken away in `categories`.
    """

    version: DatasetVersion
    categories: frozenset[Category]
    sources: tuple[tuple[str, str], ...]
    problems: frozenset[Reason]
    notes: tuple[str, ...]
    entries: tuple[int, ...]
    declassified_until: datetime | None = None

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
        }


def parse_categories(words: Iterable[str]) -> frozenset[Category]:
    """Read category words a person may declare.

    Raises:
        InputError: unknown, or one that only we may set.
    """
    allowed = [c.value for c in Category if c not in (Category.UNCLASSIFIED, Category.AGGREGATED_ANONYMOUS)]
    for word in (chosen := list(words)):
        if word not in allowed:
            raise InputError(
                f"{word!r} is not a category that can be declared",
                where="categories",
                hint="one of: " + ", ".join(allowed),
            )
    return frozenset(Category(word) for word in chosen)


def tag_dataset(
    service: DecisionService,
    dataset: Dataset,
    declare: Collection[str],
    *,
    by: str,
    via: str,
    run: TaskRun | None = None,
    source: DatasetVersion | None = None,
) -> Tagged:
    """Record the categories of the dataset as its bytes are now.

    Args:
        service: the embedded service, or a remote one.
        dataset: where it is and how its rows name their accounts.
        declare: category words the caller vouches for; `none` means examined, and nothing of these.
        by: who says so; see `recorded_actor`.
        via: `cli`, `api`, `ui` or `airflow`.
        run: the task that tags, if one does.
        source: the version this one was cut from; its categories are inherited, and it stands for that dataset.

    Returns:
        Everything recorded of this version so far, this tag included. Tagging twice with the same words adds nothing.

    Raises:
        InputError: an unknown category.
        DatasetError: missing, empty, unreadable, or changing while it is read.
    """
    declared = parse_categories(declare)
    measured, _ = measure(dataset)
    version = replace(measured, subset_of=None if source is None else source.dataset.uri)
    probe = probe_categories(dataset)
    contradicted = contradictions(declared, probe)
    counted = Counter((category, signal) for category, signal, *_ in probe.evidence)
    statement = TagStatement(
        version,
        declared=tuple(sorted(c.value for c in declared)),
        detected=tuple(sorted(c.value for c in probe.categories)),
        source=source,
        evidence=tuple((category, signal, n) for (category, signal), n in sorted(counted.items())),
        contradictions=tuple(contradicted),
        unreadable=len(probe.problems) + probe.unprobed,
        run=run,
    )
    return service.record_tag(statement, by=by, via=via)


def record_tag(service: Service, statement: TagStatement, *, by: str, via: str) -> Tagged:
    """Append what is said of a version; saying it again adds nothing.

    Raises:
        InputError: a category that nobody may say.
    """
    version, dataset = statement.version, statement.version.dataset
    statements = {(c.value, TagSource.DECLARED.value) for c in parse_categories(statement.declared)}
    statements |= {(c.value, TagSource.DETECTED.value) for c in _known(statement.detected)}
    if (version.subset_of is None) != (statement.source is None):
        raise InputError("must name the version it was cut from", where="tag.source")
    now = service.now()
    with recording(service) as tx:
        if statement.source is not None:
            inherited = read_tags(tx, statement.source, now).categories or {Category.UNCLASSIFIED}
            statements |= {(c.value, TagSource.INHERITED.value) for c in inherited}
        body: dict[str, Any] = {
            "dataset": {"namespace": dataset.namespace, "name": dataset.name},
            "version": version.to_dict(),
            "statements": [list(pair) for pair in sorted(statements)],
            "evidence": [list(item) for item in statement.evidence],
            "contradictions": list(statement.contradictions),
            "unreadable": statement.unreadable,
            "run": statement.run and statement.run.to_dict(),
        }
        said = [body[name] for name in ("statements", "contradictions", "unreadable", "version")]
        what = digest([*said, via in PERSONAL_VIA])
        actor = recorded_actor(tx, by)
        tx.append("tag", f"{dataset_key(dataset)}/{version.digest}/{what}", body, recorded_at=now, by=actor, via=via)
        return read_tags(tx, version, now)


def _known(words: Iterable[str]) -> frozenset[Category]:
    """Read words that nobody chose: any category may be found, or come from a source."""
    try:
        return frozenset(Category(word) for word in words)
    except ValueError:
        raise InputError("names an unknown category", where="tag") from None


def dataset_key(dataset: Dataset) -> str:
    """One text per dataset identity, whatever its version."""
    return digest([dataset.namespace, dataset.name])


def read_tags(reader: Reader, version: DatasetVersion, now: datetime) -> Tagged:
    """Return what is recorded of exactly this version at `now`; nothing recorded is a problem, not an empty answer."""
    dataset = version.dataset
    everything = list(reader.entries(kind="tag", subject_prefix=f"{dataset_key(dataset)}/"))
    mine = [entry for entry in everything if entry.body["version"]["digest"] == version.digest]
    statements = sorted({(category, source) for entry in mine for category, source in entry.body["statements"]})
    problems: set[Reason] = set()
    notes: list[str] = []
    if not mine and everything:
        problems.add(Reason.STALE_TAG)
    if mine and mine[-1].body["contradictions"]:
        problems.add(Reason.TAG_CONFLICT)
        notes += mine[-1].body["contradictions"]
    if mine and mine[-1].body["unreadable"]:
        problems.add(Reason.UNCLASSIFIED_DATA)
        notes.append(f"{mine[-1].body['unreadable']} files could not be looked into")
    if mine and not _locator_confirmed(dataset, everything):
        problems.add(Reason.TAG_CONFLICT)
        notes.append(
            f"the account locator {str(dataset.account)!r} is not the one on record: "
            "a person confirms it with gate dataset tag"
        )
    recorded = [entry.body["version"] for entry in mine]
    subset_of = recorded[-1].get("subset_of") if recorded else None
    tagged = Tagged(
        version=DatasetVersion(dataset, version.digest, version.files, version.size, subset_of),
        categories=frozenset(Category(category) for category, _ in statements),
        sources=tuple(statements),
        problems=frozenset(problems),
        notes=tuple(notes),
        entries=tuple(entry.idx for entry in mine),
    )
    act = declassification_of(reader, dataset_key(dataset), version.digest, now)
    return tagged if act is None else _declassified(tagged, act)


def _declassified(tagged: Tagged, act: Entry) -> Tagged:
    """Put `aggregated_anonymous` in the place of the categories that two people took away."""
    kept = tagged.categories - {Category(word) for word in act.body["removes"]}
    anonymous = Category.AGGREGATED_ANONYMOUS
    return replace(
        tagged,
        categories=kept | {anonymous},
        sources=tuple(sorted({*tagged.sources, (anonymous.value, TagSource.DECLASSIFIED.value)})),
        entries=(*tagged.entries, act.idx),
        declassified_until=parse_instant(act.body["expires_at"]),
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
