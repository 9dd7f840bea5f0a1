"""Training tasks with and without a gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from gate.web.access import SeesRuns
from gate.web.pages import host_of, page

router = APIRouter()

PER_PAGE = 200
STATUSES = {
    "ungated": ("bad", "nothing stands in front of it, and its DAG file was rejected"),
    "exempt": ("warn", "runs without a gate for a while, by name of who answers for it"),
    "guarded": ("info", "locked; its gate stands in the DAG whose assets trigger it"),
    "gated": ("good", "behind a consent gate of the same use, and locked"),
}
"""How a status looks, and what it means; what needs somebody first."""

Task = Mapping[str, Any]


@router.get("/coverage")
def show(
    request: Request,
    principal: SeesRuns,
    status: Annotated[str, Query(max_length=20)] = "",
    q: Annotated[str, Query(max_length=300)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
) -> Response:
    """Show every training task the caller may see, those first that need somebody."""
    look = host_of(request).coverage
    report = None if look is None else look(principal)
    status = status if status in STATUSES else ""
    found = [] if report is None else _matching(report["tasks"], status, q)
    pages = max(1, -(-len(found) // PER_PAGE))
    number = min(number, pages)
    return page(
        request,
        "coverage.html",
        section="coverage",
        report=report,
        found=found[(number - 1) * PER_PAGE : number * PER_PAGE],
        total=len(found),
        number=number,
        pages=pages,
        status=status,
        q=q,
        statuses=STATUSES,
    )


def _matching(tasks: Sequence[Task], status: str, q: str) -> list[Task]:
    """Return the tasks of a status whose words hold a text, ordered by status, DAG and task."""
    order, wanted = list(STATUSES), q.strip().casefold()
    found = [task for task in tasks if status in ("", task["status"]) and wanted in _words(task)]
    return sorted(found, key=lambda task: (order.index(task["status"]), task["dag"], task["task"]))


def _words(task: Task) -> str:
    named = (task[name] for name in ("dag", "task", "operator", "gate", "file", "recognised_by", "problem"))
    exemption = (task["exemption"] or {}).values()
    return " ".join(word for word in (*named, *exemption) if word).casefold()
