"""One decision, as a page and as Airflow's tab: what happened, what lacks what, and what to do next."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from gate.api.auth import ACCOUNTS, Principal
from gate.api.health import service_of
from gate.api.problems import Gone
from gate.service.reviewer_view import Shown, Viewer, lineage_event, show_decision, show_run
from gate.service.run_view import Asked, read_map_index
from gate.web.access import SeesRuns, only_seen
from gate.web.pages import HEADERS, decisions_of, host_of, page

router = APIRouter()
EARLIER = 10  # decisions of the same DAG that are listed

Id = Annotated[str, Query(max_length=1000)]
Index = Annotated[int, Path(ge=0, lt=1 << 62)]


@router.get("/run")
def run_page(
    request: Request,
    principal: SeesRuns,
    dag_id: Id,
    run_id: Id,
    task_id: Id = "",
    map_index: Id = "",
    all: bool = False,  # noqa: A002  # its name in the address
) -> Response:
    """Show what is known of a DAG run, or of one of its tasks."""
    only_seen(principal, dag_id)
    asked = Asked(dag_id, run_id, task_id or None, read_map_index(map_index))
    shown = show_run(service_of(request), asked, _viewer(request, principal), everything=all)
    here = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    return _page(request, principal, shown, "run", here, everything=all)


@router.get("/decisions/{index}")
def decision_page(
    request: Request,
    principal: SeesRuns,
    index: Index,
    all: bool = False,  # noqa: A002  # its name in the address
) -> Response:
    """Show one decision."""
    shown = show_decision(service_of(request), index, _viewer(request, principal), everything=all)
    if shown is None:
        raise nothing_here()
    return _page(request, principal, shown, f"decisions/{index}", {}, everything=all)


@router.get("/decisions/{index}/lineage.json")
def decision_event(request: Request, principal: SeesRuns, index: Index) -> Response:
    """Give out the OpenLineage event of a decision."""
    event = lineage_event(service_of(request), index, principal.sees)
    if event is None:
        raise nothing_here()
    return download(event, f"decision-{index}-openlineage.json")


def download(text: str, name: str) -> Response:
    """Answer JSON that a browser keeps as a file."""
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="application/json", headers=headers)


def nothing_here() -> Gone:
    """Return the refusal for what does not exist, in the words for what may not be seen."""
    return Gone("there is nothing here that you may see", hint="ask for access to the DAG")


def _viewer(request: Request, principal: Principal) -> Viewer:
    return Viewer(principal.sees, ACCOUNTS in principal.scopes, principal.actor, host_of(request).parked)


def _page(
    request: Request, principal: Principal, shown: Shown, path: str, here: dict[str, str], *, everything: bool
) -> Response:
    rested = shown.rested
    earlier = []
    if rested is not None:
        rows = (row for row in decisions_of(request).rows() if row.dag_id == rested.run.dag_id)
        before = (row for row in rows if row.index < rested.entry.idx and row.verdict != "refused")
        earlier = [row for row, _ in zip(before, range(EARLIER), strict=False)]
    return page(
        request,
        "run.html" if rested is None else "decision.html",
        section="decisions",
        shown=shown,
        view=shown.view,
        asked=shown.view.asked,
        headline=shown.headline,
        rested=rested,
        earlier=earlier,
        named=ACCOUNTS in principal.scopes,
        path=path,
        here=here,
        everything=everything,
    )
