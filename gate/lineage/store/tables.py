"""The store's tables: the events are the record, the rest is an index over them that can be made anew."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

VERSION = "2"  # of the index; another one is made anew from the events

LOOKED_UP = 600  # characters of a fact that its index holds: whatever an event says must fit a page of PostgreSQL

metadata = MetaData()

_BIG = BigInteger().with_variant(Integer, "sqlite")
_BYTEWISE = Text().with_variant(Text(collation="C"), "postgresql")

event = Table(
    "lineage_event",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("run", _BYTEWISE),
    Column("event", Text, nullable=False),
    Index("lineage_event_digest", "digest", unique=True),
    Index("lineage_event_run", "run", "id"),
)

node = Table(
    "lineage_node",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=False),
    Column("kind", _BYTEWISE, nullable=False),
    Column("key", _BYTEWISE, nullable=False),
    Column("of", BigInteger),
    Index("lineage_node_key", "kind", "key", unique=True),
    Index("lineage_node_of", "of"),
)

edge = Table(
    "lineage_edge",
    metadata,
    Column("dst", BigInteger, primary_key=True, autoincrement=False),
    Column("src", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("assumed", Boolean(create_constraint=False), nullable=False),
    Index("lineage_edge_onward", "src", "dst", "at"),
    sqlite_with_rowid=False,
)


def _by_value(name: str) -> Index:
    only = text(f"name = '{name}'")
    begin = text(f"substr(value, 1, {LOOKED_UP})")
    return Index(f"lineage_fact_{name}", begin, sqlite_where=only, postgresql_where=only)


fact = Table(
    "lineage_fact",
    metadata,
    Column("node", BigInteger, primary_key=True, autoincrement=False),
    Column("name", _BYTEWISE, primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("value", _BYTEWISE, nullable=False),
    _by_value("airflow"),
    _by_value("model"),
    sqlite_with_rowid=False,
)

seen = Table(  # when a version of a dataset was first heard of: what a reader that names no version most likely read
    "lineage_seen",
    metadata,
    Column("dataset", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Index("lineage_seen_version", "version"),
    sqlite_with_rowid=False,
)

# Datasets that a run named without a version. `final`: in its last event; `exact`: another event names the version;
# `version`: what is assumed, none where nothing has to be.
loose = Table(
    "lineage_loose",
    metadata,
    Column("run", BigInteger, primary_key=True, autoincrement=False),
    Column("dataset", BigInteger, primary_key=True, autoincrement=False),
    Column("written", Boolean(create_constraint=False), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("final", Boolean(create_constraint=False), nullable=False),
    Column("exact", Boolean(create_constraint=False), nullable=False),
    Column("version", BigInteger),
    Index("lineage_loose_dataset", "dataset", "at"),
    sqlite_with_rowid=False,
)

told = Table(  # runs whose last event listed what they read: what earlier ones declared counts no more
    "lineage_told",
    metadata,
    Column("run", BigInteger, primary_key=True, autoincrement=False),
)

meta = Table(
    "lineage_meta",
    metadata,
    Column("key", _BYTEWISE, primary_key=True),
    Column("value", Text, nullable=False),
)
