"""Answers questions about lineage over HTTP: the same answer as `gate lineage`, without what the caller may not see."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import StringConstraints

from gate.api.auth import Reads
from gate.api.health import service_of
from gate.api.wire import API
from gate.service.lineage_export import MEDIA_TYPES, written
from gate.service.lineage_questions import MOST_DEPTH, MOST_ROOTS, Question, ask, question_at
from gate.service.lineage_store import open_lineage

router = APIRouter(prefix=API, tags=["lineage"])

Name = Annotated[str, StringConstraints(min_length=1, max_length=4100, pattern=r"^[^\x00]*$")]
Format = Literal["json", "dot", "mermaid", "svg", "html", "prov", "openlineage"]
_FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer: nodes with facts, links with verdicts; or the form that was asked for.",
        "content": {
            kind: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values() if kind != MEDIA_TYPES["json"]
        },
    }
}
_INERT = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}  # shown, never run


@router.get("/lineage/graph", response_model=dict[str, Any], responses=_FORMS)
def lineage_graph(
    request: Request,
    caller: Reads,
    node: Annotated[list[Name], Query(min_length=1, max_length=MOST_ROOTS)],
    direction: Literal["upstream", "downstream", "both"] = "upstream",
    as_of: Annotated[str | None, Query(json_schema_extra={"format": "date-time"})] = None,
    ledger_index: Annotated[int | None, Query(ge=0, le=2**53 - 1)] = None,
    level: Literal["run", "dataset"] = "run",
    depth: Annotated[int | None, Query(ge=0, le=MOST_DEPTH)] = None,
    category: Annotated[str | None, Query(max_length=40)] = None,
    form: Annotated[Format, Query(alias="format")] = "json",
) -> Response:
    """Say what lies up- or downstream of nodes, as of an instant or an entry of the ledger.

    A node is named `model:NAME`, by a dataset's URI or name (`@VERSION`, `@all`), `sha256:…`, `run:UUID`,
    `DAG/RUN_ID/TASK`, `job:NAMESPACE/NAME` or `decision:INDEX`. Runs, jobs and decisions of DAGs that the caller may
    not see are left out, with what can only be reached through them.
    """
    service = service_of(request)
    asked = Question(tuple(node), direction, level=level, depth=depth, category=category)
    question = question_at(asked, as_of, ledger_index, lambda: service)
    with open_lineage(service.settings) as store:
        if form == "json":
            return JSONResponse(ask(store, question, sees=caller.sees))
        document = "".join(written(store, question, form, sees=caller.sees))
    return Response(document, media_type=MEDIA_TYPES[form], headers=_INERT)
