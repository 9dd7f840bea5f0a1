"""The tables of delivery: how far each backend is, and what it refused. They are no part of the index made anew."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from gate.lineage.store.tables import metadata

backend = Table(
    "lineage_backend",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cursor", BigInteger, nullable=False),  # id of the last event it has, or refused
    Column("attempts", Integer, nullable=False),  # failures since it last took one
    Column("refusals", Integer, nullable=False),  # how many of them were answers about the next event
    Column("retry_at", BigInteger),  # microseconds since 1970; null: now
    Column("last_error", Text),
)

dead = Table(
    "lineage_dead",
    metadata,
    Column("backend", Text, primary_key=True),
    Column("event", BigInteger, primary_key=True, autoincrement=False),
    Column("error", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
