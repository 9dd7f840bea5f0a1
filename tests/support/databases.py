"""Throwaway databases on the PostgreSQL server of the tests."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

MISSING = "GATE_TEST_POSTGRES_URL is not set: the PostgreSQL half of the suite does not run"


def postgres_server() -> str:
    """Return the URL of the tests' server; without one, fail in CI and skip elsewhere."""
    server = os.environ.get("GATE_TEST_POSTGRES_URL")
    if server:
        return server
    if os.environ.get("CI") == "true":
        pytest.fail(MISSING)
    pytest.skip(MISSING)


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """Make an empty database, hand over its URL, and drop it at the end."""
    import psycopg
    from sqlalchemy import make_url

    name = f"gate_test_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
