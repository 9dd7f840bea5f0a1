"""What the ledger says of who was in which data: decisions by account, dataset or policy row, and what started."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from gate.domain.canonical import canonical, sha256_hex
from gate.domain.dataset import DatasetVersion
from gate.domain.run import TaskRun
from gate.ledger.browsing import attachments_with
from gate.ledger.store import Entry, Reader
from gate.service.standing import REF_BYTES

NOBODY = sha256_hex(b"")
"""Digest of the empty list of accounts: the decision says nothing of who was in the data."""

_LISTS = b"accounts", b"detail"  # fields of a decision that name the digest of a list
_HEX = 64  # digits of a digest
_VERSION = re.compile(rb'"digest":"(sha256:[0-9a-f]{64})"')

VersionKey = tuple[str, str, str]  # namespace, name, digest


@dataclass(frozen=True, slots=True)
class Start:
    """A training that started: it redeemed a permit, or the mode `observe` let it go.

    Attributes:
        index: ledger index of the start.
        decision: … and of the decision behind it.
    """

    index: int
    decision: int
    at: datetime
    run: TaskRun
    observed: bool


class Decisions:
    """The decisions of a ledger up to a size; bodies are read where they are needed.

    Args:
        reader: the ledger.
        stop: only what is before this place.
        sees: whether a DAG's runs count; the others are not there.
    """

    def __init__(self, reader: Reader, stop: int | None = None, sees: Callable[[str], bool] | None = None) -> None:
        self._reader = reader
        self.stop = reader.size if stop is None else stop
        self._sees = sees
        self._keys: dict[int, tuple[VersionKey, ...]] = {}

    @cached_property
    def entries(self) -> dict[int, Entry]:
        """All decisions by index."""
        return {entry.idx: entry for entry in self._reader.entries("decision", stop=self.stop)}

    @cached_property
    def starts(self) -> tuple[Start, ...]:
        """All trainings that started."""
        found = self._reader.entries(("redemption", "refusal"), stop=self.stop)
        really = (entry for entry in found if entry.kind == "redemption" or entry.body.get("observed"))
        return tuple(
            Start(entry.idx, entry.body["decision"], entry.recorded_at, run, entry.kind == "refusal")
            for entry in really
            if self._shown((run := TaskRun.from_dict(entry.body["run"])).dag_id)
        )

    def holding(self, ref: str) -> dict[int, Entry]:
        """Return the decisions whose lists name an account: as permitted, or as lacking something."""
        lists = attachments_with(self._reader, [bytes.fromhex(ref), f'"{ref}"'.encode()])
        if not lists:
            return {}
        wanted = {name.encode() for name in lists}
        return self._chosen(lambda entry: any(name in wanted for _, name in _lists(entry.payload)))

    def holders(self, refs: Collection[str]) -> dict[str, dict[int, Entry]]:
        """Return, for each of these accounts, the decisions whose lists name it; each list is read once."""
        by_list: dict[tuple[bytes, bytes], list[int]] = {}
        for entry in self.entries.values():
            for field_and_name in _lists(entry.payload):
                by_list.setdefault(field_and_name, []).append(entry.idx)
        wanted = frozenset(refs)
        found: dict[str, set[int]] = {ref: set() for ref in wanted}
        for (field, name), indices in by_list.items() if wanted else ():
            content = self._reader.attachment(name.decode()) or b""
            for ref in wanted & (_lacking(content) if field == b"detail" else _members(content)):
                found[ref].update(indices)
        return {ref: {index: self.entries[index] for index in sorted(some)} for ref, some in found.items()}

    def about(self, *, uri: str | None = None, digest: str | None = None) -> dict[int, Entry]:
        """Return the decisions about versions of a dataset, or subsets of it, or about one version."""
        text = canonical(uri or digest)

        def names(entry: Entry) -> bool:
            said = versions(entry) if text in entry.payload else ()
            return any(one.digest == digest or (uri and uri in (one.dataset.uri, one.subset_of)) for one in said)

        return self._chosen(names)

    def citing(self, row: str) -> dict[int, Entry]:
        """Return the decisions of which a finding cites a row of the policy."""
        text = canonical(row)
        return self._chosen(
            lambda entry: text in entry.payload and any(one["row"] == row for one in entry.body["decision"]["findings"])
        )

    def of_version(self, digest: str) -> list[Entry]:
        """Return the decisions about a version by its digest alone, wherever it lay."""
        return [self.entries[index] for index in self._by_digest.get(digest, ())]

    @cached_property
    def _by_digest(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for entry in self.entries.values():
            for digest in dict.fromkeys(_VERSION.findall(entry.payload)):
                found.setdefault(digest.decode(), []).append(entry.idx)
        return found

    def keys(self, entry: Entry) -> tuple[VersionKey, ...]:
        """Return the dataset versions that a decision is about, as lineage calls them; worked out once."""
        found = self._keys.get(entry.idx)
        if found is None:
            found = self._keys[entry.idx] = tuple(version_key(version) for version in versions(entry))
        return found

    def shown(self, entry: Entry) -> bool:
        """Whether the caller may see a decision."""
        return self._sees is None or self._shown(entry.body["run"]["dag_id"])

    def _shown(self, dag_id: str) -> bool:
        return self._sees is None or self._sees(dag_id)

    def _chosen(self, wanted: Callable[[Entry], bool]) -> dict[int, Entry]:
        return {index: entry for index, entry in self.entries.items() if wanted(entry) and self.shown(entry)}


def _lists(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the lists of accounts that a decision names, as field and digest; from its bytes, for there are many."""
    for field in _LISTS:
        for rest in payload.split(b'"%b":"sha256:' % field)[1:]:
            yield field, b"sha256:" + rest[:_HEX]


def _lacking(content: bytes) -> frozenset[str]:
    """Return the accounts that lack something, as a decision's detail in JSON names them; none once it was erased."""
    return frozenset(ref for top in json.loads(content or b"[]") for ref, _ in top["accounts"])


def _members(content: bytes) -> frozenset[str]:
    """Return the accounts of a list: references side by side."""
    return frozenset(content[at : at + REF_BYTES].hex() for at in range(0, len(content), REF_BYTES))


def versions(entry: Entry) -> list[DatasetVersion]:
    """Return the dataset versions that a decision is about."""
    return [DatasetVersion.from_dict(item["version"]) for item in entry.body["datasets"]]


def version_key(version: DatasetVersion) -> VersionKey:
    """Return a version's identity in lineage."""
    return version.dataset.namespace, version.dataset.name, version.digest


def says_all(entry: Entry) -> bool:
    """Whether a decision's list of accounts is complete: then an account that it does not name is not in the data."""
    rows = entry.body["decision"]["coverage"]
    return entry.body["accounts"] != NOBODY and not any(row["rows_unattributed"] for row in rows)


def declassified(entry: Entry, digest: str) -> bool:
    """Whether a decision took a version for anonymous by a signed declassification: it is nobody's data any more."""
    return any(
        item["version"]["digest"] == digest and any(source == "declassified" for _, source in item["sources"])
        for item in entry.body["datasets"]
    )


class Whose:
    """Which versions hold the data that is asked about, by decisions that do.

    Args:
        decisions: all of them.
        held: those that hold it.
        by_account: it is an account's: then decisions that name all of their accounts, and not this one, acquit.
    """

    def __init__(self, decisions: Decisions, held: Collection[int], *, by_account: bool) -> None:
        self._decisions = decisions
        self._held = held
        self._by_account = by_account
        self._known: dict[str, bool] = {}

    def free(self, digest: str) -> bool:
        """Whether the ledger knows that a version holds none of it."""
        if digest not in self._known:
            self._known[digest] = self._find(digest)
        return self._known[digest]

    def _find(self, digest: str) -> bool:
        if not self._by_account:
            return False
        about = self._decisions.of_version(digest)
        if any(declassified(entry, digest) for entry in about):
            return True
        alone = [entry for entry in about if entry.idx in self._held and len(entry.body["datasets"]) == 1]
        return not alone and any(entry.idx not in self._held and says_all(entry) for entry in about)

    def keys(self, entries: Iterable[Entry]) -> Iterator[tuple[VersionKey, dict[str, Any], Entry]]:
        """Yield the versions of decisions that may hold it, with what the decision says of each."""
        for entry in entries:
            keys = self._decisions.keys(entry)
            for key, item in zip(keys, entry.body["datasets"], strict=True):
                if len(keys) == 1 or not self.free(key[2]):
                    yield key, item["version"], entry


def training(run: TaskRun) -> tuple[str, str, str, int]:
    """Return what all tries of a training share."""
    return run.dag_id, run.run_id, run.task_id, run.map_index


def by_decision(starts: Iterable[Start]) -> dict[int, list[Start]]:
    """Group starts by the decision behind them."""
    found: dict[int, list[Start]] = {}
    for start in starts:
        found.setdefault(start.decision, []).append(start)
    return found
