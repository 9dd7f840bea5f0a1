"""Writes what the gate hands Airflow: the connection `gate_default`, and where OpenLineage events go."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path


def connection(url: str, token: str, keys: list[str]) -> dict[str, dict[str, str]]:
    """Return the connection as `airflow connections import` reads it."""
    fields = {"conn_type": "consent_gate", "host": url, "password": token, "extra": json.dumps({"keys": keys})}
    return {"gate_default": fields}


def openlineage(url: str, token: str) -> dict[str, object]:
    """Return the configuration of OpenLineage's client; YAML reads JSON."""
    auth = {"type": "api_key", "apiKey": token}
    # Its client reads no SSL_CERT_FILE.
    trusted = {"ca_cert_path": "/trust/ca-bundle.pem"}
    return {
        "transport": {"type": "http", "url": url, "endpoint": "api/v1/lineage", "auth": auth, "ssl_context": trusted}
    }


def write(path: Path, value: object) -> None:
    """Write a file for the owner's eyes, whole or not at all."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as new:
        json.dump(value, new)
    aside.rename(path)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="of the decision service")
    for name in ("--worker-token", "--lineage-token", "--pinned"):
        parser.add_argument(name, required=True, type=Path, metavar="FILE")
    given = parser.parse_args()
    keys = given.pinned.read_text("utf-8").split("\n")
    worker, lineage = (path.read_text("utf-8").strip() for path in (given.worker_token, given.lineage_token))
    write(Path("/handover/connections.json"), connection(given.url, worker, [key for key in keys if key.strip()]))
    write(Path("/trust/openlineage.yml"), openlineage(given.url, lineage))


if __name__ == "__main__":
    main()
