"""Works out which version was read or written where no event names it.

A run that wrote without naming a version wrote a version of its own. A run that read so read the version that was known
last when it read. Neither is assumed where another event of the run names a version of that dataset, or where its last
event lists what it read and leaves this out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, exists, select, update

from gate.lineage.store import tables
from gate.lineage.store.among import among
from gate.lineage.store.nodes import SEPARATOR, Key, node_ids
from gate.lineage.store.rows import insert, many, rows_with, upsert

Pair = tuple[int, int, bool]  # dataset, run, written?

_LOOSE = tables.loose.c
_UNLINK = delete(tables.edge).where(
    tables.edge.c.dst == bindparam("dst_"), tables.edge.c.src == bindparam("src_"), tables.edge.c.assumed
)
_SETTLE = (
    update(tables.loose)
    .where(_LOOSE.run == bindparam("run_"), _LOOSE.dataset == bindparam("dataset_"), _LOOSE.written == bindparam("w_"))
    .values(version=bindparam("version_"))
)
_UNSEE = delete(tables.seen).where(tables.seen.c.version == bindparam("version_"))


def settle(connection: Connection, runs: Iterable[int]) -> None:
    """Assume what has to be assumed of these runs, and nothing else."""
    mentioned = {row.run for row in rows_with(connection, tables.loose, "run", sorted(runs))}
    if not mentioned:
        return
    exact = _named_exactly(connection, mentioned)
    told = {row.run for row in rows_with(connection, tables.told, "run", mentioned)}
    for written in (True, False):  # what is written changes what others are assumed to have read
        needed: list[Any] = []
        others: list[Any] = []
        for row in rows_with(connection, tables.loose, "run", mentioned):
            if row.written == written:
                named = row.exact or (row.dataset, row.run, row.written) in exact
                spared = named or (not written and not row.final and row.run in told)
                (others if spared else needed).append(row)
        if written:
            _take_back(connection, [row for row in others if row.version is not None])
            _assume_written(connection, needed)
        else:
            _assume(connection, [*_known_last(connection, needed), *((row, None) for row in others)])


def forget(connection: Connection, runs: Iterable[int]) -> None:
    """Take back the assumed links of runs of which there is news; `settle` makes those anew that still have to be."""
    for end in (tables.edge.c.dst, tables.edge.c.src):
        connection.execute(delete(tables.edge).where(among(end, runs), tables.edge.c.assumed))


def be_seen(connection: Connection, seen: Mapping[tuple[int, int], int]) -> None:
    """Note when versions were first heard of, and look again at who is assumed to have read since.

    Args:
        seen: (dataset, version) → instant.
    """
    versions = sorted({version for _, version in seen})
    known = {row.version: row.at for row in rows_with(connection, tables.seen, "version", versions)}
    news = {pair: at for pair, at in seen.items() if at < known.get(pair[1], at + 1)}
    if not news:
        return
    many(connection, _UNSEE, [{"version_": version} for _, version in news if version in known])
    rows = [{"dataset": dataset, "version": version, "at": at} for (dataset, version), at in news.items()]
    insert(connection, tables.seen, rows)
    since: dict[int, int] = {}
    for (dataset, _), at in news.items():
        since[dataset] = min(at, since.get(dataset, at))
    later = _readers(connection, since, _LOOSE.at >= min(since.values()))
    _assume(connection, _known_last(connection, [row for row in later if row.at >= since[row.dataset]]))


def part_from_itself(connection: Connection, runs: Iterable[int]) -> None:
    """A run that names a version as input and as output wrote it: it did not come of itself."""
    back, mine = tables.edge.alias("back"), tables.edge.c
    both = and_(back.c.src == mine.dst, back.c.dst == mine.src)
    itself = select(mine.dst, mine.src).join_from(tables.edge, back, both).where(among(mine.dst, runs))
    pairs = connection.execute(itself).all()
    nodes = rows_with(connection, tables.node, "id", sorted({src for _, src in pairs}))
    of = {node.id: node.of for node in nodes if node.kind == "version"}
    for run, version in pairs:
        if version in of:
            connection.execute(delete(tables.edge).where(mine.dst == run, mine.src == version))
            said = {"run": run, "dataset": of[version], "written": False, "at": 0, "final": False, "exact": True}
            upsert(connection, tables.loose, [said], either=("exact",))


def _named_exactly(connection: Connection, runs: set[int]) -> set[Pair]:
    edges, nodes = tables.edge.c, tables.node.c
    found: set[Pair] = set()
    reads = select(nodes.of, edges.dst).where(among(edges.dst, runs), nodes.id == edges.src, ~edges.assumed)
    writes = select(nodes.of, edges.src).where(among(edges.src, runs), nodes.id == edges.dst, ~edges.assumed)
    found.update((dataset, run, False) for dataset, run in connection.execute(reads))
    found.update((dataset, run, True) for dataset, run in connection.execute(writes))
    return found


def _assume_written(connection: Connection, rows: Collection[Any]) -> None:
    """Let every run have written a version of its own."""
    whose = _keys(connection, {row.run for row in rows})
    own = _versions(connection, [(row.dataset, f"run:{whose[row.run][1]}") for row in rows])
    _assume(connection, zip(rows, own, strict=True))
    be_seen(connection, {(row.dataset, version): row.at for row, version in zip(rows, own, strict=True)})


def _take_back(connection: Connection, rows: Collection[Any]) -> None:
    """Let runs not have written the version that was assumed."""
    gone = {row.version for row in rows}
    _assume(connection, [(row, None) for row in rows])
    many(connection, _UNSEE, [{"version_": version} for version in gone])
    readers = _readers(connection, {row.dataset for row in rows})
    _assume(connection, _known_last(connection, [row for row in readers if row.version in gone]))


def _readers(connection: Connection, datasets: Iterable[int], *which: Any) -> list[Any]:
    """Return who read datasets without naming the version, so that one is assumed."""
    readers = select(tables.loose).where(among(_LOOSE.dataset, datasets), *which)
    return list(connection.execute(readers.where(~_LOOSE.written, _LOOSE.version.is_not(None))))


def _known_last(connection: Connection, rows: Collection[Any]) -> list[tuple[Any, int]]:
    """Return, with each, the version that was known last when a run read, but none that it wrote itself."""
    found: dict[tuple[int, int], int | None] = {}
    runs = sorted({row.run for row in rows})
    asked = select(_LOOSE.run, _LOOSE.dataset, _LAST).where(among(_LOOSE.run, runs), ~_LOOSE.written)
    found.update({(run, dataset): version for run, dataset, version in connection.execute(asked)})
    unknown = [row.dataset for row in rows if found[row.run, row.dataset] is None]
    unnamed = dict(zip(unknown, _versions(connection, [(dataset, "") for dataset in unknown]), strict=True))
    known = ((row, found[row.run, row.dataset]) for row in rows)
    return [(row, unnamed[row.dataset] if version is None else version) for row, version in known]


def _last_before() -> Any:
    place, mine, nodes = tables.seen.c, tables.edge.c, tables.node.c
    actor = tables.node.alias("actor").c
    runs = and_(actor.id == mine.src, actor.kind != "version")  # what a version links to was made from it, not by it
    own = exists().where(and_(mine.src == _LOOSE.run, mine.dst == place.version, runs))
    own = own.correlate(tables.loose, tables.seen)
    others = (place.dataset == _LOOSE.dataset, place.at <= _LOOSE.at, place.version != _LOOSE.run, ~own)
    known = select(place.version).join(tables.node, nodes.id == place.version).where(*others)
    newest = known.order_by(place.at.desc(), nodes.key.desc()).limit(1)
    return newest.correlate(tables.loose).scalar_subquery()


_LAST = _last_before()  # the version that was known last, of what a row of `loose` read


def _versions(connection: Connection, wanted: Collection[tuple[int, str]]) -> list[int]:
    """Return the nodes of versions, each as its dataset's node and its name."""
    datasets = _keys(connection, {dataset for dataset, _ in wanted})
    keys = [(datasets[dataset], ("version", datasets[dataset][1] + SEPARATOR + name)) for dataset, name in wanted]
    nodes = node_ids(connection, dict.fromkeys(datasets.values()) | {version: of for of, version in keys})
    return [nodes[version] for _, version in keys]


def _keys(connection: Connection, ids: Iterable[int]) -> dict[int, Key]:
    return {node.id: (node.kind, node.key) for node in rows_with(connection, tables.node, "id", sorted(ids))}


def _assume(connection: Connection, links: Iterable[tuple[Any, int | None]]) -> None:
    """Link runs to the version that each is assumed to have read or written, instead of the one before."""
    listed = list(links)
    changed = [(row, version) for row, version in listed if row.version != version]
    many(connection, _UNLINK, [_ends(row, row.version, "_") for row, _ in changed if row.version is not None])
    settled = (
        {"run_": row.run, "dataset_": row.dataset, "w_": row.written, "version_": version} for row, version in changed
    )
    many(connection, _SETTLE, settled)
    told = [_ends(row, version) | {"at": row.at, "assumed": True} for row, version in listed if version is not None]
    upsert(connection, tables.edge, told, least=("at",), both=("assumed",))


def _ends(row: Any, version: int, more: str = "") -> dict[str, Any]:
    src, dst = (row.run, version) if row.written else (version, row.run)
    return {f"src{more}": src, f"dst{more}": dst}
