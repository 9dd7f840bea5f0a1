"""What an answer about impact looks like: the same JSON for command line, API and page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gate.domain.dataset import dataset
from gate.domain.instants import format_instant
from gate.domain.run import TaskRun
from gate.ledger.store import Entry, Reader
from gate.service.impact_derived import LineageRun, Made, Reached, models
from gate.service.impact_ledger import Decisions, Start, VersionKey

HELD, DERIVED = "held", "derived"


def shown(
    reader: Reader, decisions: Decisions, reached: Reached, told: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the parts of an answer, each sorted, and how many there are of each.

    Args:
        reader: the ledger.
        decisions: its decisions.
        reached: what holds the data or came of it.
        told: `then` and `now` by decision.
    """
    starts = reached.starts(decisions)
    parts = {
        "versions": _versions(decisions, reached),
        "decisions": [
            {**_decision(decisions, e), "how": _how(reached, e.idx), **told[e.idx]} for e in reached.decisions.values()
        ],
        "runs": _runs(reached, starts),
        "models": _models(reached, starts, _attested(reader, decisions)),
    }
    return {
        "counts": {
            **{name: len(listed) for name, listed in parts.items()},
            "not_rightly": sum(one["then"]["rightly"] is False for one in parts["decisions"]),
            "blocked_now": sum(one["now"]["verdict"] == "block" for one in parts["decisions"]),
        },
        **parts,
    }


def _how(reached: Reached, index: int) -> str:
    return HELD if index in reached.held else DERIVED


def _decision(decisions: Decisions, entry: Entry) -> dict[str, Any]:
    body = entry.body
    use = body["decision"]["use"]
    run = {**body["run"], "task_id": body["run"]["task_id"].partition("#")[0]}
    return {
        "index": entry.idx,
        "decided_at": body["decision"]["decided_at"],
        **run,
        "verdict": body["decision"]["verdict"],
        "observed": body.get("observed", False),
        "override": body.get("override"),
        **{name: use[name] for name in ("purpose", "feature", "model", "ownership")},
        "rows": sorted({one["row"] for one in body["decision"]["findings"] if one["row"]}),
        "datasets": [list(key) for key in decisions.keys(entry)],
    }


def _versions(decisions: Decisions, reached: Reached) -> list[dict[str, Any]]:
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entry in reached.decisions.values():
        free = entry.idx in reached.derived
        for item, key in zip(entry.body["datasets"], decisions.keys(entry), strict=True):
            if key in reached.acquitted:
                continue
            one = found.setdefault(key, _version(key, item["categories"], DERIVED if free else HELD))
            one["subset_of"] = item["version"]["subset_of"]
            one["decisions"].append(entry.idx)
    for made in reached.versions.values():
        one = found.setdefault(made.key, _version(made.key, made.categories, DERIVED))
        one["model"] = made.is_model
        one["how"] = HELD if made.key in reached.seeds else one["how"]
    return [found[key] for key in sorted(found)]


def _version(key: tuple[str, str, str], categories: Any, how: str) -> dict[str, Any]:
    namespace, name, digest = key
    return {
        "namespace": namespace,
        "name": name,
        "version": digest,
        "categories": sorted(categories),
        "subset_of": None,
        "model": False,
        "decisions": [],
        "how": how,
    }


def _runs(reached: Reached, starts: list[Start]) -> list[dict[str, Any]]:
    """Return trainings as the ledger knows them, each with its run in lineage, then the other runs that read it."""
    lineage = {run.key: run for run in reached.runs.values() if run.key is not None}
    listed = [_run(start.run, start, lineage.pop(_try(start.run), None), reached) for start in starts]
    taken = {one["lineage_run"] for one in listed}
    others = sorted((run for run in reached.runs.values() if run.id not in taken), key=lambda run: run.id)
    return [*listed, *(_run(None, None, run, reached) for run in others)]


def _run(run: TaskRun | None, start: Start | None, lineage: LineageRun | None, reached: Reached) -> dict[str, Any]:
    said = lineage.airflow if lineage else {}
    names = ("dag_id", "run_id", "task_id", "map_index", "try_number")
    return {
        **{name: getattr(run, name) if run else said.get(name) for name in names},
        "start": start and start.index,
        "decision": start and start.decision,
        "started_at": start and format_instant(start.at),
        "observed": bool(start and start.observed),
        "lineage_run": lineage and lineage.id,
        "job": (lineage and lineage.job) or None,
        "how": _how(reached, start.decision) if start else None,
    }


def _attested(reader: Reader, decisions: Decisions) -> dict[int, dict[VersionKey, int]]:
    """Return, by the start of a training, the models that were attested to it, with the attestations' indices."""
    found: dict[int, dict[VersionKey, int]] = {}
    for entry in reader.entries("attestation", stop=decisions.stop):
        model = dataset(entry.body["model"]["uri"])
        key = model.namespace, model.name, entry.body["model"]["digest"]
        found.setdefault(entry.body["redemption"], {})[key] = entry.idx
    return found


def _models(
    reached: Reached, starts: list[Start], attested: Mapping[int, Mapping[VersionKey, int]]
) -> list[dict[str, Any]]:
    """Return the models: attested, or seen by lineage; and trainings that started, but whose model nobody saw."""
    lineage = {made.key: made for made in models(reached)}
    wrote: dict[tuple[Any, ...], set[VersionKey]] = {}
    for made in lineage.values():
        for run in made.runs:
            if run.key is not None:
                wrote.setdefault(run.key, set()).add(made.key)
    found: list[dict[str, Any]] = []
    told: set[VersionKey] = set()
    for start in starts:
        mine = attested.get(start.index, {})
        own = wrote.get(_try(start.run), set()) | mine.keys()
        told |= own
        found += [_model(reached, key, lineage.get(key), start, mine.get(key)) for key in sorted(own)]
        if not own:
            found.append(_model(reached, None, None, start))
    others = (key for key in sorted(lineage) if key not in told)
    return found + [_model(reached, key, lineage[key], None) for key in others]


def _model(
    reached: Reached, key: VersionKey | None, made: Made | None, start: Start | None, attestation: int | None = None
) -> dict[str, Any]:
    use = reached.decisions[start.decision].body["decision"]["use"] if start else {}
    run = start.run.to_dict() if start else (dict(made.runs[0].airflow) if made and made.runs else None)
    namespace, name, version = key or (None, None, None)
    return {
        "model": use.get("model") or (made and made.model),
        "namespace": namespace,
        "name": name,
        "version": version,
        "start": start and start.index,
        "attestation": attestation,
        "trained_at": start and format_instant(start.at),
        "run": run,
        "how": _how(reached, start.decision) if start else DERIVED,
    }


def _try(run: TaskRun) -> tuple[Any, ...]:
    return run.dag_id, run.run_id, run.task_id, run.map_index, run.try_number
