"""The ledger's tables as SQLAlchemy sees them; the migrations make them, and the triggers that protect them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

SCHEMA_VERSION = "0003"  # the newest Alembic revision; a test compares it with the migrations
NODE_LEVEL = 8  # complete subtrees of 2^8 leaves and more are kept; smaller ones are computed from the leaves

metadata = MetaData()

# Rowids on SQLite must be spelled INTEGER; "C" makes PostgreSQL compare text by bytes, so prefixes are ranges.
_BIG = BigInteger().with_variant(Integer, "sqlite")
_BYTEWISE = Text().with_variant(Text(collation="C"), "postgresql")

entry = Table(
    "entry",
    metadata,
    Column("idx", _BIG, primary_key=True, autoincrement=False),
    Column("kind", _BYTEWISE, nullable=False),
    Column("subject", _BYTEWISE, nullable=False),
    Column("account_ref", _BYTEWISE),
    Column("effective_at", _BYTEWISE),
    Column("payload", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    Index("entry_subject", "kind", "subject", unique=True),
    Index("entry_account", "account_ref", "kind", "idx"),
    Index("entry_kind", "kind", "idx"),
)

node = Table(
    "node",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("pos", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)

tree_head = Table(
    "tree_head",
    metadata,
    Column("size", _BIG, primary_key=True, autoincrement=False),
    Column("previous", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)

opening = Table(
    "opening",
    metadata,
    Column("ref", _BYTEWISE, primary_key=True),
    Column("kind", _BYTEWISE, nullable=False),
    Column("value", Text, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("value_digest", LargeBinary, nullable=False),
    Index("opening_value", "value_digest", unique=True),
)

erased = Table(  # filled by a trigger: which openings were deleted, in their order
    "erased",
    metadata,
    Column("id", _BIG, primary_key=True),
    Column("ref", _BYTEWISE, nullable=False),
)

attachment = Table(
    "attachment",
    metadata,
    Column("digest", _BYTEWISE, primary_key=True),
    Column("media_type", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _BIG, primary_key=True),
    Column("key", _BYTEWISE, nullable=False),
    Column("event", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("sent_at", Text),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text),
    Index("outbox_key", "key", unique=True),
    Index(
        "outbox_pending",
        "attempts",
        "id",
        sqlite_where=text("sent_at IS NULL"),
        postgresql_where=text("sent_at IS NULL"),
    ),
)

meta = Table(
    "meta",
    metadata,
    Column("key", _BYTEWISE, primary_key=True),
    Column("value", Text, nullable=False),
)

answered = Table(
    "answered",
    metadata,
    Column("key", _BYTEWISE, primary_key=True),
    Column("request_digest", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", _BYTEWISE, nullable=False),
    Index("answered_age", "created_at"),
)
