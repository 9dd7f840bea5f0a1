"""Decide: look at the data, evaluate, append decision, permits and event in one transaction, then deliver the event."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from gate.domain.canonical import canonical, sha256_hex
from gate.domain.dataset import Dataset
from gate.domain.decision import Decision, WantedUse
from gate.domain.instants import format_instant, parse_instant
from gate.domain.run import TaskRun
from gate.domain.words import Verdict
from gate.errors import Blocked, InputError
from gate.ledger.references import commit_refs, known_refs
from gate.ledger.snapshots import next_change
from gate.ledger.store import Entry
from gate.lineage.events import decision_event
from gate.policy.evaluate import evaluate
from gate.policy.offline import may_run_offline
from gate.scan.census import Look, look
from gate.scan.coverage import account_ids, account_rows
from gate.scan.spark.cluster import Spark
from gate.service.actors import recorded_actor
from gate.service.anchors import recording
from gate.service.core import Service
from gate.service.decisions import read_outcome, recorded_decision
from gate.service.delivery import deliver_outbox
from gate.service.facts import Gathered, gather, scratch
from gate.service.keyring import signing_key
from gate.service.modes import Mode, current_mode, observable
from gate.service.outcome import Asking, LineageRun, Outcome
from gate.service.overrides import overridable, override_for
from gate.service.permitting import PERMIT_LIFETIME, append_permits
from gate.service.ports import DecisionService

TOP_ACCOUNTS = 1000  # accounts named per finding in the erasable detail; counts are exact beyond it


def decide(
    service: DecisionService,
    datasets: Sequence[Dataset],
    wanted: WantedUse,
    asking: Asking,
    spark: Spark | None = None,
) -> Outcome:
    """Decide whether a run may use the datasets, and record the answer before anybody acts on it.

    The same try of the same task asking again gets the recorded answer: a process that died in the middle leaves
    no second entry behind.

    Args:
        service: the embedded service, or a remote one; the data is looked at here in both cases.
        datasets: what the run will read.
        wanted: the use.
        asking: who asks.
        spark: count there.

    Raises:
        InputError: no datasets.
        DatasetError: a dataset cannot be read.
        LedgerUnavailable: the ledger cannot be read or written.
    """
    if not datasets:
        raise InputError("no datasets to decide about", where="datasets", hint="name at least one")
    recorded = service.recorded_decision(asking.run)
    if recorded is not None:
        return recorded
    with scratch() as folder:
        looks = [look(dataset, Path(folder), spark) for dataset in dict.fromkeys(datasets)]
        return service.record_decision(looks, wanted, asking)


def preview(
    service: DecisionService, datasets: Sequence[Dataset], wanted: WantedUse, spark: Spark | None = None
) -> tuple[int, Decision]:
    """Give the answer `decide` would give now, recording nothing.

    Returns:
        The ledger's size, and the decision.
    """
    with scratch() as folder:
        return service.preview([look(dataset, Path(folder), spark) for dataset in datasets], wanted)


def check(
    service: Service,
    datasets: Sequence[Dataset],
    wanted: WantedUse,
    spark: Spark | None = None,
    **assumed: Any,
) -> tuple[Decision, Gathered]:
    """Give the answer `decide` would give now under other assumptions, recording nothing.

    Args:
        service: holds the ledger.
        datasets: what would be read.
        wanted: the use.
        spark: count there.
        assumed: `policy` and `claimed` categories as in `gather`.

    Returns:
        The decision and the facts behind it; their files are gone by then.
    """
    with scratch() as folder:
        looks = [look(dataset, Path(folder), spark) for dataset in datasets]
        gathered, decision = evaluate_looks(service, looks, wanted, Path(folder), **assumed)
        return decision, gathered


def evaluate_looks(
    service: Service, looks: Sequence[Look], wanted: WantedUse, folder: Path, **assumed: Any
) -> tuple[Gathered, Decision]:
    """Gather facts and evaluate them, recording nothing."""
    now = service.now()
    gathered = gather(service, looks, wanted, now=now, folder=folder, **assumed)
    return gathered, evaluate(gathered.policy, gathered.facts, gathered.use, now)


def record_decision(service: Service, looks: Sequence[Look], wanted: WantedUse, asking: Asking) -> Outcome:
    """Decide about what a worker saw, and record the answer; a try that asked before gets what it got then.

    Raises:
        LedgerUnavailable: the ledger cannot be read or written.
    """
    if not looks:
        raise InputError("no datasets to decide about", where="datasets", hint="name at least one")
    with scratch() as folder:
        gathered, decision = evaluate_looks(service, looks, wanted, Path(folder))
        _record(service, gathered, decision, asking)
    deliver_outbox(service)
    with service.ledger.read() as reader:
        outcome = recorded_decision(reader, asking.run)
    if outcome is None:
        raise AssertionError("a decision that was appended is not there")
    return outcome


def _record(service: Service, gathered: Gathered, decision: Decision, asking: Asking) -> Entry:
    """Append decision, permits and event in one transaction."""
    lacking, blocked = _lacking_accounts(gathered, decision), blocked_accounts(gathered, decision)
    liftable = overridable(decision)
    names = _permitted_names(gathered) if decision.verdict is Verdict.ALLOW or liftable else []
    until = _stands_until(gathered, names, decision.decided_at)
    now = decision.decided_at
    told = {name for top in lacking for name, _ in top["accounts"]}
    with service.ledger.read() as reader:
        known = known_refs(reader, "account", {*names, *told})
    with recording(service) as tx:
        mode = current_mode(tx, now)
        override = override_for(tx, asking.run.dag_id, asking.run.run_id, now) if liftable else None
        observing = mode.mode is Mode.OBSERVE
        observed = observing and override is None and observable(decision)
        if observed:  # the training starts on the whole of it: a later withdrawal has to find everybody in it
            names = names or _permitted_names(gathered)
        actor = recorded_actor(tx, asking.by)
        refs = commit_refs(tx, "account", {*names, *told}, known)
        detail = [{**top, "accounts": [[refs[name], rows] for name, rows in top["accounts"]]} for top in lacking]
        body = {
            **_statement(gathered, decision),
            "accounts_blocked": blocked,
            "stands_until": until and format_instant(until),
            "run": asking.run.to_dict(),
            "consumers": list(asking.consumers),
            "elsewhere": [list(pair) for pair in asking.elsewhere],
            "mode": mode.mode.value,
            "observed": observed,
            "override": override and override.idx,
            "accounts": tx.attach(_account_set(refs[name] for name in names), "application/octet-stream"),
            "detail": tx.attach(canonical(detail), "application/json"),
        }
        entry, new = tx.append("decision", asking.run.key, body, recorded_at=now, by=actor, via=asking.via)
        if new:
            permit_ids = []
            if not observing and (override is not None or decision.verdict is Verdict.ALLOW):
                ends = None if override is None else parse_instant(override.body["expires_at"])
                expires = min(filter(None, (now + PERMIT_LIFETIME, until, ends)))
                key, offline = signing_key(service.settings, tx), may_run_offline(gathered.policy, decision)
                permit_ids = append_permits(tx, entry, gathered, decision, key, expires=expires, offline=offline)
            event = _event(gathered, decision, entry, permit_ids, asking.lineage or _own_lineage(asking.run), tx.origin)
            tx.outbox_put(f"decision/{entry.idx}", json.dumps(event, sort_keys=True))
    return entry


def passing(service: Service, looks: Sequence[Look], wanted: WantedUse, folder: Path) -> list[Path]:
    """Write, per dataset, which of its accounts pass: Parquet as `write_subset` reads it, group 1.

    Raises:
        Blocked: something else than missing consent blocks by now.
    """
    import pyarrow as pa
    from pyarrow import parquet

    gathered, decision = evaluate_looks(service, looks, wanted, folder)
    if not decision.subset_possible and decision.reasons:
        raise Blocked("no consented subset can be cut", reason=decision.reasons[0].value)
    paths = []
    for index, one in enumerate(gathered.looks):
        groups = [gathered.numbers[index][group] for group in decision.passing[index]]
        names = [name for name, _ in account_rows(one.census, gathered.snapshot_files, groups, limit=None)]
        path = folder / f"passing-{index}.parquet"
        columns = {"account_id": pa.array(names, pa.string()), "group": pa.array([1] * len(names), pa.int32())}
        parquet.write_table(pa.table(columns), path)
        paths.append(path)
    return paths


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
        mode=entry.body["mode"],
        override=entry.body["override"],
    )


def _stands_until(gathered: Gathered, names: Sequence[str], now: datetime) -> datetime | None:
    """Return when the answer may change by time alone: a consent, a policy row, a declassification."""
    rows = (boundary for boundary in gathered.policy.boundaries if boundary > now)
    change = next_change(gathered.snapshot, names) if names else None
    declassified = (tag.declassified_until for tag in gathered.tagged)
    return min(filter(None, (change, next(rows, None), *declassified)), default=None)


def _own_lineage(run: TaskRun) -> LineageRun:
    return LineageRun("consent-gate", f"{run.dag_id}.{run.task_id}", str(uuid.uuid5(uuid.NAMESPACE_URL, run.key)))


def _permitted_names(gathered: Gathered) -> list[str]:
    return sorted({name for one in gathered.looks for name in account_ids(one.census)})


def _account_set(refs: Any) -> bytes:
    """Serialise account refs: 32 bytes each, sorted, so that membership is a binary search."""
    return b"".join(sorted(bytes.fromhex(ref) for ref in refs))


def blocked_accounts(gathered: Gathered, decision: Decision) -> int:
    """Count the distinct accounts that lack something; one that does so in three datasets counts once."""
    if len(gathered.looks) == 1:
        return decision.accounts_blocked
    names: set[str] = set()
    for index, one in enumerate(gathered.looks):
        numbers = gathered.numbers[index]
        failing = [numbers[group] for group in range(len(numbers)) if group not in decision.passing[index]]
        names.update(name for name, _ in account_rows(one.census, gathered.snapshot_files, failing, limit=None))
    return len(names)


def _lacking_accounts(gathered: Gathered, decision: Decision) -> list[dict[str, Any]]:
    """Name, per blocking finding, the accounts with the most rows: for reviewers, kept erasable beside the entry."""
    place = {facts.dataset: index for index, facts in enumerate(gathered.facts.datasets)}
    tops = []
    for number, finding in enumerate(decision.findings):
        if finding.verdict is Verdict.ALLOW or not finding.groups:
            continue
        index = place[finding.dataset]
        census = gathered.looks[index].census
        groups = [gathered.numbers[index][group] for group in finding.groups]
        category = finding.category if census.dataset.category_column else None
        top = account_rows(census, gathered.snapshot_files, groups, category=category, limit=TOP_ACCOUNTS)
        tops.append({"finding": number, "accounts": [(name, rows) for name, rows in top]})
    return tops


def decision_of_run(service: Service, dag_id: str, run_id: str) -> Outcome | None:
    """Return the newest decision of a DAG run."""
    from gate.service import decisions

    with service.ledger.read() as reader:
        return decisions.decision_of_run(reader, dag_id, run_id)


__all__ = ["Asking", "LineageRun", "Outcome", "check", "decide", "preview", "read_outcome", "record_decision"]
