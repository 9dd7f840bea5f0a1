"""The statements that every read makes, built once: building them costs more than running them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, func, literal_column, null, select, union_all
from sqlalchemy.sql.selectable import CompoundSelect

from gate.ledger import tables

_ENTRY = tables.entry.c

ORIGIN = select(tables.meta.c.value).where(tables.meta.c.key == "origin")
ROOT = select(tables.tree_head.c.root).where(tables.tree_head.c.size == bindparam("size_"))
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



@cache
def top(dialect: str) -> Select[Any]:
    """Return the statement for the newest tree head, the ledger's name, the server's clock and the newest entry."""
    heads = tables.tree_head.c
    newest = select(heads.size, heads.root, heads.frontier).order_by(heads.size.desc()).limit(1).subquery("top")
    clock = func.clock_timestamp() if dialect == "postgresql" else null()
    return select(
        newest, ORIGIN.scalar_subquery().label("origin"), clock.label("clock"), tables.entry
    ).select_from(newest.outerjoin(tables.entry, _ENTRY.idx == newest.c.size - 1))


def _conditions(suffix: str = "") -> dict[str, Any]:
    def named(name: str) -> Any:
        return bindparam(name + suffix)

    return {
        "kind_": _ENTRY.kind == named("kind_"),
        "account_": _ENTRY.account_ref == named("account_"),
        "subject_": _ENTRY.subject == named("subject_"),
        "start_": _ENTRY.idx >= named("start_"),
        "stop_": _ENTRY.idx < named("stop_"),
        "from_": _ENTRY.subject >= named("from_"),
        "before_": _ENTRY.subject < named("before_"),
    }


_CONDITIONS = _conditions()


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


class Shape(NamedTuple):
    """One question of several: the named conditions its answers meet, and how many of them it wants.

    `kinds` are words of our own, written into the statement.
    """

    names: frozenset[str]
    kinds: tuple[str, ...] = ()
    limit: int | None = None
    newest_first: bool = False


@cache
def several(shapes: Sequence[Shape]) -> CompoundSelect[Any]:
    """Return one statement for several questions; each row begins with its question's number.

    The parameters of question N end in `_N`.
    """
    parts = []
    for number, shape in enumerate(shapes):
        conditions = _conditions(str(number))
        part = select(literal_column(str(number)).label("question"), tables.entry)
        part = part.where(*(conditions[name] for name in sorted(shape.names)))
        if shape.kinds:
            part = part.where(_ENTRY.kind.in_([literal_column(f"'{kind}'") for kind in shape.kinds]))
        if shape.newest_first:
            part = part.order_by(_ENTRY.idx.desc())
        if shape.limit is not None:
            part = select(part.limit(shape.limit).subquery())
        parts.append(part)
    return union_all(*parts)
