"""What a decision is asked with and what comes back: values that travel between worker and decision service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gate.domain.dataset import DatasetVersion
from gate.domain.decision import Decision, decision_from_dict
from gate.domain.run import TaskRun
from gate.domain.words import Verdict
from gate.errors import InputError


@dataclass(frozen=True, slots=True)
class LineageRun:
    """The OpenLineage job and run under which the decision's event appears."""

    namespace: str
    job: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for a decision, and what for.

    Attributes:
        run: the gate task's own try; asking again under the same try gets the recorded answer.
        consumers: ids of the training tasks of the same run that will consume the data; each gets a permit.
        by: who asks; see `recorded_actor`. A decision service takes it from the caller's token instead.
        via: how the question came in, such as `airflow`.
        lineage: where the decision's event belongs; derived from `run` when omitted.
        elsewhere: (DAG id, task id) of training tasks in DAGs that this run triggers; each gets a permit too.
    """

    run: TaskRun
    consumers: tuple[str, ...]
    by: str
    via: str
    lineage: LineageRun | None = None
    elsewhere: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields, without who asks: the receiver knows that better."""
        where = self.lineage
        return {
            "run": self.run.to_dict(),
            "consumers": list(self.consumers),
            "lineage": where and {"namespace": where.namespace, "job": where.job, "run_id": where.run_id},
            "elsewhere": [list(pair) for pair in self.elsewhere],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, by: str, via: str) -> Asking:
        """Read what `to_dict` wrote."""
        where = data["lineage"]
        return cls(
            TaskRun.from_dict(data["run"]),
            tuple(data["consumers"]),
            by,
            via,
            LineageRun(**where) if where else None,
            tuple((dag_id, task_id) for dag_id, task_id in data["elsewhere"]),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """A recorded decision.

    Attributes:
        record: the ledger entry's body: everything that is known of the decision, JSON-ready.
        index: its ledger index.
        digest: digest of its ledger entry.
        permits: signed envelopes by consuming task id (`DAG:TASK` for one in another DAG); empty when blocked.
        permit_ids: the permits' ids.
    """

    record: Mapping[str, Any]
    index: int
    digest: str
    permits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    permit_ids: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the verdict is allow."""
        return bool(self.record["decision"]["verdict"] == Verdict.ALLOW.value)

    @property
    def passes(self) -> bool:
        """Whether the run may go on: allowed, or let through by an override or by the mode `observe`."""
        return self.allowed or self.override is not None or self.observed

    @property
    def observed(self) -> bool:
        """Whether the mode `observe` lets a block pass; the models that come of it are unpermitted."""
        return bool(self.record.get("observed", False))

    @property
    def task_id(self) -> str:
        """The gate's task id, with what `gate.service.decisions` appends where one try decides more than once."""
        return str(self.record["run"]["task_id"])

    @property
    def mode(self) -> str:
        """The mode the decision was made in."""
        return str(self.record.get("mode", "enforce"))

    @property
    def override(self) -> int | None:
        """Ledger index of the break-glass that lets a block pass, if one does."""
        return self.record.get("override")

    @property
    def decision(self) -> Decision:
        """The decision as a value."""
        return decision_from_dict(self.record["decision"])

    @property
    def versions(self) -> tuple[DatasetVersion, ...]:
        """The dataset versions the decision is about."""
        return tuple(DatasetVersion.from_dict(item["version"]) for item in self.record["datasets"])

    @property
    def checkpoint(self) -> tuple[int, str]:
        """Ledger size and root the decision rests on."""
        return self.record["checkpoint"]["size"], self.record["checkpoint"]["root"]

    @property
    def reasons(self) -> list[str]:
        """Reason codes of what blocks, sorted."""
        return list(self.record["decision"]["reasons"])

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "record": self.record,
            "index": self.index,
            "digest": self.digest,
            "permits": self.permits,
            "permit_ids": list(self.permit_ids),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """Read what `to_dict` wrote."""
        return cls(data["record"], data["index"], data["digest"], data["permits"], tuple(data["permit_ids"]))


def parse_consumer(text: str) -> tuple[str, str]:
    """Read `DAG:TASK`, a training task in another DAG; neither id can hold a colon.

    Raises:
        InputError: not of that form.
    """
    dag_id, colon, task_id = text.partition(":")
    if not (dag_id and colon and task_id) or ":" in task_id:
        raise InputError(f"{text!r} names no task of another DAG", where="permits", hint="like train_summary:train")
    return dag_id, task_id


def consumer_names(consumers: Sequence[str], elsewhere: Sequence[tuple[str, str]]) -> list[str]:
    """Name consumers as the keys of `Outcome.permits` do."""
    return [*consumers, *(f"{dag_id}:{task_id}" for dag_id, task_id in elsewhere)]
