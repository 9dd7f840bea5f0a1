"""The nodes of a graph by their keys; those that are new get an id."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from gate.lineage.store import tables
from gate.lineage.store.among import among
from gate.lineage.store.rows import insert, next_id

SEPARATOR = "\x1f"  # between the parts of a node's key

Key = tuple[str, str]  # kind and key of a node


def node_ids(connection: Connection, nodes: Mapping[Key, Key | None]) -> dict[Key, int]:
    """Return the id of every node; those that are new are inserted.

    Args:
        nodes: node → what it is of, which is among them.
    """
    by_kind: dict[str, list[str]] = {}
    for kind, key in nodes:
        by_kind.setdefault(kind, []).append(key)
    columns, ids = tables.node.c, dict[Key, int]()
    for kind, keys in by_kind.items():
        found = select(columns.key, columns.id).where(columns.kind == kind, among(columns.key, keys))
        ids.update({(kind, key): id_ for key, id_ in connection.execute(found)})
    missing = [key for key in nodes if key not in ids]
    if missing:
        first = next_id(connection, tables.node)
        ids.update({key: id_ for id_, key in enumerate(missing, first)})
        rows = [
            {"id": ids[key], "kind": key[0], "key": key[1], "of": ids[of] if (of := nodes[key]) else None}
            for key in missing
        ]
        insert(connection, tables.node, rows)
    return ids
