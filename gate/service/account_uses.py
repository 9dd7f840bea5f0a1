"""Where an account's data went: the trainings that started on datasets which held it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from heapq import merge

from gate.domain.dataset import DatasetVersion
from gate.domain.decision import Use
from gate.domain.run import TaskRun
from gate.ledger.browsing import backwards
from gate.ledger.store import Entry, Reader
from gate.service.core import Service
from gate.service.standing import contains

MOST_USES = 100  # shown
MOST_STARTS = 5000  # looked at
MOST_BYTES = 64 * 2**20  # of sets of accounts read for one answer


@dataclass(frozen=True, slots=True)
class DataUse:
    """A training that started on data of an account.

    Attributes:
        index: ledger index of the start; `decision`: of the decision behind it.
        datasets: name and digest of each dataset version.
        observed: it started without a permit, because the mode only observed.
    """

    index: int
    decision: int
    started_at: datetime
    run: TaskRun
    use: Use
    datasets: tuple[tuple[str, str], ...]
    observed: bool


@dataclass(frozen=True, slots=True)
class DataUses:
    """The newest uses; `complete` is false when older trainings were not looked at."""

    uses: tuple[DataUse, ...]
    complete: bool


def data_uses(
    service: Service,
    ref: str,
    sees: Callable[[str], bool],
    *,
    as_of: datetime | None = None,
    known_at: int | None = None,
) -> DataUses:
    """Find the trainings that started on data of an account, the newest first.

    Args:
        service: where.
        ref: the account's reference.
        sees: whether the caller may see a DAG's runs; others are passed over in silence.
        as_of: only those that started until then.
        known_at: as the ledger was when it held this many entries.
    """
    found: list[DataUse] = []
    with service.ledger.read() as reader:
        sets = _Sets(reader, bytes.fromhex(ref))
        kinds = (backwards(reader, kind, known_at) for kind in ("redemption", "refusal"))
        for looked, start in enumerate(merge(*kinds, key=lambda entry: -entry.idx)):
            if looked >= MOST_STARTS or len(found) >= MOST_USES or sets.exhausted:
                return DataUses(tuple(found), complete=False)
            if _started(start, as_of) and sees(start.body["run"]["dag_id"]):
                decision = sets.decision(start.body["decision"])
                if decision is not None:
                    found.append(_use(start, decision))
    return DataUses(tuple(found), complete=True)


def _started(entry: Entry, as_of: datetime | None) -> bool:
    really = entry.kind == "redemption" or bool(entry.body.get("observed"))
    return really and (as_of is None or entry.recorded_at <= as_of)


class _Sets:
    """Which decisions' sets of accounts hold one account; each decision and each set is read once."""

    def __init__(self, reader: Reader, member: bytes) -> None:
        self._reader = reader
        self._member = member
        self._read = 0
        self._holds: dict[str, bool] = {}
        self._decisions: dict[int, Entry | None] = {}

    @property
    def exhausted(self) -> bool:
        """Whether enough was read."""
        return self._read > MOST_BYTES

    def decision(self, index: int) -> Entry | None:
        """Return the decision, if its data held the account."""
        if index not in self._decisions:
            entry = self._reader.entry(index)
            self._decisions[index] = entry if self._held(str(entry.body["accounts"])) else None
        return self._decisions[index]

    def _held(self, digest: str) -> bool:
        if digest not in self._holds:
            members = self._reader.attachment(digest) or b""
            self._read += len(members)
            self._holds[digest] = contains(members, self._member)
        return self._holds[digest]


def _use(start: Entry, decision: Entry) -> DataUse:
    said = decision.body
    versions = [DatasetVersion.from_dict(item["version"]) for item in said["datasets"]]
    return DataUse(
        index=start.idx,
        decision=decision.idx,
        started_at=start.recorded_at,
        run=TaskRun.from_dict(start.body["run"]),
        use=Use.from_dict(said["decision"]["use"]),
        datasets=tuple((version.dataset.name, version.digest) for version in versions),
        observed=start.kind == "refusal",
    )
