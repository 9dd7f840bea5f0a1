"""Where state lives unless somebody says otherwise: one answer for the service and for the lineage transport."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

LINEAGE_DATABASE = "lineage.db"


def default_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return `GATE_HOME`; else `gate` below `AIRFLOW_HOME` when that is set, else the user data folder."""
    if gate_home := environ.get("GATE_HOME"):
        return Path(gate_home).expanduser().absolute()
    if airflow_home := environ.get("AIRFLOW_HOME"):
        return (Path(airflow_home).expanduser() / "gate").absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("consent-gate")).absolute()


def lineage_url(environ: Mapping[str, str], database_url: str | None, home: Path) -> str:
    """Return `GATE_LINEAGE_URL`; else the ledger's PostgreSQL database, else a SQLite file below the home.

    Args:
        environ: the environment.
        database_url: the ledger's database, when one is named.
        home: the folder of our state.
    """
    if named := environ.get("GATE_LINEAGE_URL"):
        return named
    if database_url and database_url.startswith("postgresql"):
        return database_url
    return f"sqlite:///{home / LINEAGE_DATABASE}"
