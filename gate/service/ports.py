"""What a worker asks of whoever holds ledger and key: the embedded service, or a decision service far away.

The worker looks at the data (digests, media, who is in it); everything that needs the ledger or the signing key is
behind this protocol. So both modes run the same code on both sides of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gate.domain.contract import ContractOutcome
from gate.domain.dataset import Dataset, DatasetVersion
from gate.domain.decision import Decision, Use, WantedUse, wanted_use
from gate.domain.run import TaskRun
from gate.errors import PermitRefused
from gate.permits.permit import Permit

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from gate.ledger.reading import TreeHead
    from gate.permits.keys import PublicKey
    from gate.scan.census import Look
    from gate.service.answers import ReviewAnswer
    from gate.service.keyring import LedgerKey
    from gate.service.outcome import Asking, Outcome
    from gate.service.settings import Settings
    from gate.service.tags import Tagged


@dataclass(frozen=True, slots=True)
class TagStatement:
    """What a worker says of one dataset version.

    Attributes:
        declared: category words somebody vouches for.
        detected: category words its bytes show.
        source: the version it was cut from, whose categories it inherits; `None` for data that was not cut.
        evidence: (category, signal, files) of what was detected; no paths, for they may name accounts.
        columns: (category, column) pairs that the evidence rests on.
        contradictions: where the bytes show what the declaration leaves out.
        unreadable: files that could not be looked into.
        questions: what a person must answer about what was seen.
        made_from: URIs of the datasets it was made from, as far as the caller says.
        resolve: a person's answer to all that is asked: category words.
        contract: how its categories' data contracts went; `None`: they were not checked.
        run: the task that says so, if one does.
    """

    version: DatasetVersion
    declared: tuple[str, ...] = ()
    detected: tuple[str, ...] = ()
    source: DatasetVersion | None = None
    evidence: tuple[tuple[str, str, int], ...] = ()
    contradictions: tuple[str, ...] = ()
    unreadable: int = 0
    run: TaskRun | None = None
    columns: tuple[tuple[str, str], ...] = ()
    questions: tuple[str, ...] = ()
    made_from: tuple[str, ...] = ()
    resolve: tuple[str, ...] = ()
    contract: ContractOutcome | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "version": self.version.to_dict(),
            "declared": list(self.declared),
            "detected": list(self.detected),
            "source": self.source and self.source.to_dict(),
            "evidence": [list(item) for item in self.evidence],
            "contradictions": list(self.contradictions),
            "unreadable": self.unreadable,
            "run": self.run and self.run.to_dict(),
            "columns": [list(pair) for pair in self.columns],
            "questions": list(self.questions),
            "made_from": list(self.made_from),
            "resolve": list(self.resolve),
            "contract": self.contract and self.contract.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TagStatement:
        """Read what `to_dict` wrote."""
        run, source = data["run"], data["source"]
        return cls(
            DatasetVersion.from_dict(data["version"]),
            tuple(data["declared"]),
            tuple(data["detected"]),
            DatasetVersion.from_dict(source) if source else None,
            tuple((category, signal, n) for category, signal, n in data["evidence"]),
            tuple(data["contradictions"]),
            data["unreadable"],
            TaskRun.from_dict(run) if run else None,
            tuple((category, column) for category, column in data["columns"]),
            tuple(data["questions"]),
            tuple(data["made_from"]),
            tuple(data["resolve"]),
            ContractOutcome.from_dict(data["contract"]) if data.get("contract") else None,
        )


@dataclass(frozen=True, slots=True)
class RedemptionRequest:
    """What a training task shows to redeem its permit.

    Attributes:
        run: its own try.
        reads: the datasets it declares to read.
        wanted: the use it declares.
        measured: digest of each permitted version as it is now, by `DatasetVersion.key`; `None`: it cannot be read.
        nonce: 64 hex digits of the caller's choice that the receipt must repeat.
    """

    run: TaskRun
    reads: tuple[Dataset, ...]
    wanted: WantedUse
    measured: Mapping[str, str | None]
    nonce: str

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "run": self.run.to_dict(),
            "reads": [dataset.to_dict() for dataset in self.reads],
            "wanted": wanted_to_dict(self.wanted),
            "measured": dict(self.measured),
            "nonce": self.nonce,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RedemptionRequest:
        """Read what `to_dict` wrote."""
        return cls(
            TaskRun.from_dict(data["run"]),
            tuple(Dataset.from_dict(item) for item in data["reads"]),
            wanted_use(**data["wanted"]),
            dict(data["measured"]),
            data["nonce"],
        )


class Moment(NamedTuple):
    """The ledger when something was recorded: its head, and its keys."""

    head: TreeHead
    ring: tuple[LedgerKey, ...]


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The right to train, recorded.

    Attributes:
        permit: the permit; `None` in the mode `observe`, where the model that comes of it is unpermitted.
        index: ledger index of the redemption: the instant training was allowed to start, by the only clock that counts.
        run: the try it is for.
        use: what for.
        versions: the dataset versions it may read.
        decision_index: the decision it rests on.
        envelope: the permit as it was signed.
        receipt: the decision service's signed answer; `None` in the embedded mode.
        moment: the ledger when this was recorded or found, if it was just now.
    """

    permit: Permit | None
    index: int
    run: TaskRun
    use: Use
    versions: tuple[DatasetVersion, ...]
    decision_index: int
    envelope: Mapping[str, Any] | None = None
    receipt: Mapping[str, Any] | None = None
    moment: Moment | None = field(default=None, compare=False, repr=False)

    @property
    def observed(self) -> bool:
        """Whether the mode `observe` let this training start without a permit."""
        return self.permit is None

    def version_for(self, wanted: Dataset) -> DatasetVersion:
        """Return the permitted version a job that asked for `wanted` may read.

        Raises:
            PermitRefused: none.
        """
        for version in self.versions:
            if version.stands_for(wanted):
                return version
        raise PermitRefused(
            "the permit does not cover this dataset",
            where=wanted.name,
            hint="name it in the gate's datasets and in reads=",
            reason="permit_mismatch",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "index": self.index,
            "run": self.run.to_dict(),
            "use": self.use.to_dict(),
            "versions": [version.to_dict() for version in self.versions],
            "decision_index": self.decision_index,
            "envelope": self.envelope,
            "receipt": self.receipt,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], permit: Permit | None) -> Redeemed:
        """Read what `to_dict` wrote; the permit comes from its envelope, verified by the reader."""
        return cls(
            permit,
            data["index"],
            TaskRun.from_dict(data["run"]),
            Use.from_dict(data["use"]),
            tuple(DatasetVersion.from_dict(item) for item in data["versions"]),
            data["decision_index"],
            data["envelope"],
            data["receipt"],
        )


@dataclass(frozen=True, slots=True)
class Produced:
    """What a training task says came of it.

    Attributes:
        redemption: ledger index of its redemption, or of its start without a permit: `Redeemed.index`.
        run: its own try.
        model: the files it produced, as the worker found them.
    """

    redemption: int
    run: TaskRun
    model: DatasetVersion

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"redemption": self.redemption, "run": self.run.to_dict(), "model": self.model.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Produced:
        """Read what `to_dict` wrote."""
        return cls(data["redemption"], TaskRun.from_dict(data["run"]), DatasetVersion.from_dict(data["model"]))


@dataclass(frozen=True, slots=True)
class Attested:
    """A model that the ledger knows, with the signed statement about it.

    Attributes:
        index: ledger index of the entry that holds the statement.
        model: the model.
        envelope: the statement as it was signed; see `gate.permits.attestation`.
    """

    index: int
    model: DatasetVersion
    envelope: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"index": self.index, "model": self.model.to_dict(), "envelope": self.envelope}


def wanted_to_dict(wanted: WantedUse) -> dict[str, str | None]:
    """Return what `gate.domain.decision.wanted_use` reads."""
    return {"purpose": wanted.purpose.value, "feature": wanted.feature, "model": wanted.model}


class DecisionService(Protocol):
    """Whoever holds ledger and key.

    `by` and `via` count in the embedded mode; a decision service knows them from the caller's token.
    """

    @property
    def settings(self) -> Settings:
        """This machine's places: private copies, subsets."""

    @property
    def pinned_keys(self) -> tuple[PublicKey, ...]:
        """The public keys this machine trusts."""

    def clock(self) -> datetime:
        """Return the present instant."""

    def __enter__(self) -> DecisionService:
        """Return itself."""

    def __exit__(self, *_: object) -> None:
        """Close."""

    def close(self) -> None:
        """Release connections."""

    def ledger_size(self) -> int:
        """Return how many entries the ledger holds."""

    def record_tag(self, statement: TagStatement, *, by: str, via: str) -> Tagged:
        """Record what is said of a version, and return everything recorded of it."""

    def recorded_decision(self, run: TaskRun) -> Outcome | None:
        """Return what was decided for this very try, if it asked before."""

    def preview(self, looks: Sequence[Look], wanted: WantedUse) -> tuple[int, Decision]:
        """Return the ledger's size and the decision it would give, recording nothing."""

    def record_decision(self, looks: Sequence[Look], wanted: WantedUse, asking: Asking) -> Outcome:
        """Decide, record, issue permits."""

    def record_review(self, answer: ReviewAnswer, *, by: str, via: str) -> int:
        """Record what a reviewer answered to a blocked gate, and return its ledger index.

        Raises:
            PermitRefused: see `gate.service.reviewing.record_review`.
        """

    def passing(self, looks: Sequence[Look], wanted: WantedUse, folder: Path) -> list[Path]:
        """Write, per dataset, who passes: Parquet as `write_subset` reads it, group 1.

        Raises:
            Blocked: something else than missing consent blocks.
        """

    def permit_of(self, run: TaskRun) -> Mapping[str, Any] | None:
        """Return the newest permit's envelope of this task of this run."""

    def record_redemption(self, request: RedemptionRequest, *, by: str) -> Redeemed:
        """Exchange the permit, or record why not and raise.

        Raises:
            PermitRefused: see `gate.service.worker.redeem`.
        """

    def record_check(self, redeemed: Redeemed) -> None:
        """Look again; record an exposure and raise if the permission is gone.

        Raises:
            PermitRefused: with the reason.
        """

    def record_attestation(self, produced: Produced, *, by: str) -> Attested:
        """Attest a model to the try that trained it; saying the same again gets the same.

        Raises:
            PermitRefused: see `gate.service.attesting.record_attestation`.
        """

    def decision_of_run(self, dag_id: str, run_id: str) -> Outcome | None:
        """Return the newest decision of a DAG run."""

    def refusal_of_run(self, dag_id: str, run_id: str) -> Mapping[str, Any] | None:
        """Return the newest refused redemption of a DAG run: `index`, `run`, `reason`, `message`."""
