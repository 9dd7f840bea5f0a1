"""The second schema: answers that were given to requests with an idempotency key, beside the log and not part of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table; rows are written once and forgotten after a while."""
    bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "answered",
        sa.Column("key", bytewise, primary_key=True),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", bytewise, nullable=False),
    )
    op.create_index("answered_age", "answered", ["created_at"])
