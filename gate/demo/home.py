"""One demo's folder: where its Airflow, ledger, lake, models and logs live. Every demo begins with a new one."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from gate.errors import InputError
from gate.service.settings import Settings, read_settings

USERS = {"admin": "ADMIN", "op": "OP", "user": "USER", "viewer": "VIEWER"}
"""Names and Airflow roles of the demo's users."""


@dataclass(frozen=True, slots=True)
class Home:
    """The places below one folder."""

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


def new_home(base: Path) -> Home:
    """Make the folder of a new demo: the lowest free number below `base`.

    Consent changes while a demo runs, so what an earlier one recorded would change this one's outcomes; and what it
    left behind stays there to be looked at. Two demos at once take different numbers.

    Raises:
        InputError: the folder cannot be made.
    """
    try:
        base.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            home = Home(base.absolute() / str(number))
            try:
                home.path.mkdir(mode=0o700)
            except FileExistsError:
                continue
            break
        home.airflow.mkdir()
        home.gate.mkdir(mode=0o700)
    except OSError as error:
        raise InputError(f"cannot be used: {error.strerror}", where=str(base), hint="choose another --home") from None
    return home


def make_passwords(home: Home) -> dict[str, str]:
    """Make a password for every user, in a file only its owner can read."""
    made = {user: secrets.token_urlsafe(9) for user in USERS}
    descriptor = os.open(home.passwords, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(made, file)
    return made
