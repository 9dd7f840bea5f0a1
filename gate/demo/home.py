"""The demo's folder: where Airflow, ledger, lake, models and logs live, for one demo at a time."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gate.demo.lake import make_lake
from gate.errors import InputError
from gate.service.settings import Settings, read_settings

USERS = {"admin": "ADMIN", "op": "OP", "user": "USER", "viewer": "VIEWER"}
"""Names and Airflow roles of the demo's users."""

_MARKER = ".gate-demo"


@dataclass(frozen=True, slots=True)
class Home:
    """The places below one folder. A second demo reuses it: the ledger and Airflow's history go on."""

    path: Path

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME: configuration, database, task logs."""
        return self.path / "airflow"

    @property
    def gate(self) -> Path:
        """GATE_HOME: ledger, keys, lake and models."""
        return self.path / "gate"

    @property
    def lake(self) -> Path:
        """The demo's data."""
        return self.gate / "lake"

    @property
    def events(self) -> Path:
        """OpenLineage events, one a line."""
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        """What Airflow's processes print."""
        return self.path / "airflow.log"

    @property
    def passwords(self) -> Path:
        """JSON user → password."""
        return self.path / "passwords.json"

    @property
    def settings(self) -> Settings:
        """The ledger and keys of this demo, whatever the environment says."""
        return read_settings({"GATE_HOME": str(self.gate)})


@contextmanager
def occupied(folder: Path) -> Iterator[Home]:
    """Make the folder ready and keep other demos out of it.

    Raises:
        InputError: the folder holds something else, cannot be written, or another demo is running in it.
    """
    home = Home(folder.absolute())
    try:
        if home.path.exists() and not (home.path / _MARKER).exists() and any(home.path.iterdir()):
            raise InputError("holds files that are not of a demo", where=str(folder), hint="choose another --home")
        home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        marker = (home.path / _MARKER).open("a")
    except OSError as error:
        raise InputError(f"cannot be used: {error.strerror}", where=str(folder), hint="choose another --home") from None
    with marker:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                "another demo is running in this folder", where=str(folder), hint="stop it, or choose another --home"
            ) from None
        home.airflow.mkdir(exist_ok=True)
        yield home


def fresh_lake(home: Home) -> None:
    """Make the lake anew: the same bytes every time, so what is recorded of them still holds."""
    home.gate.mkdir(mode=0o700, exist_ok=True)
    shutil.rmtree(home.lake, ignore_errors=True)
    make_lake(home.lake)


def passwords(home: Home) -> dict[str, str]:
    """Return the users' passwords; made once per folder, readable by its owner only."""
    if not home.passwords.exists():
        made = {user: secrets.token_urlsafe(9) for user in USERS}
        descriptor = os.open(home.passwords, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(made, file)
    found: dict[str, str] = json.loads(home.passwords.read_text())
    return found
