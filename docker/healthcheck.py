"""Says whether a container does its work: exit 0 or 1. Imports little, for it runs every few seconds in each."""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import urllib.request
from pathlib import Path

TIMEOUT = 8  # seconds; Docker gives us ten
USAGE = "healthcheck.py URL | healthcheck.py URL PART-OF-AIRFLOW | healthcheck.py worker BROKER-FILE"


def answers(url: str) -> bytes:
    """Return what an address answers.

    Raises:
        OSError: nothing, or an error.
    """
    if not url.startswith(("http://", "https://")):
        raise OSError(USAGE)
    # Our own certificate names the service, and is checked as workers check it.
    context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE")) if url.startswith("https") else None
    with urllib.request.urlopen(url, timeout=TIMEOUT, context=context) as answer:  # noqa: S310  checked above
        body: bytes = answer.read()
        return body


def part_is_healthy(url: str, part: str) -> bool:
    """Whether Airflow's health page says that this part's heartbeat is fresh."""
    return bool((json.loads(answers(url)).get(part) or {}).get("status") == "healthy")


def worker_answers(broker_file: str) -> bool:
    """Whether this container's Celery worker answers a ping; Airflow need not be imported for that."""
    from celery import Celery

    app = Celery(broker=Path(broker_file).read_text("utf-8").strip())
    return bool(app.control.ping(destination=[f"celery@{socket.gethostname()}"], timeout=TIMEOUT / 2))


def main(words: list[str]) -> bool:
    """Check what the arguments name."""
    match words:
        case ["worker", broker_file]:
            return worker_answers(broker_file)
        case [url, part]:
            return part_is_healthy(url, part)
        case [url]:
            answers(url)
            return True
        case _:
            raise SystemExit(USAGE)


if __name__ == "__main__":
    try:
        healthy = main(sys.argv[1:])
    except (OSError, ValueError) as error:
        raise SystemExit(f"unhealthy: {error}") from None
    raise SystemExit(0 if healthy else "unhealthy")
