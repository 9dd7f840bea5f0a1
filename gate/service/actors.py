"""Who did it, written so that a person's name never stands in the ledger's bytes."""

from __future__ import annotations

import getpass
import os

from gate.ledger.store import Transaction

SERVICE = "service:"
PERSON = "person:"


PERSONAL_VIA = frozenset({"cli", "api", "ui"})  # recorded by a person who is not writing the DAG


def recorded_actor(tx: Transaction, by: str) -> str:
    """Return the actor as entries hold it.

    Args:
        by: `service:NAME` for one of our own identities (kept as it is), else a person's name or log-in.

    Returns:
        `service:NAME`, or `person:` and an erasable reference.
    """
    return by if by.startswith(SERVICE) else PERSON + tx.commit_ref("person", by)


def local_actor() -> str:
    """Return the log-in name of the person at this terminal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
