"""Which DAG a node of the lineage graph belongs to, and whether somebody may see it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gate.lineage.store.graph import Node, Reading
from gate.lineage.store.lookup import deciding_runs, newest_facts, nodes_by_id, outer_runs, runs_by_id

ANCESTORS = 5  # runs above one that may say what DAG it belongs to


def everybody(_: str) -> bool:
    """See the runs of every DAG."""
    return True


class Sight:
    """What one caller may see, in one state of the store.

    A run belongs to the DAG that Airflow named, to that of its parent, or to none that we know: then only those see it
    who see everything. A decision belongs to whoever decided it, a job to what its runs belong to.

    Args:
        sees: whether the caller may look at a DAG's runs; asked for `""` about what belongs to no known DAG.
        size: how many entries the ledger held; decisions beyond did not exist.
    """

    def __init__(self, connection: Reading, sees: Callable[[str], bool], size: int | None = None) -> None:
        self._connection = connection
        self._sees = sees
        self._size = size
        self._known: dict[int, set[str]] = {}  # the DAGs of runs

    def dags(self, nodes: Mapping[int, Node]) -> dict[int, str | None]:
        """Return the DAG of every run, job and decision; `None` where none is known."""
        return {id_: next(iter(sorted(dags)), None) for id_, dags in self._dags(nodes).items()}

    def hidden(self, nodes: Mapping[int, Node]) -> set[int]:
        """Return those that the caller may not see, or that the ledger did not hold yet."""
        dags = self._dags(nodes)
        hidden = {id_ for id_, names in dags.items() if not all(map(self._sees, names or {""}))}
        if self._size is not None:
            decisions = (node for node in nodes.values() if node.kind == "decision")
            hidden.update(node.id for node in decisions if not _before(node.name[0], self._size))
        return hidden

    def visible(self, ids: Iterable[int]) -> list[int]:
        """Return those of these nodes that the caller may see, in the same order."""
        wanted = list(dict.fromkeys(ids))
        hidden = self.hidden(nodes_by_id(self._connection, wanted))
        return [id_ for id_ in wanted if id_ not in hidden]

    def _dags(self, nodes: Mapping[int, Node]) -> dict[int, set[str]]:
        by_kind: dict[str, list[int]] = {"run": [], "job": [], "decision": []}
        for node in nodes.values():
            by_kind.setdefault(node.kind, []).append(node.id)
        told_by = deciding_runs(self._connection, by_kind["decision"]) | outer_runs(self._connection, by_kind["job"])
        runs = self._of_runs({*by_kind["run"], *(run for some in told_by.values() for run in some)})
        found = {id_: runs.get(id_, set()) for id_ in by_kind["run"]}
        for id_ in (*by_kind["decision"], *by_kind["job"]):
            found[id_] = set().union(*(runs.get(run, set()) for run in told_by.get(id_, ())))
        return found

    def _of_runs(self, runs: set[int]) -> dict[int, set[str]]:
        fresh = runs.difference(self._known)
        if fresh:
            found = self._told_of(fresh)
            self._known.update((run, found.get(run, set())) for run in fresh)
        return {run: self._known[run] for run in runs}

    def _told_of(self, runs: set[int], above: int = ANCESTORS) -> dict[int, set[str]]:
        facts = newest_facts(self._connection, sorted(runs), ("airflow", "parent"))
        found = {run: {dag} for run in facts if (dag := dag_of(facts[run])) is not None}
        parents = {run: said["parent"] for run, said in facts.items() if run not in found and "parent" in said}
        if parents and above:
            ids = runs_by_id(self._connection, sorted(set(parents.values())))
            higher = self._told_of(set(ids.values()), above - 1)
            found.update({run: higher.get(ids.get(uuid, -1), set()) for run, uuid in parents.items()})
        return found


def dag_of(facts: Mapping[str, str]) -> str | None:
    """Return the DAG that a run's facts name."""
    dag: Any = json.loads(facts["airflow"]).get("dag_id") if "airflow" in facts else None
    return dag if isinstance(dag, str) else None


def _before(index: str, size: int) -> bool:
    return index.isdecimal() and int(index) < size
