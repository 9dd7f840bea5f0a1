"""The first schema: entries, tree, openings, attachments, outbox."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_APPEND_ONLY = ("entry", "node", "tree_head")
_ERASABLE = ("opening", "attachment")

# REPLACE on SQLite removes the old row without any DELETE trigger: an insert must not meet an existing row.
_SQLITE_UNIQUE = {
    "entry": ("idx = NEW.idx", "kind = NEW.kind AND subject = NEW.subject"),
    "node": ("level = NEW.level AND pos = NEW.pos",),
    "tree_head": ("size = NEW.size",),
    "opening": ("ref = NEW.ref", "value_digest = NEW.value_digest"),
    "attachment": ("digest = NEW.digest",),
}


def upgrade() -> None:
    """Create every table, then the triggers that protect them."""
    _create_tree()
    _create_side_tables()
    on_sqlite = op.get_context().dialect.name == "sqlite"
    for statement in _sqlite_triggers() if on_sqlite else _postgresql_triggers():
        op.execute(statement)


def _big() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _bytewise() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _create_tree() -> None:
    op.create_table(
        "entry",
        sa.Column("idx", _big(), primary_key=True, autoincrement=False),
        sa.Column("kind", _bytewise(), nullable=False),
        sa.Column("subject", _bytewise(), nullable=False),
        sa.Column("account_ref", _bytewise()),
        sa.Column("effective_at", _bytewise()),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
    )
    op.create_index("entry_subject", "entry", ["kind", "subject"], unique=True)
    op.create_index("entry_account", "entry", ["account_ref", "kind", "idx"])
    op.create_index("entry_kind", "entry", ["kind", "idx"])
    op.create_table(
        "node",
        sa.Column("level", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("pos", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "tree_head",
        sa.Column("size", _big(), primary_key=True, autoincrement=False),
        sa.Column("previous", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
    )


def _create_side_tables() -> None:
    op.create_table(
        "opening",
        sa.Column("ref", _bytewise(), primary_key=True),
        sa.Column("kind", _bytewise(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("value_digest", sa.LargeBinary(), nullable=False),
    )
    op.create_index("opening_value", "opening", ["value_digest"], unique=True)
    op.create_table(
        "attachment",
        sa.Column("digest", _bytewise(), primary_key=True),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("id", _big(), primary_key=True),
        sa.Column("key", _bytewise(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("last_error", sa.Text()),
    )
    op.create_index("outbox_key", "outbox", ["key"], unique=True)
    pending = sa.text("sent_at IS NULL")
    op.create_index("outbox_pending", "outbox", ["attempts", "id"], sqlite_where=pending, postgresql_where=pending)
    op.create_table(
        "meta",
        sa.Column("key", _bytewise(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )


def _sqlite_triggers() -> Iterator[str]:
    for table in (*_APPEND_ONLY, *_ERASABLE):
        yield (
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
        same = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {match})" for match in _SQLITE_UNIQUE[table])  # noqa: S608
        yield (
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {same} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
    for table in _APPEND_ONLY:
        yield (
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _postgresql_triggers() -> Iterator[str]:
    yield (
        "CREATE FUNCTION gate_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for tables, changes in ((_APPEND_ONLY, "UPDATE OR DELETE OR TRUNCATE"), (_ERASABLE, "UPDATE")):
        for table in tables:
            yield (
                f"CREATE TRIGGER {table}_append_only BEFORE {changes} ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION gate_refuse_change()"
            )
