"""The statements that every read makes, built once: building them costs more than running them."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, select

from gate.ledger import tables

_ENTRY = tables.entry.c

HEAD = select(tables.tree_head.c.size, tables.tree_head.c.root).order_by(tables.tree_head.c.size.desc()).limit(1)
FRONTIER = select(tables.tree_head.c.frontier).where(tables.tree_head.c.size == bindparam("size_"))
ENTRY = select(tables.entry).where(_ENTRY.idx == bindparam("idx_"))
FIND = select(tables.entry).where(_ENTRY.kind == bindparam("kind_"), _ENTRY.subject == bindparam("subject_"))
REF = select(tables.opening.c.ref).where(tables.opening.c.value_digest == bindparam("digest_"))
ATTACHMENT = select(tables.attachment.c.content).where(tables.attachment.c.digest == bindparam("digest_"))
NODE = select(tables.node.c.hash).where(
    tables.node.c.level == bindparam("level_"), tables.node.c.pos == bindparam("pos_")
)
LEAVES = (
    select(_ENTRY.leaf_hash)
    .where(_ENTRY.idx >= bindparam("start_"), _ENTRY.idx < bindparam("stop_"))
    .order_by(_ENTRY.idx)
)
LAST_SUBJECT = (
    select(tables.entry)
    .where(_ENTRY.kind == bindparam("kind_"), _ENTRY.subject < bindparam("before_"))
    .order_by(_ENTRY.subject.desc())
    .limit(1)
)

_CONDITIONS: dict[str, Any] = {
    "kind_": _ENTRY.kind == bindparam("kind_"),
    "account_": _ENTRY.account_ref == bindparam("account_"),
    "subject_": _ENTRY.subject == bindparam("subject_"),
    "start_": _ENTRY.idx >= bindparam("start_"),
    "stop_": _ENTRY.idx < bindparam("stop_"),
    "from_": _ENTRY.subject >= bindparam("from_"),
    "before_": _ENTRY.subject < bindparam("before_"),
}


@cache
def some(names: frozenset[str], *, limit: int | None = None, newest_first: bool = False) -> Select[Any]:
    """Return the statement for entries that meet the named conditions.

    Args:
        names: of `_CONDITIONS`; each is also the name of its parameter.
        limit: at most so many; then in the log's order, or the newest first. Without a limit in no order: asked to
            order the few of one person, dataset or model, SQLite prefers walking the whole kind.
        newest_first: see `limit`.
    """
    query = select(tables.entry).where(*(_CONDITIONS[name] for name in sorted(names)))
    if limit is None:
        return query
    return query.order_by(_ENTRY.idx.desc() if newest_first else _ENTRY.idx).limit(limit)
