"""Where to look at the demo's lineage when it has ended: a page in its Airflow, and commands that can be pasted."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from gate.demo.home import Home
from gate.service.core import Service
from gate.web.tabs import lineage_path

MODEL = "model:ms-1"  # trained on the consented subset: its lineage crosses a gate that first said no
ACCOUNT = "harbor"  # agreed, then withdrew while its data was about to be trained on


def places(home: Home, airflow: str) -> Mapping[str, str]:
    """Return what `gate demo` tells of lineage, by name.

    Args:
        home: of the demo.
        airflow: address of its Airflow.
    """
    return {
        "graph_url": airflow + lineage_path(MODEL, "upstream"),
        "upstream_command": command(home, "lineage", "upstream", MODEL),
        "impact_command": command(home, "lineage", "impact", "--account", ACCOUNT),
    }


def command(home: Home, *words: str) -> str:
    """Return a line for a shell that runs our `gate` on the demo's record, wherever it is pasted."""
    own = Path(sys.executable).with_name("gate")
    found = shutil.which("gate")
    name = "gate" if found and Path(found) == own else str(own)
    return f"GATE_HOME={shlex.quote(str(home.gate))} {shlex.join([name, *words])}"


def waits(service: Service) -> bool:
    """Take in what the store could not take at once, and say whether any of it still waits."""
    service.intake.catch_up()
    return service.intake.spool.holds()
