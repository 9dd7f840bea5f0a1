"""How people name a node of the lineage graph, and which nodes that means as of an instant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from gate.errors import InputError
from gate.lineage.store import graph, lookup
from gate.lineage.store.graph import FOREVER, Node, Reading
from gate.service.lineage_sight import Sight

CANDIDATES = 5  # names that an error lists
_DIGEST = re.compile(r"sha256:[0-9a-f]{12,64}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FORMS = "model:NAME, a dataset's URI or name, sha256:…, run:UUID, DAG/RUN_ID[/TASK], job:NAMESPACE/NAME, decision:INDEX"


@dataclass(frozen=True, slots=True)
class Asking:
    """A question's surroundings.

    Attributes:
        at: as of when, in microseconds since 1970.
        every: of a dataset or model that is named without a version: all versions rather than the newest.
    """

    connection: Reading
    sight: Sight
    at: int = FOREVER
    every: bool = False


def find_nodes(asking: Asking, name: str) -> list[int]:
    """Return the nodes that a name means: one, or those that belong together (the tasks of a DAG run).

    Raises:
        InputError: nothing is known by that name, it means several things, or it was not known yet.
    """
    kind, colon, rest = name.partition(":")
    if not name.strip() or "\x00" in name:
        raise InputError("names no node", where="node", hint=FORMS)
    if colon and rest and not rest.startswith("//") and kind in _KINDS:
        found = _KINDS[kind](asking, rest)
    else:
        found = _dataset(asking, name) or _airflow(asking, name)
    seen = asking.sight.visible(found)
    if not seen:
        raise _unknown(asking, name)
    return _known_then(asking, name, seen)


@lru_cache(maxsize=10_000)  # an event tells several links at once
def instant_text(at: int) -> str:
    """Write microseconds since 1970 as RFC 3339, however wrong the clock that told them."""
    try:
        return (_EPOCH + timedelta(microseconds=at)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return "0001-01-01T00:00:00Z" if at < 0 else "9999-12-31T23:59:59Z"


def _run(asking: Asking, text: str) -> list[int]:
    by_id = list(lookup.runs_by_id(asking.connection, [text.lower()]).values())
    return by_id or _airflow(asking, text)


def _airflow(asking: Asking, text: str) -> list[int]:
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        return []
    return lookup.airflow_runs(asking.connection, *parts)


def _decision(asking: Asking, text: str) -> list[int]:
    found = graph.node_id(asking.connection, ("decision", text))
    return [] if found is None else [found]


def _job(asking: Asking, text: str) -> list[int]:
    jobs = lookup.jobs_named(asking.connection, text, limit=CANDIDATES + 1)
    visible = asking.sight.visible(job.id for job in jobs)
    if len(visible) > 1:
        raise _ambiguous(f"job:{text}", (_named(job) for job in jobs if job.id in visible))
    return [*visible, *lookup.all_of(asking.connection, visible)]


def _digest(asking: Asking, text: str) -> list[int]:
    wanted = f"sha256:{text.lower()}"
    if not _DIGEST.fullmatch(wanted):
        raise InputError("is no digest", where="node", hint="sha256: and at least 12 hexadecimal digits")
    found = lookup.versions_with_digest(asking.connection, wanted, limit=100)
    digests = sorted({node.name[-1] for node in found})
    if len(digests) > 1:
        raise _ambiguous(wanted, digests)
    return [node.id for node in found]


def _model(asking: Asking, text: str) -> list[int]:
    name, wanted = _cut(text)
    found = lookup.nodes_of_model(asking.connection, name)
    if not found:
        return _dataset(asking, text)
    nodes = lookup.nodes_by_id(asking.connection, found)
    versions = {id_ for id_, node in nodes.items() if node.kind == "version"}
    versions.update(lookup.all_of(asking.connection, [id_ for id_, node in nodes.items() if node.kind == "dataset"]))
    heard = lookup.first_heard(asking.connection, versions)
    ordered = sorted((version for version in versions if version in heard), key=lambda one: (heard[one], one))
    return _chosen(asking, ordered, heard, wanted)


def _dataset(asking: Asking, text: str) -> list[int]:
    name, wanted = text, None
    found = _datasets(asking, name)
    if not found and "@" in text:
        name, wanted = _cut(text)
        found = _datasets(asking, name) if wanted else []
    if len(found) > 1:
        raise _ambiguous(text, (_named(node) for node in found))
    if not found:
        return []
    versions = lookup.all_of(asking.connection, [found[0].id])
    heard = lookup.first_heard(asking.connection, versions)
    ordered = sorted((version for version in versions if version in heard), key=lambda one: (heard[one], one))
    return _chosen(asking, ordered, heard, wanted) or [found[0].id]


def _datasets(asking: Asking, text: str) -> list[Node]:
    """Return datasets called so: by URI, by path, by namespace and name, or else those whose name ends so."""
    cuts = [i for i, letter in enumerate(text[:2000]) if letter == "/"]
    names = [(text[:i], text[i + 1 :]) for i in cuts] + [(text[:i], text[i:]) for i in cuts]
    path = text.removeprefix("file://")
    if path.startswith("/"):
        names += [("file", path), ("file", path.rstrip("/"))]
    exact = lookup.datasets_by_name(asking.connection, [one for one in names if all(one)])
    if exact:
        return exact
    for before in ("\x1f", "/"):
        ending = graph.named(asking.connection, "dataset", before + text, limit=CANDIDATES + 1)
        if ending:
            return ending
    return []


def _chosen(asking: Asking, versions: Sequence[int], heard: dict[int, int], wanted: str | None) -> list[int]:
    """Choose among versions, which come oldest first."""
    then = [version for version in versions if heard[version] <= asking.at] or list(versions[:1])
    if wanted not in (None, "all"):
        nodes = lookup.nodes_by_id(asking.connection, versions)
        return [version for version in versions if nodes[version].name[-1].startswith(str(wanted))]
    return then if wanted or asking.every else then[-1:]


def _cut(text: str) -> tuple[str, str | None]:
    name, at, version = text.rpartition("@")
    return (name, version) if at and name and version else (text, None)


def _known_then(asking: Asking, name: str, ids: list[int]) -> list[int]:
    if asking.at >= FOREVER:
        return ids
    heard = lookup.first_heard(asking.connection, ids)
    then = [id_ for id_ in ids if heard.get(id_, FOREVER) <= asking.at]
    if not then:
        first = min(heard.values(), default=None)
        hint = None if first is None else f"first heard of at {instant_text(first)}"
        raise InputError(f"{_short(name)} was not known at {instant_text(asking.at)}", where="node", hint=hint)
    return then


def _ambiguous(name: str, candidates: Iterable[str]) -> InputError:
    some = list(candidates)
    listed = ", ".join(map(_short, some[:CANDIDATES])) + (", …" if len(some) > CANDIDATES else "")
    return InputError(f"{_short(name)} means several", where="node", hint=f"say which: {listed}")


def _unknown(asking: Asking, name: str) -> InputError:
    near = ", ".join(map(_short, _near(asking, name)[:CANDIDATES]))
    return InputError(f"nothing is known as {_short(name)}", where="node", hint=f"is it {near}?" if near else FORMS)


def _near(asking: Asking, name: str) -> list[str]:
    import difflib

    kind, _, rest = name.partition(":")
    rest = rest if kind in _KINDS and rest else name
    if kind == "model":
        close = difflib.get_close_matches(rest, lookup.models(asking.connection, 1000), 4 * CANDIDATES, 0)
        # Decisions name the model that they are about, too; only what was written can be asked for by that name.
        return [f"model:{one}" for one in close if asking.sight.visible(_model(asking, one))]
    dag = asking.sight.visible(lookup.airflow_runs(asking.connection, rest.partition("/")[0])[-50:])
    if "/" in rest and dag:
        facts = lookup.newest_facts(asking.connection, dag, ("airflow",))
        return sorted({_airflow_name(said["airflow"]) for said in facts.values()})
    wanted = "job" if kind == "job" else "dataset"
    last = rest.rstrip("/").rpartition("/")[2].partition("@")[0] or rest
    found = lookup.nodes_containing(asking.connection, wanted, last, limit=50)
    visible = set(asking.sight.visible(node.id for node in found))
    return [_named(node) for node in found if node.id in visible]


def _airflow_name(told: str) -> str:
    import json

    said = json.loads(told)
    return "/".join(str(said[key]) for key in ("dag_id", "run_id", "task_id") if key in said)


def _named(node: Node) -> str:
    namespace, name = node.name[0], "/".join(node.name[1:])
    if node.kind == "job":
        return f"job:{namespace}/{name}"
    return f"file://{name}" if namespace == "file" else f"{namespace}/{name}"


def _short(text: str) -> str:
    clean = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return clean if len(clean) <= 200 else clean[:199] + "…"


_KINDS = {
    "run": _run,
    "job": _job,
    "model": _model,
    "dataset": _dataset,
    "decision": _decision,
    "sha256": _digest,
}
