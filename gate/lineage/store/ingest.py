"""Writes events and the graph they tell: idempotent, in any order; the same set of events gives the same graph.

What makes that hold: a link's time is the earliest at which any event told it; a version that an event names beats what
was assumed before; what was assumed is worked out again whenever an earlier version of that dataset becomes known.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from gate.errors import InputError
from gate.lineage.observed import Named, Observed, Seen, observe
from gate.lineage.store import tables
from gate.lineage.store.assumed import be_seen, forget, part_from_itself, settle
from gate.lineage.store.database import LineageStore
from gate.lineage.store.nodes import SEPARATOR, Key, node_ids
from gate.lineage.store.rows import chunks, insert, next_id, upsert

BATCH = 2000  # events a transaction

Pair = tuple[Key, Key, bool]  # dataset, actor, written?


def store_events(store: LineageStore, events: Iterable[Observed]) -> tuple[int, int]:
    """Keep events; those that are there already change nothing.

    Returns:
        How many were new, and how many were not.

    Raises:
        LineageUnavailable: the store cannot be written; whole batches are kept or not.
    """
    new = total = 0
    for batch in chunks(events, BATCH):
        total += len(batch)
        with store.write() as connection:
            fresh = _append(connection, batch)
            _index(connection, fresh)
            new += len(fresh)
    return new, total - new


def index_again(connection: Connection) -> None:
    """Make the graph anew from the events, in the connection's transaction."""
    rows = connection.execute(select(tables.event.c.event).order_by(tables.event.c.id)).yield_per(BATCH)
    for batch in chunks(_readable(json.loads(row.event) for row in rows), BATCH):
        _index(connection, batch)


def _readable(events: Iterable[Any]) -> Iterator[Observed]:
    """Yield what can be read: a version that reads more strictly passes over some that an older one took."""
    for event in events:
        with suppress(InputError):
            yield observe(event)


def _append(connection: Connection, batch: Sequence[Observed]) -> list[Observed]:
    one_each = {item.digest: item for item in batch}
    there = select(tables.event.c.digest).where(tables.event.c.digest.in_(one_each))
    known = set(connection.execute(there).scalars())
    fresh = [item for digest, item in one_each.items() if digest not in known]
    if fresh:
        first = next_id(connection, tables.event)
        now = time.time_ns() // 1000
        rows = [
            {"id": id_, "digest": o.digest, "at": o.at, "received_at": now, "run": o.run, "event": o.raw}
            for id_, o in enumerate(fresh, first)
        ]
        insert(connection, tables.event, rows)
    return fresh


@dataclass
class _Told:
    """What a batch of events tells, in keys; the earliest time of each link."""

    nodes: dict[Key, Key | None] = field(default_factory=dict)  # and what each is of
    edges: dict[tuple[Key, Key], int] = field(default_factory=dict)  # (src, dst) → at
    facts: dict[tuple[Key, str, int], str] = field(default_factory=dict)
    seen: dict[Key, int] = field(default_factory=dict)  # version → at
    exact: set[Pair] = field(default_factory=set)
    loose: dict[Pair, int] = field(default_factory=dict)
    final: set[Pair] = field(default_factory=set)
    listed: set[Key] = field(default_factory=set)  # runs whose last event lists what they read

    def mention(self, pair: Pair, at: int, *, final: bool) -> None:
        self.loose[pair] = min(at, self.loose.get(pair, at))
        if final:
            self.final.add(pair)

    def link(self, src: Key, dst: Key, at: int) -> None:
        pair = (src, dst)
        self.edges[pair] = min(at, self.edges.get(pair, at))

    def note(self, node: Key, facts: Iterable[tuple[str, str]], at: int) -> None:
        for name, value in facts:
            place = (node, name, at)
            self.facts[place] = min(value, self.facts.get(place, value))

    def see(self, version: Key, at: int) -> None:
        self.seen[version] = min(at, self.seen.get(version, at))


def dataset_key(dataset: Named) -> Key:
    """Return the key of a dataset's node."""
    return "dataset", SEPARATOR.join(dataset)


def version_key(dataset: Named, version: str) -> Key:
    """Return the key of a version's node; the empty version stands for one that nobody named."""
    return "version", SEPARATOR.join((*dataset, version))


def job_key(job: Named) -> Key:
    """Return the key of a job's node."""
    return "job", SEPARATOR.join(job)


def _told(batch: Iterable[Observed]) -> _Told:
    told = _Told()
    for item in batch:
        job = job_key(item.job) if item.job else None
        if job:
            told.nodes.setdefault(job, None)
        actor = ("run", item.run) if item.run else job
        if item.run and actor:
            told.nodes[actor] = job or told.nodes.get(actor)
            told.note(actor, item.facts.items(), item.at)
        if actor:
            _told_of_decision(told, item, actor)
        if actor and item.final and item.reads:
            told.listed.add(actor)
        for one in item.reads:
            _told_of(told, one, actor, item, written=False)
        for one in item.writes:
            _told_of(told, one, actor, item, written=True)
    return told


def _told_of_decision(told: _Told, item: Observed, actor: Key) -> None:
    if item.decision:
        index, facts = item.decision
        decision = ("decision", index)
        told.nodes[decision] = None
        told.link(actor, decision, item.at)
        told.note(decision, facts.items(), item.at)
    if item.permitted_by:
        decision = ("decision", item.permitted_by)
        told.nodes.setdefault(decision, None)
        told.link(decision, actor, item.at)


def _told_of(told: _Told, one: Seen, actor: Key | None, item: Observed, *, written: bool) -> None:
    dataset, at = dataset_key(one.dataset), item.at
    told.nodes.setdefault(dataset, None)
    if one.version is None:
        told.note(dataset, one.facts.items(), at)
        if actor:
            told.mention((dataset, actor, written), at, final=item.final)
        return
    version = version_key(one.dataset, one.version)
    told.nodes[version] = dataset
    told.note(version, one.facts.items(), at)
    told.see(version, at)
    if actor:
        told.link(*((actor, version) if written else (version, actor)), at)
        told.exact.add((dataset, actor, written))
    else:  # a DatasetEvent says of itself what it was made from
        for source in one.sources:
            told.nodes.setdefault(dataset_key(source), None)
            told.mention((dataset_key(source), version, False), at, final=True)


def _index(connection: Connection, batch: Sequence[Observed]) -> None:
    told = _told(batch)
    ids = node_ids(connection, told.nodes)
    runs = {ids[run] for _, run, _ in told.exact}
    forget(connection, runs)
    links = [{"src": ids[s], "dst": ids[d], "at": at, "assumed": False} for (s, d), at in told.edges.items()]
    upsert(connection, tables.edge, links, least=("at",), both=("assumed",))
    facts = [
        {"node": ids[node], "name": name, "at": at, "value": value} for (node, name, at), value in told.facts.items()
    ]
    upsert(connection, tables.fact, facts, least=("value",))
    be_seen(connection, {(ids[told.nodes[v] or v], ids[v]): at for v, at in told.seen.items()})
    loose = [
        {"dataset": ids[d], "run": ids[run], "written": w, "at": at, "final": (d, run, w) in told.final, "exact": False}
        for (d, run, w), at in told.loose.items()
        if (d, run, w) not in told.exact
    ]
    upsert(connection, tables.loose, loose, least=("at",), either=("final",))
    upsert(connection, tables.told, [{"run": ids[run]} for run in told.listed])
    part_from_itself(connection, runs)
    settle(connection, runs | {ids[run] for _, run, _ in told.loose} | {ids[run] for run in told.listed})
