"""Attestations: what data, under which decision, a model came of; an in-toto Statement v1, built and checked purely."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from gate.domain.canonical import canonical
from gate.domain.dataset import DatasetVersion
from gate.domain.decision import Use
from gate.domain.instants import checked_instant, format_instant, parse_instant
from gate.domain.run import TaskRun
from gate.errors import InputError, PermitRefused, TamperingFound
from gate.permits.envelope import seal, unseal
from gate.permits.keys import PublicKey, SigningKey
from gate.permits.permit import FactsFrom, is_count, is_permit_id, is_root, is_text
from gate.permits.receipt import is_run

PAYLOAD_TYPE = "application/vnd.in-toto+json"  # what DSSE calls every in-toto statement
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://consent-gate.dev/attestation/training/v1"
BUILD_TYPE = "https://consent-gate.dev/build/training/v1"
MODEL_FROM = "worker_asserted"
"""Who looked at the model: the worker that trained it. Nobody else was there."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ALGORITHM = "sha256"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A dataset version or a model: where it is and the digest of its bytes, without how its rows name accounts.

    Attributes:
        uri: location.
        digest: `sha256:` and 64 hex digits, of names, sizes and bytes of its files; see docs/attestations.md.
        files, size: how many files, and bytes in all.
        subset_of: for a consented subset, the URI of the dataset it was cut from.
    """

    uri: str
    digest: str
    files: int
    size: int
    subset_of: str | None = None

    @classmethod
    def of(cls, version: DatasetVersion) -> Artifact:
        """Name a dataset version; its account locator stays behind, for it may name an account."""
        return cls(version.dataset.uri, version.digest, version.files, version.size, version.subset_of)

    @property
    def sound(self) -> bool:
        """Whether this can stand in a statement."""
        return (
            is_text(self.uri)
            and isinstance(self.digest, str)
            and _DIGEST.fullmatch(self.digest) is not None
            and is_count(self.files)
            and is_count(self.size)
            and (self.subset_of is None or is_text(self.subset_of))
        )

    def to_dependency(self) -> dict[str, Any]:
        """Return an in-toto resource descriptor."""
        annotations: dict[str, Any] = {"files": self.files, "size": self.size}
        if self.subset_of is not None:
            annotations["subset_of"] = self.subset_of
        return {"uri": self.uri, "digest": _digest_set(self.digest), "annotations": annotations}

    @classmethod
    def from_dependency(cls, data: Mapping[str, Any]) -> Artifact:
        """Read what `to_dependency` wrote."""
        said = data["annotations"]
        return cls(data["uri"], _digest_of(data["digest"]), said["files"], said["size"], said.get("subset_of"))


@dataclass(frozen=True, slots=True)
class Named:
    """An entry of the ledger, or a policy: by which name, and the `sha256:` digest of its bytes."""

    name: int | str
    digest: str


@dataclass(frozen=True, slots=True)
class Attestation:
    """A statement that one try of one training task produced one model, and what let it.

    Attributes:
        model: what was produced, as the worker found it.
        datasets: the versions the try was let to read, at least one.
        use: what for.
        run: the try.
        ledger_origin: which ledger holds the entries below.
        decision: its index there, and the digest of its bytes.
        redemption: the same of the permit's redemption; of the recorded start where there was no permit.
        permit_id: the redeemed permit; `None`: the mode `observe` let it start without one, and the model is
            unpermitted for ever.
        policy: name and digest.
        checkpoint: ledger size and root (64 hex digits) that hold decision and redemption.
        facts_from: who looked at the datasets.
        recorded_at: when the ledger took it in.
        override: ledger index of the break-glass the permit rests on.

    Raises:
        InputError: a field that no attestation could have.
    """

    model: Artifact
    datasets: tuple[Artifact, ...]
    use: Use
    run: TaskRun
    ledger_origin: str
    decision: Named
    redemption: Named
    permit_id: str | None
    policy: Named
    checkpoint: tuple[int, str]
    facts_from: FactsFrom
    recorded_at: datetime
    override: int | None = None

    def __post_init__(self) -> None:
        checked_instant(self.recorded_at)
        size, root = self.checkpoint
        entries = self.decision, self.redemption
        wrong = {
            "model": not (self.model.sound and self.model.subset_of is None),
            "datasets": not self.datasets or not all(version.sound for version in self.datasets),
            "use": not all(value is None or is_text(value) for value in self.use.to_dict().values()),
            "run": not is_run(self.run),
            "ledger_origin": not is_text(self.ledger_origin),
            "policy": not (is_text(self.policy.name) and _DIGEST.fullmatch(self.policy.digest)),
            "permit_id": self.permit_id is not None and not is_permit_id(self.permit_id),
            "facts_from": self.facts_from not in get_args(FactsFrom),
            "override": self.override is not None and not (is_count(self.override) and self.permit_id is not None),
            "checkpoint": not (is_count(size) and is_root(root)),
        }
        for name, entry in zip(("decision", "redemption"), entries, strict=True):
            wrong[name] = not (is_count(entry.name) and _DIGEST.fullmatch(entry.digest))
        for name, bad in wrong.items():
            if bad:
                raise _unfit(name)
        if not int(self.decision.name) < int(self.redemption.name) < size:
            raise _unfit("checkpoint")

    @property
    def unpermitted(self) -> bool:
        """Whether training started without a permit."""
        return self.permit_id is None

    def to_statement(self) -> dict[str, Any]:
        """Return the in-toto Statement v1."""
        return {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": self.model.uri, "digest": _digest_set(self.model.digest)}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {"use": self.use.to_dict(), "run": self.run.to_dict()},
                    "resolvedDependencies": [version.to_dependency() for version in self.datasets],
                },
                "permission": {
                    "unpermitted": self.unpermitted,
                    "permit_id": self.permit_id,
                    "decision": {"index": self.decision.name, "digest": self.decision.digest},
                    "redemption": {"index": self.redemption.name, "digest": self.redemption.digest},
                    "policy": {"name": self.policy.name, "digest": self.policy.digest},
                    "override": self.override,
                    "facts_from": self.facts_from,
                },
                "ledger": {
                    "origin": self.ledger_origin,
                    "checkpoint": {"size": self.checkpoint[0], "root": self.checkpoint[1]},
                },
                "model": {"files": self.model.files, "size": self.model.size, "facts_from": MODEL_FROM},
                "recorded_at": format_instant(self.recorded_at),
            },
        }

    def to_payload(self) -> bytes:
        """Return the canonical bytes that are signed."""
        return canonical(self.to_statement())

    @classmethod
    def from_payload(cls, payload: bytes) -> Attestation:
        """Read what `to_payload` wrote, and nothing else: other spellings of the same statement are refused.

        Raises:
            TamperingFound: it is no such statement.
        """
        try:
            attestation = cls._from_fields(json.loads(payload))
            if attestation.to_payload() == payload:
                return attestation
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InputError):
            pass
        raise _refused("its payload is no statement about a training, version 1", "attestation")

    @classmethod
    def _from_fields(cls, data: Mapping[str, Any]) -> Attestation:
        [subject], predicate = data["subject"], data["predicate"]
        built, allowed, ledger = predicate["buildDefinition"], predicate["permission"], predicate["ledger"]
        produced = predicate["model"]
        return cls(
            model=Artifact(subject["name"], _digest_of(subject["digest"]), produced["files"], produced["size"]),
            datasets=tuple(Artifact.from_dependency(item) for item in built["resolvedDependencies"]),
            use=Use.from_dict(built["externalParameters"]["use"]),
            run=TaskRun.from_dict(built["externalParameters"]["run"]),
            ledger_origin=ledger["origin"],
            decision=Named(allowed["decision"]["index"], allowed["decision"]["digest"]),
            redemption=Named(allowed["redemption"]["index"], allowed["redemption"]["digest"]),
            permit_id=allowed["permit_id"],
            policy=Named(allowed["policy"]["name"], allowed["policy"]["digest"]),
            checkpoint=(ledger["checkpoint"]["size"], ledger["checkpoint"]["root"]),
            facts_from=allowed["facts_from"],
            recorded_at=parse_instant(predicate["recorded_at"]),
            override=allowed["override"],
        )


def issue_attestation(attestation: Attestation, key: SigningKey) -> dict[str, Any]:
    """Sign an attestation into its DSSE envelope."""
    return seal(attestation.to_payload(), PAYLOAD_TYPE, key)


def verify_attestation(envelope: Mapping[str, Any], keys: Sequence[PublicKey]) -> Attestation:
    """Return the attestation if a pinned key signed it and nothing in it was changed; without I/O.

    It says nothing about the file on a disk (`check_model`), nor whether the ledger still holds what it names.

    Args:
        envelope: what `issue_attestation` returned, from anywhere.
        keys: the pinned public keys.

    Raises:
        TamperingFound: anything else.
    """
    try:
        payload = unseal(envelope, PAYLOAD_TYPE, keys)
    except PermitRefused as error:
        raise _refused(error.message, error.where or "attestation") from None
    return Attestation.from_payload(payload)


def check_model(attestation: Attestation, version: DatasetVersion) -> None:
    """Make sure that files are the attested model, wherever they are now.

    Args:
        attestation: a verified one.
        version: what `gate.scan.digest.measure` found.

    Raises:
        TamperingFound: they are not.
    """
    if version.digest != attestation.model.digest:
        raise TamperingFound(
            "this is not the model that was attested: its files' names or bytes differ",
            where=version.dataset.uri,
            hint="the digest covers file names too: compare under the name it was trained as",
        )


def _digest_set(digest: str) -> dict[str, str]:
    return {_ALGORITHM: digest.removeprefix(f"{_ALGORITHM}:")}


def _digest_of(digests: Mapping[str, str]) -> str:
    return f"{_ALGORITHM}:{digests[_ALGORITHM]}"


def _unfit(name: str) -> InputError:
    return InputError("is not what an attestation can hold", where=f"attestation.{name}")


def _refused(message: str, where: str) -> TamperingFound:
    return TamperingFound(
        f"the attestation is refused: {message}", where=where, hint="take the one the ledger holds; trust no other"
    )
