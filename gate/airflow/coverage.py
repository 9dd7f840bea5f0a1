"""What Airflow's own database knows of training tasks: gated, guarded, exempt, and DAG files our policy rejected.

It runs in Airflow's API server, which imports no DAG files: the cluster policy leaves what it found on each task
(`gate.airflow.notes`), and Airflow keeps that with the serialised DAG. This is a view: an author who forges a note
deceives this page about their own DAG, and neither the policy nor the lock.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from gate.airflow.notes import STATUSES, read_note

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from gate.api.auth import Principal

_CHUNK = 100  # serialised DAGs read at once
_OURS = "gate.airflow."
_VIOLATION = "AirflowClusterPolicyViolation: "
_UNGATED = re.compile(r"(?P<name>[\w.-]+) \((?P<how>@training|mark_training|rule \d+: .*)\): (?P<problem>.+)")
_NO_RULES = "nothing is accepted: "


@dataclass(frozen=True, slots=True)
class _Known:
    """What one serialised DAG says.

    Attributes:
        hash: Airflow's, of the serialised DAG.
        tasks: fields of every training task.
        gates, tags: ids of tasks that gate, and that tag datasets.
    """

    hash: str
    tasks: tuple[Mapping[str, Any], ...]
    gates: tuple[str, ...]
    tags: tuple[str, ...]


class _Memory:
    """What was read from serialised DAGs before: each is read again only when its hash is another."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._lock = Lock()

    def known(self, session: Session, current: Mapping[str, tuple[Any, str]]) -> Mapping[str, _Known]:
        """Return what is known of DAGs, given the id and the hash of each one's newest serialised form."""
        with self._lock:  # who comes meanwhile waits instead of reading the same
            old = self._known
            stale = [id_ for dag_id, (id_, hash_) in current.items() if dag_id not in old or old[dag_id].hash != hash_]
            kept = {dag_id: old[dag_id] for dag_id in current if dag_id in old}
            self._known = {**kept, **dict(_read(session, stale))}
            return self._known


_memory = _Memory()


def coverage(caller: Principal) -> dict[str, Any]:
    """Return what is known of training tasks, as far as the caller may see their DAGs.

    Returns:
        JSON-ready fields: `tasks` (`dag`, `task`, `status`, `recognised_by`, `operator`, `gate`, `problem`, `fix`,
        `exemption`, `file`, `paused`), `gates` (DAGs that have gates or tag datasets, and train nothing),
        `import_errors` (`file`, `at`, `tasks`, `text`; the last two are empty when they name a DAG the caller may not
        see) or `None` when Airflow does not let the caller see any, and `counts`.
    """
    from airflow.utils.session import create_session

    from gate.airflow.login import IMPORT_ERRORS

    with create_session(scoped=False) as session:
        dags = _dags(session)
        known = _memory.known(session, {dag_id: (one.id, one.dag_hash) for dag_id, one in dags.items()})
        errors = list(_import_errors(session, caller)) if IMPORT_ERRORS in caller.scopes else None
    tasks = [task for error in errors or () for task in error["tasks"]]
    gates = []
    anywhere = frozenset(f"{dag_id}:{gate}" for dag_id, one in known.items() for gate in one.gates)
    for dag_id, one in sorted(known.items()):
        if not (one.tasks or one.gates or one.tags) or not caller.sees(dag_id):
            continue
        place = {"dag": dag_id, "file": dags[dag_id].relative_fileloc, "paused": bool(dags[dag_id].is_paused)}
        tasks += [_settle({**place, **task}, anywhere) for task in one.tasks]
        if not one.tasks:
            gates.append({**place, "gates": list(one.gates), "tags": list(one.tags)})
    counts = Counter(task["status"] for task in tasks)
    return {
        "tasks": tasks,
        "gates": gates,
        "import_errors": errors,
        "counts": {status: counts[status] for status in STATUSES} | {"import_errors": len(errors or ())},
    }


def _dags(session: Session) -> dict[str, Any]:
    """Return id and hash of the newest serialised form of every DAG that Airflow runs, without the form itself."""
    from airflow.models.dag import DagModel
    from airflow.models.dag_version import DagVersion
    from airflow.models.serialized_dag import SerializedDagModel as Serialized
    from sqlalchemy import func, select

    newest = (
        select(DagVersion.dag_id, func.max(DagVersion.version_number).label("number"))
        .join(Serialized, Serialized.dag_version_id == DagVersion.id)
        .group_by(DagVersion.dag_id)
        .subquery()
    )
    found = session.execute(
        select(Serialized.dag_id, Serialized.id, Serialized.dag_hash, DagModel.relative_fileloc, DagModel.is_paused)
        .join(DagVersion, Serialized.dag_version_id == DagVersion.id)
        .join(newest, (newest.c.dag_id == DagVersion.dag_id) & (newest.c.number == DagVersion.version_number))
        .join(DagModel, DagModel.dag_id == Serialized.dag_id)
        .where(DagModel.is_stale.is_(False))
    )
    return {one.dag_id: one for one in found}


def _read(session: Session, ids: list[Any]) -> Iterator[tuple[str, _Known]]:
    from airflow.models.serialized_dag import SerializedDagModel as Serialized
    from sqlalchemy import select

    for start in range(0, len(ids), _CHUNK):
        for one in session.scalars(select(Serialized).where(Serialized.id.in_(ids[start : start + _CHUNK]))):
            try:
                data = one.data
            except (ValueError, zlib.error):
                data = None  # Airflow cannot read it either
            yield one.dag_id, _look(one.dag_hash, data)
        session.expunge_all()


def _look(hash_: str, data: object) -> _Known:
    """Find in a serialised DAG what is ours; what is not as Airflow writes it says nothing."""
    dag = data.get("dag") if isinstance(data, Mapping) else None
    listed = dag.get("tasks") if isinstance(dag, Mapping) else None
    encoded = [one.get("__var", one) for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    tasks = [one for one in encoded if isinstance(one, Mapping) and isinstance(one.get("task_id"), str)]
    found = [(one, note) for one in tasks if (note := read_note(one)) is not None]
    return _Known(
        hash_,
        tuple(
            {"task": one["task_id"], "operator": str(one.get("task_type")), "fix": [], **note} for one, note in found
        ),
        tuple(_made_of(tasks, "ConsentGateOperator")),
        tuple(_made_of(tasks, "TagDatasetOperator")),
    )


def _made_of(tasks: Iterable[Mapping[str, Any]], operator: str) -> Iterator[str]:
    for task in tasks:
        if task.get("task_type") == operator and str(task.get("_task_module")).startswith(_OURS):
            yield task["task_id"]


def _settle(task: dict[str, Any], gates: frozenset[str]) -> dict[str, Any]:
    """Look for the gate that a task of another DAG names; the policy, which sees one DAG at a time, cannot."""
    if task["status"] == "guarded" and task["gate"] not in gates:
        task["problem"] = f"no DAG that Airflow runs has the gate {task['gate']}: without its permit this cannot train"
    return task


def _import_errors(session: Session, caller: Principal) -> Iterator[dict[str, Any]]:
    """Yield the files our policy rejected, to callers whom Airflow shows their errors.

    Airflow shows an error to whoever may see a DAG of the file, its text to whoever may see all of them, and that of a
    file without DAGs to everybody. Our text names DAGs, so those must be visible too, registered or not.
    """
    from airflow.models.dag import DagModel
    from airflow.models.errors import ParseImportError
    from sqlalchemy import select

    rejected = session.scalars(
        select(ParseImportError)
        .where(ParseImportError.stacktrace.contains(_VIOLATION, autoescape=True))
        .order_by(ParseImportError.filename)
    ).all()
    names = {error.filename for error in rejected}
    in_file: dict[tuple[str | None, str | None], set[str]] = {}
    if names:
        registered = select(DagModel.bundle_name, DagModel.relative_fileloc, DagModel.dag_id)
        for bundle, file, dag_id in session.execute(registered):
            if file in names:
                in_file.setdefault((bundle, file), set()).add(dag_id)
    for error in rejected:
        text = (error.stacktrace or "").rpartition(_VIOLATION)[2].strip()
        ours = list(_ungated(text))
        if not ours and not text.startswith(_NO_RULES):
            continue  # another policy's
        dag_ids = in_file.get((error.bundle_name, error.filename), set())
        if dag_ids and not any(map(caller.sees, dag_ids)):
            continue
        named = [_dag_of(found["name"], dag_ids) for found in ours]
        whole = all(map(caller.sees, dag_ids.union(*named)))
        place = {"file": error.filename, "paused": False}
        yield {
            "file": error.filename,
            "at": error.timestamp,
            "text": text if whole else "",
            "tasks": [_ungated_task(place, one, dags) for one, dags in zip(ours, named, strict=True)] if whole else [],
        }


def _dag_of(name: str, registered: set[str]) -> set[str]:
    """Return the DAG of `DAG.TASK`; both may hold dots, so of an unregistered one every id it can be."""
    parts = name.split(".")
    possible = {".".join(parts[:end]) for end in range(1, len(parts))}
    return (possible & registered) or possible


def _ungated_task(place: Mapping[str, Any], found: Mapping[str, Any], dags: set[str]) -> dict[str, Any]:
    dag_id = max(dags & {found["dag"]} or dags, key=len)
    task = found["name"][len(dag_id) + 1 :]
    stated = {name: found[name] for name in ("recognised_by", "problem", "fix")}
    empty = {"operator": None, "gate": None, "exemption": None}
    return {**place, "dag": dag_id, "task": task, "status": "ungated", **stated, **empty}


def _ungated(text: str) -> Iterator[dict[str, Any]]:
    """Read what `gate.airflow.judging.explain` wrote."""
    found: dict[str, Any] | None = None
    for line in text.splitlines():
        if match := _UNGATED.fullmatch(line):
            if found:
                yield found
            name = match["name"]
            first = name.partition(".")[0]
            found = {"name": name, "dag": first, "recognised_by": match["how"], "problem": match["problem"], "fix": []}
        elif found and line.startswith("    "):
            found["fix"].append(line[4:])
    if found:
        yield found
