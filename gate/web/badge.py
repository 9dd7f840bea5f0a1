"""What the badge on Airflow's dashboard shows: how many runs the gate stopped lately, of those the viewer may see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import takewhile

from fastapi import APIRouter, Request

from gate.api.health import service_of
from gate.service.decision_index import Row
from gate.web.access import SeesRuns
from gate.web.pages import decisions_of

router = APIRouter()
DAYS = 7


@router.get("/badge.json")
def badge(request: Request, principal: SeesRuns) -> dict[str, int]:
    """Count the runs that the gate stopped in the last days."""
    since = service_of(request).clock() - timedelta(days=DAYS)
    return {"blocked": stopped_runs(decisions_of(request).rows(), principal.sees, since), "days": DAYS}


def stopped_runs(rows: Iterable[Row], sees: Callable[[str], bool], since: datetime) -> int:
    """Count the runs in which the newest answer to some task was a no that held.

    Args:
        rows: decisions and refusals, newest first.
        sees: whether a DAG's runs count.
        since: older rows do not count.
    """
    answered: set[tuple[str, str, str, int]] = set()
    stopped: set[tuple[str, str]] = set()
    for row in takewhile(lambda row: row.recorded_at >= since, rows):
        task = (row.dag_id, row.run_id, row.task_id, row.map_index)
        if task in answered:
            continue
        answered.add(task)
        if row.verdict != "allow" and not row.observed and row.override is None:
            stopped.add(task[:2])
    return sum(sees(dag_id) for dag_id, _ in stopped)
