"""Where state lives: GATE_HOME and GATE_DATABASE_URL, read from the environment once per process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gate.home import default_home, lineage_url

EMBEDDED_DATABASE = "ledger.db"


@dataclass(frozen=True, slots=True)
class Settings:
    """The places a service works with.

    Attributes:
        home: folder of keys, private copies and (by default) the database.
        database_url: SQLAlchemy URL of the ledger.
        embedded: the database is our own SQLite file below `home`, made on first use.
        checkpoints_uri: a second place for published checkpoints, out of the database administrator's reach.
        lineage_url: SQLAlchemy URL of the lineage store.
        replica_url: SQLAlchemy URL of a read replica of the ledger, from which snapshots may be built.
    """

    home: Path
    database_url: str
    embedded: bool
    checkpoints_uri: str | None = None
    lineage_url: str = ""
    replica_url: str | None = None

    @property
    def embedded_database(self) -> Path:
        """The embedded database's file."""
        return self.home / EMBEDDED_DATABASE

    @property
    def key_path(self) -> Path:
        """The signing key (PEM, owner only)."""
        return self.home / "keys" / "signing.pem"

    @property
    def pinned_keys_path(self) -> Path:
        """The public keys that permits are verified with, one a line."""
        return self.home / "keys" / "pinned.txt"

    @property
    def checkpoint_path(self) -> Path:
        """The last published checkpoint of the ledger: outside the database, so that restoring that shows."""
        return self.home / "checkpoints" / "latest"

    @property
    def snapshots_path(self) -> Path:
        """Folder of consent snapshots and the mirror they are made from; may be removed at any time."""
        return self.home / "snapshots"

    @property
    def subsets_uri(self) -> str:
        """Where consented subsets go unless a gate says otherwise."""
        return (self.home / "subsets").as_uri()

    @property
    def private_path(self) -> Path:
        """Folder of the private copies that permits open."""
        return self.home / "private"


def read_settings(
    environ: Mapping[str, str] = os.environ, *, database_url: str | None = None, home: Path | None = None
) -> Settings:
    """Work out where state lives.

    Args:
        environ: `GATE_HOME` (default: `gate` below `AIRFLOW_HOME` when that is set, else the user data folder)
            and `GATE_DATABASE_URL` (default: a SQLite file below the home); `GATE_CHECKPOINTS` names a folder by any
            URI that fsspec opens; `GATE_LINEAGE_URL` (default: the ledger's PostgreSQL database, else a SQLite file
            of its own below the home, so that lineage never waits for the ledger's one writer);
            `GATE_DATABASE_READ_URL` names a read replica of a ledger on PostgreSQL.
        database_url: overrides the environment (an Airflow connection).
        home: overrides the environment.
    """
    folder = (home or default_home(environ)).absolute()
    url = database_url or environ.get("GATE_DATABASE_URL")
    return Settings(
        home=folder,
        database_url=url or f"sqlite:///{folder / EMBEDDED_DATABASE}",
        embedded=url is None,
        checkpoints_uri=environ.get("GATE_CHECKPOINTS") or None,
        lineage_url=lineage_url(environ, url, folder),
        replica_url=environ.get("GATE_DATABASE_READ_URL") or None,
    )
