"""Which table a dataset's URI names, and how this process may log in to its database: never by the URI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from gate.domain.dataset import TABLES, Dataset
from gate.errors import InputError

Logins = Callable[[str, int], Mapping[str, str]]
"""Returns libpq's parameters (`user`, `password`, `sslmode`, …) for a host and port; none where it knows none."""

_HINT = "like postgres://db.example:5432/lake.public.calls"
_known: list[Logins] = []


@dataclass(frozen=True, slots=True)
class Address:
    """A table by its full name."""

    host: str
    port: int
    database: str
    schema: str
    table: str


def use_logins(logins: Logins) -> None:
    """Let this process log in as `logins` says; where it says nothing, libpq's own settings count.

    Those are PGUSER, PGPASSWORD, PGPASSFILE, PGSSLMODE and so on.
    """
    _known[:] = [logins]


def login_for(address: Address) -> Mapping[str, str]:
    """Return libpq's parameters for the address' database."""
    return next((found for logins in _known if (found := logins(address.host, address.port))), {})


def is_table(dataset: Dataset) -> bool:
    """Whether the dataset is a table of a database."""
    return dataset.uri.startswith(TABLES)


def address_of(dataset: Dataset) -> Address:
    """Return the address of a table.

    Raises:
        InputError: it is not `postgres://HOST:PORT/DATABASE.SCHEMA.TABLE`.
    """
    try:
        parts = urlsplit(dataset.uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    names = dataset.name.split(".")
    if not is_table(dataset) or host is None or port is None or len(names) != 3 or not all(names):
        raise InputError("names no table", where="dataset", hint=_HINT)
    return Address(host, port, *names)
