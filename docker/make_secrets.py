"""Makes every secret of compose.yaml once, each in the volume of whoever needs it; what is there already stays."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

ROOT = Path(os.environ.get("SECRETS", "/secrets"))
USERS = ("admin", "viewer", "gate")  # as AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS in compose.yaml names them


def password() -> str:
    """Return 32 random bytes that need no quoting in URLs, SQL or configuration files."""
    return secrets.token_urlsafe(32)


def fernet_key() -> str:
    """Return a key as `cryptography.fernet` takes it: 32 bytes, base64 with padding."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def kept(path: str, make: Callable[[], str] = password, mode: int = 0o400) -> str:
    """Return the secret in a file, made if it is not there. A crash leaves a whole file or none."""
    file = ROOT / path
    if not file.exists():
        aside = file.with_name(f".{file.name}.new")
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as new:
            new.write(make())
            new.flush()
            os.fsync(new.fileno())
        aside.rename(file)
    return file.read_text("utf-8")


def copied(path: str, text: str, mode: int = 0o400) -> None:
    """Keep something that follows from a secret."""
    kept(path, lambda: text, mode)


def database_url(user: str, word: str, database: str) -> str:
    """Return the address of a database in compose.yaml's PostgreSQL."""
    return f"postgresql+psycopg://{user}:{word}@postgres:5432/{database}"


def main() -> None:
    """Make them all."""
    copied("airflow/database-url", database_url("airflow", kept("postgres/airflow-password"), "airflow"))
    copied("gate/database-url", database_url("gate", kept("postgres/gate-password"), "gate"))
    admin = kept("postgres/gate-admin-password")
    copied("gate-admin/database-url", database_url("gate_admin", admin, "gate"))
    copied("marquez/password", kept("postgres/marquez-password"))
    redis = kept("redis/password")
    for folder in ("airflow", "worker"):
        copied(f"{folder}/broker-url", f"redis://:{redis}@redis:6379/0")
        copied(f"{folder}/result-backend", f"redis://:{redis}@redis:6379/1")
    kept("airflow/fernet-key", fernet_key)
    kept("airflow/jwt-secret", lambda: secrets.token_hex(64))
    kept("airflow/api-secret", lambda: secrets.token_hex(32))
    gate = kept("gate/airflow-password")
    people = {user: gate if user == "gate" else password() for user in USERS}
    copied("users/passwords.json", json.dumps(people), mode=0o600)


if __name__ == "__main__":
    main()
