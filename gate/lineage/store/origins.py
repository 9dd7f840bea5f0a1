"""What a dataset was made from: the inputs of whatever wrote it since it was last overwritten as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from gate.lineage.observed import Named
from gate.lineage.store import tables
from gate.lineage.store.among import among
from gate.lineage.store.graph import events_of
from gate.lineage.store.ingest import dataset_key
from gate.lineage.store.lookup import nodes_by_id

_LOOKED_AT = 200  # newest writers whose events are read; beyond them everything counts
_ALIASES = 50  # other names of one dataset that are followed
_ANEW = frozenset({"CREATE", "OVERWRITE", "TRUNCATE", "DROP"})  # LifecycleStateChangeDatasetFacet: nothing old is left


class Origin(NamedTuple):
    """Something a dataset was made from.

    Attributes:
        dataset: its identity.
        version: the version that was read, where an event names it; a version that is only assumed does not count.
        columns: (its column, column it went into), where column lineage is known.
    """

    dataset: Named
    version: str | None
    columns: tuple[tuple[str, str], ...] = ()


class _Told(NamedTuple):
    """What is said of one name of the dataset: what was read for it, columns by source, and its other names."""

    read: set[tuple[Named, str | None]]
    columns: dict[Named, set[tuple[str, str]]]
    aliases: set[Named]


def origins(connection: Connection, dataset: Named) -> tuple[Origin, ...]:
    """Return what `dataset` was made from, sorted; the dataset itself when it was changed in place.

    Writers before the last one that says it wrote the whole dataset anew (OpenLineage's lifecycleStateChange) do not
    count. What was written under another name of the dataset (its symlinks) counts, and so does the name it had.
    """
    told = _Told(set(), {}, {dataset})
    names = [dataset]
    while names:
        before = set(told.aliases)
        _tell(connection, names.pop(), told)
        names += sorted(told.aliases - before) if len(before) < _ALIASES else []
    read = told.read | {(source, None) for source in told.columns.keys() - {source for source, _ in told.read}}
    ordered = sorted(read, key=lambda one: (one[0], one[1] or ""))
    return tuple(Origin(source, version, tuple(sorted(told.columns.get(source, ())))) for source, version in ordered)


def _tell(connection: Connection, dataset: Named, told: _Told) -> None:
    """Add what is said of one name of the dataset."""
    edges, nodes = tables.edge.c, tables.node.c
    whole = select(nodes.id).where(nodes.kind == "dataset", nodes.key == dataset_key(dataset)[1])
    versions = select(nodes.id).where(nodes.of.in_(whole), nodes.kind == "version")
    newest = func.max(edges.at).label("at")
    links = select(edges.src, newest).where(edges.dst.in_(versions)).group_by(edges.src)
    ordered = [row.src for row in connection.execute(links.order_by(newest.desc(), edges.src.desc()))]
    writers = nodes_by_id(connection, ordered)
    counted: list[int] = []
    for number, id_ in enumerate(ordered):
        writer = writers[id_]
        counted.append(id_)
        if writer.kind == "version":  # a DatasetEvent says itself what the version was made from
            told.read.add(((writer.name[0], writer.name[1]), None))
        elif writer.kind == "run" and number < _LOOKED_AT:
            events = events_of(connection, [writer.name[0]])
            anew = [_says_anew(output, told) for output in _outputs(events, dataset)]
            if any(anew):
                break
    told.read.update(_read(connection, counted))


def _read(connection: Connection, actors: Iterable[int]) -> Iterator[tuple[Named, str | None]]:
    """Yield the versions that these runs and jobs read."""
    edges = tables.edge.c
    links = connection.execute(select(edges.src, edges.assumed).where(among(edges.dst, actors))).all()
    nodes = nodes_by_id(connection, {link.src for link in links})
    for src, assumed in links:
        node = nodes[src]
        if node.kind == "version":
            namespace, name, version = node.name
            yield (namespace, name), None if assumed else version


def _outputs(events: Iterable[str], dataset: Named) -> Iterator[dict[str, Any]]:
    """Yield the facets of one output as a run's events tell them."""
    for raw in events:
        for output in json.loads(raw).get("outputs") or ():
            if (output.get("namespace"), output.get("name")) == dataset:
                yield _part(output, "facets")


def _says_anew(facets: Mapping[str, Any], told: _Told) -> bool:
    """Take in columns and other names of an output; return whether it was written anew as a whole."""
    change = _part(facets, "lifecycleStateChange")
    told.read.update((named, None) for named in _names([change.get("previousIdentifier")]))
    told.aliases.update(_names(_part(facets, "symlinks").get("identifiers")))
    for source, pairs in _by_column(_part(_part(facets, "columnLineage"), "fields")):
        told.columns.setdefault(source, set()).update(pairs)
    return change.get("lifecycleStateChange") in _ANEW


def _by_column(fields: Mapping[str, Any]) -> Iterator[tuple[Named, tuple[tuple[str, str], ...]]]:
    for column, field in fields.items():
        inputs = field.get("inputFields") if isinstance(field, dict) else None
        for one in inputs if isinstance(inputs, list) else ():
            source = one.get("field") if isinstance(one, dict) else None
            for named in _names([one]):
                yield named, ((source, column),) if isinstance(source, str) else ()


def _names(items: Any) -> Iterator[Named]:
    for item in items if isinstance(items, list) else ():
        named = (item.get("namespace"), item.get("name")) if isinstance(item, dict) else (None, None)
        if isinstance(named[0], str) and isinstance(named[1], str) and named[0] and named[1]:
            yield named[0], named[1]


def _part(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = of.get(name)
    return found if isinstance(found, dict) else {}
