"""The third schema: the database notes every opening that is deleted, so that no cached copy outlives it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table and the triggers that fill and protect it."""
    on_sqlite = op.get_context().dialect.name == "sqlite"
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table("erased", sa.Column("id", big, primary_key=True), sa.Column("ref", bytewise, nullable=False))
    for statement in _SQLITE if on_sqlite else _POSTGRESQL:
        op.execute(statement)


_SQLITE = (
    "CREATE TRIGGER opening_erased AFTER DELETE ON opening BEGIN INSERT INTO erased (ref) VALUES (OLD.ref); END",
    "CREATE TRIGGER erased_no_update BEFORE UPDATE ON erased BEGIN SELECT RAISE(ABORT, 'erased is append-only'); END",
    "CREATE TRIGGER erased_no_delete BEFORE DELETE ON erased BEGIN SELECT RAISE(ABORT, 'erased is append-only'); END",
)

_POSTGRESQL = (
    "CREATE FUNCTION gate_note_erased() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN INSERT INTO erased (ref) VALUES (OLD.ref); RETURN NULL; END $$",
    "CREATE TRIGGER opening_erased AFTER DELETE ON opening FOR EACH ROW EXECUTE FUNCTION gate_note_erased()",
    "CREATE TRIGGER opening_no_truncate BEFORE TRUNCATE ON opening "
    "FOR EACH STATEMENT EXECUTE FUNCTION gate_refuse_change()",
    "CREATE TRIGGER erased_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON erased "
    "FOR EACH STATEMENT EXECUTE FUNCTION gate_refuse_change()",
)
