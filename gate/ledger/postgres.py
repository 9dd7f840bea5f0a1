"""What only PostgreSQL has: limits of time on every connection, and the lock of the one writer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Connection, text

STATEMENT = 300.0  # seconds a statement may take; the longest are those of verifying
ABANDONED = 120.0  # seconds a writer may leave its transaction alone before the server ends it
_VANISHED = 30.0  # seconds without an answer of the server's machine after which the connection is given up
_WRITER_LOCK = 0x6761_7465_6C65_6467  # advisory lock of the one writer: "gateledg"
_TAKE_LOCK = text(
    f"SELECT set_config('idle_in_transaction_session_timeout', :abandoned, true), pg_advisory_xact_lock({_WRITER_LOCK})"
)


def connect_args(url: URL, wait: float) -> dict[str, Any]:
    """Return how the driver is to connect: no wait is endless.

    Args:
        url: options in it come last and so win, like `?options=-c%20statement_timeout%3D600000`.
        wait: seconds to wait for another writer.
    """
    limits = f"-c lock_timeout={int(wait * 1000)} -c statement_timeout={int(STATEMENT * 1000)}"
    own = url.query.get("options", "")
    return {
        "connect_timeout": 10,
        "options": f"{limits} {own if isinstance(own, str) else ' '.join(own)}",
        "autocommit": True,  # the driver leaves transactions to us: one statement needs none
        "keepalives_idle": int(_VANISHED),
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": int(_VANISHED * 1000),
    }


def take_writer_lock(connection: Connection) -> None:
    """Wait until nobody else writes. A writer that falls silent with the lock in its hand loses it, and its changes."""
    connection.execute(_TAKE_LOCK, {"abandoned": str(int(ABANDONED * 1000))})
