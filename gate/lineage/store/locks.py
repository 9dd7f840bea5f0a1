"""Locks that die with their process: a locked file on one machine, an advisory lock on a PostgreSQL server."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from gate.lineage.store.database import LineageStore, translated


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a file's lock while the block runs; yields whether we got it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _taken(descriptor)
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def alone(store: LineageStore, name: str) -> Iterator[bool]:
    """Be the only one who does what the name says with this store; yields whether we are.

    Raises:
        LineageUnavailable: the store cannot be asked.
    """
    digest = hashlib.sha256(name.encode()).digest()
    if store.engine.dialect.name == "sqlite":
        with locked(Path(f"{store.where}.{digest.hex()[:16]}.lock")) as mine:
            yield mine
        return
    key = int.from_bytes(digest[:8], "big", signed=True)
    with translated(store.where), store.engine.connect() as connection:
        session = connection.execution_options(isolation_level="AUTOCOMMIT")
        mine = bool(session.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar())
        try:
            yield mine
        finally:
            if mine:
                session.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
