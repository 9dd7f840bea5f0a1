"""What a new tag changes: decisions about data derived from it that rest on fewer categories than it bears now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gate.domain.dataset import Dataset, DatasetVersion
from gate.ledger.store import Entry, Reader
from gate.service.tags import read_tags

Named = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Changed:
    """A decision that would be made from other categories now.

    Attributes:
        decision: its ledger index.
        verdict: as it was.
        dataset: OpenLineage name of the dataset whose tags changed.
        digest: of the version it was about.
        added, removed: category words, beside what the decision rests on.
    """

    decision: int
    verdict: str
    dataset: str
    digest: str
    added: tuple[str, ...]
    removed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "decision": self.decision,
            "verdict": self.verdict,
            "dataset": self.dataset,
            "digest": self.digest,
            "added": list(self.added),
            "removed": list(self.removed),
        }


def changed_decisions(reader: Reader, tagged: Dataset, now: datetime) -> list[Changed]:
    """Return the decisions about `tagged`, or about what came of it, whose categories are others at `now`.

    It reads all tags and decisions once: for a person who tags by hand, not for every task.
    """
    concerned = _derived(reader, (tagged.namespace, tagged.name))
    known: dict[str, frozenset[str]] = {}
    found = []
    for entry in reader.entries("decision"):
        for version, before in _concerned(entry, concerned):
            if version.key not in known:
                known[version.key] = frozenset(word.value for word in read_tags(reader, version, now).categories)
            words = known[version.key]
            if words != before:
                verdict, name = entry.body["decision"]["verdict"], version.dataset.name
                added, removed = tuple(sorted(words - before)), tuple(sorted(before - words))
                found.append(Changed(entry.idx, verdict, name, version.digest, added, removed))
    return found


def _derived(reader: Reader, of: Named) -> frozenset[Named]:
    """Return the dataset and all that tags say was made from it, however far on."""
    made: dict[Named, set[Named]] = {}
    for entry in reader.entries("tag"):
        named = (entry.body["dataset"]["namespace"], entry.body["dataset"]["name"])
        for source in entry.body.get("made_from", ()):
            made.setdefault((source["namespace"], source["name"]), set()).add(named)
    reached, waiting = {of}, [of]
    while waiting:
        beyond = made.get(waiting.pop(), set()) - reached
        reached |= beyond
        waiting += beyond
    return frozenset(reached)


def _concerned(entry: Entry, datasets: frozenset[Named]) -> Iterator[tuple[DatasetVersion, frozenset[str]]]:
    for item in entry.body["datasets"]:
        version = DatasetVersion.from_dict(item["version"])
        if (version.dataset.namespace, version.dataset.name) in datasets:
            yield version, frozenset(item["categories"])
