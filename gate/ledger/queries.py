"""The statements that every read makes, built once: building them costs more than running them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import Select, bindparam, func, literal_column, null, select, true, union_all
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
ERASED = select(func.max(tables.erased.c.id))
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
    newest = select(heads.size, heads.root, heads.frontier).order_by(heads.size.desc()).limit(1).subquery("newest")
    clock = func.clock_timestamp() if dialect == "postgresql" else null()
    always = select(ORIGIN.scalar_subquery().label("origin"), clock.label("clock")).subquery("always")
    top = always.outerjoin(newest, true()).outerjoin(tables.entry, _ENTRY.idx == newest.c.size - 1)
    return select(always, newest, tables.entry).select_from(top)


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


Shape = tuple[tuple[str, ...], tuple[str, ...], bool, int]
"""Names of conditions, kinds that are written into the statement, newest only, limit (0: none)."""


@dataclass(frozen=True, slots=True)
class Question:
    """One of several questions that `Reader.ask` answers together; what is `None` does not matter.

    Attributes:
        kind: one, or several words of our own, which are written into the statement.
        subject_prefix: what subjects begin with.
        account_ref: the account they are about.
        start: first place.
        newest: only the newest one.
        limit: at most so many, whichever.
        attachment: instead of entries, the attachment of this digest; a stand-in answers if it is there.
    """

    kind: str | tuple[str, ...] = ()
    subject: str | None = None
    subject_prefix: str | None = None
    account_ref: str | None = None
    start: int | None = None
    newest: bool = False
    limit: int | None = None
    attachment: str | None = None

    @property
    def shape(self) -> Shape:
        """What the statement depends on; the rest are parameters."""
        kinds = () if isinstance(self.kind, str) else self.kind
        return tuple(sorted(self.values)), kinds, self.newest, self.limit or 0

    @property
    def values(self) -> dict[str, Any]:
        """The named conditions with their parameters."""
        kind = self.kind if isinstance(self.kind, str) else None
        given = {
            "kind_": kind,
            "account_": self.account_ref,
            "subject_": self.subject,
            "start_": self.start,
            "digest_": self.attachment,
        }
        some = {name: value for name, value in given.items() if value is not None}
        return some | (beginning_with(self.subject_prefix) if self.subject_prefix else {})


def beginning_with(prefix: str) -> dict[str, str]:
    """Return the parameters of a range of subjects."""
    return {"from_": prefix, "before_": prefix[:-1] + chr(ord(prefix[-1]) + 1)}


def together(questions: Sequence[Question]) -> tuple[CompoundSelect[Any], dict[str, Any]]:
    """Return one statement for several questions, and its parameters; each row begins with its question's number."""
    wanted = {
        f"{name}{number}": value for number, question in enumerate(questions) for name, value in question.values.items()
    }
    return _together(tuple(question.shape for question in questions)), wanted


@lru_cache(maxsize=128)
def _together(shapes: Sequence[Shape]) -> CompoundSelect[Any]:
    parts = []
    for number, (names, kinds, newest, limit) in enumerate(shapes):
        if "digest_" in names:
            parts.append(_stand_in(number))
            continue
        conditions = _conditions(str(number))
        part = select(literal_column(str(number)).label("question"), tables.entry)
        part = part.where(*(conditions[name] for name in names))
        if kinds:
            part = part.where(_ENTRY.kind.in_([literal_column(f"'{kind}'") for kind in kinds]))
        if newest:
            part = part.order_by(_ENTRY.idx.desc())
        if newest or limit:
            part = select(part.limit(1 if newest else limit).subquery())
        parts.append(part)
    return union_all(*parts)


def _stand_in(number: int) -> Select[Any]:
    """Return the part that answers with an attachment's digest in the place of an entry's subject."""
    digest = tables.attachment.c.digest
    texts = [
        literal_column(f"{number}").label("question"),
        literal_column("-1"),
        literal_column("'attachment'"),
        digest,
    ]
    return select(*texts, null(), null(), null(), null()).where(digest == bindparam(f"digest_{number}"))
