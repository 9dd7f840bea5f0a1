"""Runs SQL from standard input in the database of GATE_DATABASE_URL, as psql would: the image has none."""

from __future__ import annotations

import os
import sys

import psycopg


def main() -> None:
    """Run it; the script begins and commits its own transactions."""
    url = os.environ["GATE_DATABASE_URL"].replace("postgresql+psycopg://", "postgresql://", 1)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sys.stdin.buffer.read())


if __name__ == "__main__":
    main()
