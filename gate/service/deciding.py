"""Decide: gather facts, evaluate, append decision, permits and event in one transaction, then deliver the event."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gate.domain.canonical import canonical, sha256_hex
from gate.domain.dataset import Dataset, DatasetVersion
from gate.domain.decision import Decision, WantedUse, decision_from_dict
from gate.domain.instants import format_instant
from gate.domain.run import TaskRun
from gate.domain.words import TRAINING_PURPOSES, Verdict
from gate.errors import InputError
from gate.ledger.snapshots import next_change
from gate.ledger.store import Entry, Reader, Transaction
from gate.lineage.events import decision_event
from gate.permits.keys import SigningKey
from gate.permits.permit import Permit, issue
from gate.policy.evaluate import evaluate
from gate.scan.coverage import account_ids, account_rows
from gate.service.actors import recorded_actor
from gate.service.core import Service
from gate.service.delivery import deliver_outbox
from gate.service.facts import Gathered, check_unchanged, gather, scratch

PERMIT_LIFETIME = timedelta(hours=1)  # training that queues longer runs its gate again
SUBSET = "#subset"  # after the gate's task id: its decision about the consented subset
TOP_ACCOUNTS = 100  # accounts named per finding in the erasable detail; counts are exact beyond it


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
        by: who asks; see `recorded_actor`.
        via: how the question came in, such as `airflow`.
        lineage: where the decision's event belongs; derived from `run` when omitted.
    """

    run: TaskRun
    consumers: tuple[str, ...]
    by: str
    via: str
    lineage: LineageRun | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A recorded decision.

    Attributes:
        record: the ledger entry's body: everything that is known of the decision, JSON-ready.
        index: its ledger index.
        digest: digest of its ledger entry.
        permits: signed envelopes by consuming task id; empty when blocked.
        permit_ids: the permits' ids.
    """

    record: Mapping[str, Any]
    index: int
    digest: str
    permits: Mapping[str, Mapping[str, Any]]
    permit_ids: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the verdict is allow."""
        return bool(self.record["decision"]["verdict"] == Verdict.ALLOW.value)

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


def decide(service: Service, datasets: Sequence[Dataset], wanted: WantedUse, asking: Asking) -> Outcome:
    """Decide whether a run may use the datasets, and record the answer before anybody acts on it.

    The same try of the same task asking again gets the recorded answer: a process that died in the middle leaves
    no second entry behind.

    Raises:
        InputError: no datasets.
        DatasetError: a dataset cannot be read.
        LedgerUnavailable: the ledger cannot be read or written.
    """
    if not datasets:
        raise InputError("no datasets to decide about", where="datasets", hint="name at least one")
    now = service.clock()
    with service.ledger.read() as reader:
        entry = reader.find("decision", asking.run.key)
    if entry is None:
        with scratch() as folder:
            gathered = gather(service, list(dict.fromkeys(datasets)), wanted, now=now, folder=Path(folder))
            decision = evaluate(gathered.policy, gathered.facts, gathered.use, now)
            entry = _record(service, gathered, decision, asking)
    deliver_outbox(service)
    return read_outcome(service, entry)


def check(
    service: Service,
    datasets: Sequence[Dataset],
    wanted: WantedUse,
    **assumed: Any,
) -> tuple[Decision, Gathered]:
    """Give the answer `decide` would give now, recording nothing.

    Args:
        assumed: `policy` and `claimed` categories as in `gather`.

    Returns:
        The decision and the facts behind it; the facts' snapshot file is gone by then.
    """
    now = service.clock()
    with scratch() as folder:
        gathered = gather(service, datasets, wanted, now=now, folder=Path(folder), **assumed)
        return evaluate(gathered.policy, gathered.facts, gathered.use, now), gathered


def _record(service: Service, gathered: Gathered, decision: Decision, asking: Asking) -> Entry:
    """Append decision, permits and event in one transaction."""
    now, key = decision.decided_at, service.key
    lacking, blocked = _lacking_accounts(gathered, decision), blocked_accounts(gathered, decision)
    names = _permitted_names(gathered) if decision.verdict is Verdict.ALLOW else []
    until = _stands_until(gathered, names, now)
    check_unchanged(gathered)  # the accounts that a permit names were read after the count
    with service.ledger.write() as tx:
        actor = recorded_actor(tx, asking.by)
        refs = tx.commit_refs("account", {*names, *(name for top in lacking for name, _ in top["accounts"])})
        detail = [{**top, "accounts": [[refs[name], rows] for name, rows in top["accounts"]]} for top in lacking]
        body = {
            **_statement(gathered, decision),
            "accounts_blocked": blocked,
            "stands_until": until and format_instant(until),
            "run": asking.run.to_dict(),
            "consumers": list(asking.consumers),
            "accounts": tx.attach(_account_set(refs[name] for name in names), "application/octet-stream"),
            "detail": tx.attach(canonical(detail), "application/json"),
        }
        entry, new = tx.append("decision", asking.run.key, body, recorded_at=now, by=actor, via=asking.via)
        if new:
            expires = min(filter(None, (now + PERMIT_LIFETIME, until)))
            permit_ids = _append_permits(tx, entry, gathered, decision, key, expires)
            where = asking.lineage or _own_lineage(asking.run)
            event = _event(gathered, decision, entry, permit_ids, where, tx.origin)
            tx.outbox_put(f"decision/{entry.idx}", json.dumps(event, sort_keys=True))
    return entry


def _statement(gathered: Gathered, decision: Decision) -> dict[str, Any]:
    """Return what the ledger keeps of a decision, personal data left out."""
    return {
        "decision": decision.to_dict(),
        "datasets": [
            {
                "version": tag.version.to_dict(),
                "categories": sorted(tag.categories),
                "sources": [list(pair) for pair in tag.sources],
                "tags": list(tag.entries),
                "notes": list(tag.notes),
            }
            for tag in gathered.tagged
        ],
        "checkpoint": {"size": gathered.size, "root": gathered.root.hex()},
        "rows_blocked": decision.rows_blocked,
        "facts_from": "worker_asserted",
    }


def _event(
    gathered: Gathered, decision: Decision, entry: Entry, permit_ids: list[str], where: LineageRun, origin: str
) -> dict[str, Any]:
    from gate.lineage.facets import Tagging

    return decision_event(
        decision,
        [tag.version for tag in gathered.tagged],
        namespace=where.namespace,
        job=where.job,
        run_id=where.run_id,
        decision_index=entry.idx,
        decision_digest=sha256_hex(entry.payload),
        checkpoint=(gathered.size, gathered.root.hex()),
        permit_ids=permit_ids,
        ledger_origin=origin,
        taggings={tag.version.key: Tagging(tag.sources, tag.entries) for tag in gathered.tagged},
    )


def _stands_until(gathered: Gathered, names: Sequence[str], now: datetime) -> datetime | None:
    """Return when the answer may change by time alone: a consent of these accounts, or a policy row, starts or ends."""
    rows = (boundary for boundary in gathered.policy.boundaries if boundary > now)
    change = next_change(gathered.snapshot, names) if names else None
    return min(filter(None, (change, next(rows, None))), default=None)


def _append_permits(
    tx: Transaction, entry: Entry, gathered: Gathered, decision: Decision, key: SigningKey, expires: datetime
) -> list[str]:
    """Issue one permit per consuming task of an allow-decision for training; other uses need none."""
    if decision.verdict is not Verdict.ALLOW or decision.use.purpose not in TRAINING_PURPOSES:
        return []
    run, now = TaskRun.from_dict(entry.body["run"]), decision.decided_at
    ids = []
    for task_id in entry.body["consumers"]:
        permit = Permit(
            permit_id=str(uuid.uuid4()),
            ledger_origin=tx.origin,
            decision_index=entry.idx,
            decision_digest=sha256_hex(entry.payload),
            checkpoint=(gathered.size, gathered.root.hex()),
            policy_digest=decision.policy_digest,
            use=decision.use,
            datasets=tuple(tag.version for tag in gathered.tagged),
            dag_id=run.dag_id,
            run_id=run.run_id,
            task_id=task_id,
            facts_from="worker_asserted",
            issued_at=now,
            expires_at=expires,
        )
        body = {"permit_id": permit.permit_id, "decision": entry.idx, "envelope": issue(permit, key)}
        subject = permit_subject(run.dag_id, run.run_id, task_id, entry.idx)
        tx.append("permit", subject, body, recorded_at=now, by=entry.by, via=entry.via)
        ids.append(permit.permit_id)
    return ids


def permit_subject(dag_id: str, run_id: str, task_id: str, decision_index: int | None = None) -> str:
    """Return the ledger subject of a permit, or without an index the prefix of all of a task's permits."""
    prefix = canonical([dag_id, run_id, task_id]).decode() + "/"
    return prefix if decision_index is None else f"{prefix}{decision_index}"


def _own_lineage(run: TaskRun) -> LineageRun:
    return LineageRun("consent-gate", f"{run.dag_id}.{run.task_id}", str(uuid.uuid5(uuid.NAMESPACE_URL, run.key)))


def _permitted_names(gathered: Gathered) -> list[str]:
    return sorted({name for tag in gathered.tagged for name in account_ids(tag.version.dataset)})


def _account_set(refs: Any) -> bytes:
    """Serialise account refs: 32 bytes each, sorted, so that membership is a binary search."""
    return b"".join(sorted(bytes.fromhex(ref) for ref in refs))


def blocked_accounts(gathered: Gathered, decision: Decision) -> int:
    """Count the distinct accounts that lack something; one that does so in three datasets counts once."""
    if len(gathered.tagged) == 1:
        return decision.accounts_blocked
    names: set[str] = set()
    for index, tag in enumerate(gathered.tagged):
        numbers = gathered.numbers[index]
        failing = [numbers[group] for group in range(len(numbers)) if group not in decision.passing[index]]
        rows = account_rows(tag.version.dataset, str(gathered.snapshot.path), failing, limit=None)
        names.update(name for name, _ in rows)
    return len(names)


def _lacking_accounts(gathered: Gathered, decision: Decision) -> list[dict[str, Any]]:
    """Name, per blocking finding, the accounts with the most rows: for reviewers, kept erasable beside the entry."""
    place = {facts.dataset: index for index, facts in enumerate(gathered.facts.datasets)}
    tops = []
    for number, finding in enumerate(decision.findings):
        if finding.verdict is Verdict.ALLOW or not finding.groups:
            continue
        index = place[finding.dataset]
        dataset = gathered.tagged[index].version.dataset
        groups = [gathered.numbers[index][group] for group in finding.groups]
        category = finding.category if dataset.category_column else None
        top = account_rows(dataset, str(gathered.snapshot.path), groups, category=category, limit=TOP_ACCOUNTS)
        tops.append({"finding": number, "accounts": [(name, rows) for name, rows in top]})
    return tops


def read_outcome(service: Service, entry: Entry) -> Outcome:
    """Return a recorded decision with its permits."""
    run = TaskRun.from_dict(entry.body["run"])
    with service.ledger.read() as reader:
        found = {
            task_id: permit.body
            for task_id in entry.body["consumers"]
            if (permit := reader.find("permit", permit_subject(run.dag_id, run.run_id, task_id, entry.idx)))
        }
    return Outcome(
        record=entry.body,
        index=entry.idx,
        digest=sha256_hex(entry.payload),
        permits={task_id: body["envelope"] for task_id, body in found.items()},
        permit_ids=tuple(body["permit_id"] for body in found.values()),
    )


def decision_of_run(service: Service, dag_id: str, run_id: str) -> Outcome | None:
    """Return the newest decision of a DAG run."""
    prefix = canonical([dag_id, run_id]).decode()[:-1] + ","
    with service.ledger.read() as reader:
        entry = reader.latest("decision", prefix)
    return None if entry is None else read_outcome(service, entry)


def lacking_accounts(reader: Reader, entry: Entry) -> list[tuple[int, list[tuple[str | None, int]]]]:
    """Return, per finding number, the accounts with the most rows; an erased account is `None`."""
    content = reader.attachment(entry.body["detail"])
    detail = json.loads(content) if content else []
    return [(top["finding"], [(reader.open_ref(ref), rows) for ref, rows in top["accounts"]]) for top in detail]
