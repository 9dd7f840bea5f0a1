"""Permits: what one allow-decision lets one task of one run read, and the check of it, without I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from gate.domain.canonical import canonical
from gate.domain.dataset import DatasetVersion
from gate.domain.decision import Use
from gate.domain.instants import checked_instant, format_instant, parse_instant
from gate.errors import InputError, PermitRefused
from gate.permits.envelope import refusal, seal, unseal
from gate.permits.keys import PublicKey, SigningKey

PAYLOAD_TYPE = "application/vnd.consent-gate.permit.v1+json"
CLOCK_SKEW = timedelta(seconds=30)  # how far `issued_at` may lie ahead of the verifier's clock; none on expiry

FactsFrom = Literal["worker_asserted", "trusted_scanner"]

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_ROOT = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TEXTS = ("permit_id", "ledger_origin", "decision_digest", "policy_digest", "dag_id", "run_id", "task_id")


@dataclass(frozen=True, slots=True)
class Permit:
    """A short-lived statement that binds one allow-decision to its run, consuming task, data and use.

    Attributes:
        permit_id: a lower-case UUID (version 4).
        ledger_origin: which ledger holds the decision.
        decision_index, decision_digest: its entry there.
        checkpoint: ledger size and root (64 hex digits) the decision rests on.
        datasets: the versions that may be read, at least one, none twice.
        dag_id, run_id, task_id: the task that may read them.
        facts_from: who looked at the data.
        issued_at, expires_at: valid in [issued_at, expires_at).
        v: version of this statement.
        gate_dag_id: the DAG the gate ran in, where that is another one; `run_id` is then a run of that DAG, and the
            consuming task's own run must have been triggered by it.
        override: ledger index of the break-glass this permit rests on.
        offline: it may be used where the service cannot be asked. A break-glass never may.

    The last three are left out of the payload when unset.

    Raises:
        InputError: a field that no permit could have.
    """

    permit_id: str
    ledger_origin: str
    decision_index: int
    decision_digest: str
    checkpoint: tuple[int, str]
    policy_digest: str
    use: Use
    datasets: tuple[DatasetVersion, ...]
    dag_id: str
    run_id: str
    task_id: str
    facts_from: FactsFrom
    issued_at: datetime
    expires_at: datetime
    v: int = 1
    gate_dag_id: str | None = None
    override: int | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        size, root = self.checkpoint
        wrong = {
            "v": type(self.v) is not int or self.v != 1,
            **{name: not is_text(getattr(self, name)) for name in _TEXTS},
            "decision_index": not is_count(self.decision_index),
            "checkpoint": not (is_count(size) and is_root(root)),
            "use": not all(value is None or is_text(value) for value in self.use.to_dict().values()),
            "datasets": not _are_versions(self.datasets),
            "facts_from": self.facts_from not in get_args(FactsFrom),
            "expires_at": checked_instant(self.expires_at) <= checked_instant(self.issued_at),
        }
        wrong["gate_dag_id"] = self.gate_dag_id is not None and not (
            is_text(self.gate_dag_id) and self.gate_dag_id != self.dag_id
        )
        wrong["override"] = self.override is not None and not is_count(self.override)
        wrong["offline"] = type(self.offline) is not bool or (self.offline and self.override is not None)
        wrong["permit_id"] = not is_permit_id(self.permit_id)
        for name in ("decision_digest", "policy_digest"):
            wrong[name] = wrong[name] or not _DIGEST.fullmatch(getattr(self, name))
        for name, bad in wrong.items():
            if bad:
                raise InputError("is not what a permit can hold", where=f"permit.{name}")

    def to_payload(self) -> bytes:
        """Return the canonical bytes that are signed."""
        optional = {"gate_dag_id": self.gate_dag_id, "override": self.override, "offline": self.offline or None}
        return canonical(
            {
                "v": self.v,
                **{name: getattr(self, name) for name in _TEXTS},
                "decision_index": self.decision_index,
                "checkpoint": {"size": self.checkpoint[0], "root": self.checkpoint[1]},
                "use": self.use.to_dict(),
                "datasets": [version.to_dict() for version in self.datasets],
                "facts_from": self.facts_from,
                "issued_at": format_instant(self.issued_at),
                "expires_at": format_instant(self.expires_at),
                **{name: value for name, value in optional.items() if value is not None},
            }
        )

    @classmethod
    def from_payload(cls, payload: bytes) -> Permit:
        """Read what `to_payload` wrote, and nothing else: other spellings of the same permit are refused.

        Raises:
            PermitRefused: `permit_mismatch`.
        """
        try:
            permit = cls._from_fields(json.loads(payload))
            if permit.to_payload() == payload:
                return permit
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InputError):
            pass
        raise refusal("its payload is not a version 1 permit", "permit")

    @classmethod
    def _from_fields(cls, data: Mapping[str, Any]) -> Permit:
        return cls(
            **{name: data[name] for name in _TEXTS},
            v=data["v"],
            decision_index=data["decision_index"],
            checkpoint=(data["checkpoint"]["size"], data["checkpoint"]["root"]),
            use=Use.from_dict(data["use"]),
            datasets=tuple(DatasetVersion.from_dict(version) for version in data["datasets"]),
            facts_from=data["facts_from"],
            issued_at=parse_instant(data["issued_at"]),
            expires_at=parse_instant(data["expires_at"]),
            gate_dag_id=data.get("gate_dag_id"),
            override=data.get("override"),
            offline=data.get("offline", False),
        )


def issue(permit: Permit, key: SigningKey) -> dict[str, Any]:
    """Sign a permit into its DSSE envelope."""
    return seal(permit.to_payload(), PAYLOAD_TYPE, key)


def verify_permit(
    envelope: Mapping[str, Any] | None,
    keys: Sequence[PublicKey],
    *,
    now: datetime,
    dag_id: str | None = None,
    run_id: str | None = None,
    task_id: str | None = None,
    use: Use | None = None,
    datasets: Iterable[DatasetVersion] | None = None,
    ledger_origin: str | None = None,
    gate_dag_id: str | None = None,
    offline: bool = False,
) -> Permit:
    """Return the permit if it is genuine, in time, and bound to everything that is given.

    It says nothing about what the ledger learned since: redeeming does.

    Args:
        envelope: what `issue` returned, from anywhere; `None` when there is none.
        keys: the pinned public keys.
        now: the moment of the check, with a zone.
        dag_id: expected DAG; this and the following bind only when given.
        run_id: expected run.
        task_id: expected consuming task.
        use: expected use, equal in every part.
        datasets: exactly the versions about to be read, compared by namespace, name and digest.
        ledger_origin: expected ledger.
        gate_dag_id: the other DAG whose gate is expected to have decided. This binds always: `None` expects the
            consuming task's own DAG, so that nobody takes a run of one DAG for a run of another by omission.
        offline: demand that the permit may be used without the service.

    Raises:
        PermitRefused: `permit_missing`, `permit_expired`, or `permit_mismatch` naming the binding that differs.
    """
    if envelope is None:
        raise PermitRefused("there is no permit", hint="run the consent gate before this task", reason="permit_missing")
    permit = open_permit(envelope, keys)
    bound = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "use": use, "ledger_origin": ledger_origin}
    check_bindings(permit, now=now, gate_dag_id=gate_dag_id, **bound)
    if offline and not permit.offline:
        hint = "redeem it with the service; only a policy row that says `offline: true` allows to do without"
        raise refusal("it may not be used offline", "permit.offline", hint=hint)
    if datasets is not None:
        _check_datasets(permit, tuple(datasets))
    return permit


def open_permit(envelope: Mapping[str, Any], keys: Sequence[PublicKey]) -> Permit:
    """Read a genuine permit, whatever it is for and however old.

    Raises:
        PermitRefused: no pinned key signed it, or it is no permit.
    """
    return Permit.from_payload(unseal(envelope, PAYLOAD_TYPE, keys))


def check_bindings(permit: Permit, *, now: datetime, gate_dag_id: str | None, **bound: object) -> None:
    """Refuse a genuine permit that is out of time, or not for what is given.

    Args:
        permit: from `open_permit`.
        now, gate_dag_id: as for `verify_permit`.
        bound: expected values of its fields; `None` binds nothing.

    Raises:
        PermitRefused: as `verify_permit`.
    """
    _check_time(permit, checked_instant(now, "now"))
    for name, value in bound.items():
        if value is not None and value != getattr(permit, name):
            raise refusal(_difference(name, getattr(permit, name), value), f"permit.{name}")
    if permit.gate_dag_id != gate_dag_id:
        raise refusal(_difference("gate_dag_id", permit.gate_dag_id, gate_dag_id), "permit.gate_dag_id")


def is_text(value: object) -> bool:
    """Whether a field of a signed statement is text that says something."""
    return isinstance(value, str) and value != ""


def is_count(value: object) -> bool:
    """Whether a field of a signed statement counts something."""
    return type(value) is int and value >= 0  # `True` is an int, and no count


def is_permit_id(value: object) -> bool:
    """Whether a field of a signed statement names a permit."""
    return isinstance(value, str) and _UUID4.fullmatch(value) is not None


def is_root(value: object) -> bool:
    """Whether a field of a signed statement is the root of a ledger."""
    return isinstance(value, str) and _ROOT.fullmatch(value) is not None


def _are_versions(versions: tuple[DatasetVersion, ...]) -> bool:
    sound = all(
        _DIGEST.fullmatch(version.digest)
        and is_count(version.files)
        and is_count(version.size)
        and all(text is None or is_text(text) for text in (version.dataset.category_column, version.subset_of))
        for version in versions
    )
    return sound and 0 < len(versions) == len({version.key for version in versions})


def _check_time(permit: Permit, now: datetime) -> None:
    if now >= permit.expires_at:
        raise PermitRefused(
            f"the permit expired at {format_instant(permit.expires_at)}",
            hint="clear the consent gate's task so that it decides again",
            reason="permit_expired",
        )
    if now < permit.issued_at - CLOCK_SKEW:
        raise refusal(
            f"it was issued at {format_instant(permit.issued_at)}, which has not come yet",
            "permit.issued_at",
            hint="compare the clocks of this machine and the gate's",
        )


def _check_datasets(permit: Permit, datasets: tuple[DatasetVersion, ...]) -> None:
    allowed = {version.key: version for version in permit.datasets}
    wanted = {version.key: version for version in datasets}
    for key in sorted(wanted.keys() - allowed.keys()):
        version = wanted[key]
        same_name = any(version.dataset.uri == other.dataset.uri for other in permit.datasets)
        what = "holds other bytes than were permitted" if same_name else "is not among those permitted"
        raise refusal(f"dataset {version.dataset.uri} {what}", "permit.datasets")
    for key in sorted(allowed.keys() - wanted.keys()):
        raise refusal(f"it is for dataset {allowed[key].dataset.uri} too, which is not asked for", "permit.datasets")


def _difference(name: str, permitted: object, wanted: object) -> str:
    if isinstance(permitted, Use) and isinstance(wanted, Use):
        theirs, ours = permitted.to_dict(), wanted.to_dict()
        name = next(field for field in theirs if theirs[field] != ours[field])
        permitted, wanted = theirs[name], ours[name]
    return f"it is for {name} {permitted!r}, not {wanted!r}"
