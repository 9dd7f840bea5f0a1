"""What came of data, by lineage and ledger together: copies, data made from it, runs that read it, models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gate.ledger.store import Entry
from gate.lineage.store.database import LineageStore
from gate.lineage.store.graph import FOREVER, Node, Part
from gate.lineage.store.ingest import version_key as lineage_key
from gate.lineage.store.lookup import nodes_by_id
from gate.lineage.store.onward import onward, permitted_runs, version_ids
from gate.service.impact_ledger import Decisions, Start, VersionKey, Whose, by_decision

MODEL = "MODEL"


@dataclass(frozen=True, slots=True)
class LineageRun:
    """A run as lineage knows it: its id, its job, and Airflow's names where its events told them."""

    id: str
    job: str
    airflow: Mapping[str, Any]

    @property
    def key(self) -> tuple[Any, ...] | None:
        """The task's try, as the ledger names it."""
        said = self.airflow
        if not all(isinstance(said.get(name), str) for name in ("dag_id", "run_id", "task_id")):
            return None
        return said["dag_id"], said["run_id"], said["task_id"], said.get("map_index", -1), said.get("try_number", 1)


@dataclass(frozen=True, slots=True)
class Made:
    """A version that came of it, or was read; `runs` wrote it. `model` is the id that it says it is of."""

    key: VersionKey
    is_model: bool
    model: str | None
    categories: tuple[str, ...]
    runs: tuple[LineageRun, ...]


@dataclass
class Reached:
    """Everything that holds data, or came of it.

    Attributes:
        held: decisions that hold it themselves; `derived`: those about data made from it.
        versions: what lineage knows of versions, by node.
        runs: what lineage knows of runs, by node.
        seeds: versions that are what was asked about.
        acquitted: versions of its decisions of which the ledger knows that they hold none of it.
    """

    held: dict[int, Entry]
    derived: dict[int, Entry] = field(default_factory=dict)
    versions: dict[int, Made] = field(default_factory=dict)
    runs: dict[int, LineageRun] = field(default_factory=dict)
    seeds: frozenset[VersionKey] = frozenset()
    acquitted: set[VersionKey] = field(default_factory=set)

    @property
    def decisions(self) -> dict[int, Entry]:
        """All decisions, in the ledger's order."""
        return dict(sorted({**self.held, **self.derived}.items()))

    def starts(self, decisions: Decisions) -> list[Start]:
        """Return the trainings that started on any of it."""
        grouped = by_decision(decisions.starts)
        return sorted((s for index in self.decisions for s in grouped.get(index, ())), key=lambda start: start.index)


def reach(
    store: LineageStore,
    decisions: Decisions,
    held: dict[int, Entry],
    whose: Whose,
    sees: Callable[[str], bool],
    *,
    seeds: Iterable[VersionKey] = (),
    at: int = FOREVER,
) -> Reached:
    """Follow data from the versions that hold it, as far as neither ledger nor DAGs that may not be seen end it.

    Args:
        store: lineage.
        decisions: the ledger's.
        held: decisions that hold it.
        whose: tells which versions are free of it.
        sees: whether the caller may see a DAG's runs.
        seeds: versions to begin with, whether or not a decision knows them.
        at: as of when, in microseconds since 1970.
    """
    found = Reached(held, seeds=frozenset(seeds))
    keys = {key for key, _, _ in whose.keys(held.values())} | found.seeds
    fresh: dict[int, Entry] = held
    with store.read() as connection:
        while fresh or keys:
            roots = version_ids(connection, sorted(lineage_key((n, name), digest)[1] for n, name, digest in keys))
            roots += permitted_runs(connection, _passing(fresh))
            part = onward(connection, roots, _follows(whose, sees), at=at)
            jobs = {node.of for node in part.nodes.values() if node.kind == "run" and node.of is not None}
            _take(found, part, nodes_by_id(connection, jobs))
            digests = {made.key[2] for made in found.versions.values()}
            digests.update(key[2] for key in keys if not whose.free(key[2]))  # also where lineage knows nothing of it
            about = {e.idx: e for digest in sorted(digests) for e in decisions.of_version(digest) if decisions.shown(e)}
            fresh = {
                index: entry
                for index, entry in about.items()
                if index not in held and index not in found.derived and not _all_free(entry, whose)
            }
            found.derived |= fresh
            keys = {key for key, _, _ in whose.keys(fresh.values())}
    for entry in found.decisions.values():
        found.acquitted.update(decisions.keys(entry))
    found.acquitted.difference_update(key for key, _, _ in whose.keys(found.decisions.values()))
    return found


def _passing(decisions: Mapping[int, Entry]) -> list[int]:
    """Return the decisions on which something may have started."""
    return [
        index
        for index, entry in decisions.items()
        if entry.body["decision"]["verdict"] == "allow" or entry.body.get("observed") or entry.body.get("override")
    ]


def _all_free(entry: Entry, whose: Whose) -> bool:
    return all(whose.free(item["version"]["digest"]) for item in entry.body["datasets"])


def _follows(whose: Whose, sees: Callable[[str], bool]) -> Callable[[Node], bool]:
    def follows(node: Node) -> bool:
        if node.kind == "version":
            return not whose.free(node.name[2])
        dag = _airflow(node).get("dag_id")
        return not isinstance(dag, str) or sees(dag)

    return follows


def _take(found: Reached, part: Part, owners: Mapping[int, Node]) -> None:
    """Keep what was reached; a gate's own run is told by its decision, unless it wrote something."""
    writers: dict[int, list[int]] = {}
    deciding = {edge.src for edge in part.edges if edge.dst not in part.nodes}
    for edge in part.edges:
        if edge.dst in part.nodes and part.nodes[edge.src].kind == "run":
            writers.setdefault(edge.dst, []).append(edge.src)
    wrote = {run for runs in writers.values() for run in runs}
    for id_, node in part.nodes.items():
        if node.kind == "run" and (id_ in wrote or id_ not in deciding):
            owner = None if node.of is None else owners.get(node.of)
            job = owner.name[-1] if owner else ""
            found.runs[id_] = LineageRun(node.name[0], job, _airflow(node))
    for id_, node in part.nodes.items():
        if node.kind == "version":
            runs = tuple(found.runs[run] for run in sorted(set(writers.get(id_, ()))))
            known = found.versions.get(id_)
            before = known.runs if known else ()
            found.versions[id_] = _made(node, (*before, *(run for run in runs if run not in before)))


def _made(node: Node, runs: tuple[LineageRun, ...]) -> Made:
    namespace, name, version = node.name
    facts = node.facts
    words = tuple(facts.get("categories", "").split())
    return Made((namespace, name, version), facts.get("type") == MODEL, facts.get("model"), words, runs)


def _airflow(node: Node) -> dict[str, Any]:
    told = node.facts.get("airflow")
    said = None if told is None else json.loads(told)
    return said if isinstance(said, dict) else {}


def models(reached: Reached) -> Iterator[Made]:
    """Yield the models among what was reached."""
    return (made for made in reached.versions.values() if made.is_model)
