"""Makes the demo's lake, records its accounts' consent histories, and hands its console a token. Safe to run again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from handover import write

from gate.demo.lake import make_lake
from gate.demo.seed import BY, record_history
from gate.service.core import open_service
from gate.service.tokens import create_token

LAKE = Path("/lake/gate/lake")  # below the workers' GATE_HOME, where the demo's DAGs look for it
CONSOLE = Path("/console/console.json")


def main() -> None:
    """Make what is not there."""
    if not LAKE.is_dir():
        LAKE.parent.mkdir(mode=0o700, exist_ok=True)
        made = LAKE.with_name(".lake.new")
        make_lake(made)
        made.rename(LAKE)
    with open_service() as service:
        record_history(service)
        if not CONSOLE.exists():
            scopes, life = ["consent"], timedelta(days=366)
            new = create_token(service, "demo-console", scopes, lifetime=life, by=BY, via="cli")
            write(CONSOLE, {"url": "https://gate:8686", "token": new.text})


if __name__ == "__main__":
    main()
