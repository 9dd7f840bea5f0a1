"""Takes OpenLineage events over HTTP, as the client's `http` transport sends them."""

from __future__ import annotations

import json
import zlib
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from gate.api.auth import Principal, needs
from gate.api.health import service_of
from gate.api.problems import problem_response
from gate.api.wire import API
from gate.errors import InputError
from gate.lineage.observed import observe
from gate.service.tokens import Scope

router = APIRouter(prefix=API, tags=["lineage"])

MAX_EVENT = 4_194_304  # bytes of an event once it is unpacked; how much may come in, `gate.api.limits` says

_STATUS = {"new": 201, "known": 200, "spooled": 202}
_EVENT = {"type": "object", "required": ["eventTime"], "properties": {"eventTime": {"type": "string"}}}
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": _EVENT}}}}
_KEPT = {
    "description": "It is kept: `new`, `known` from before, or `spooled` until the store can be written.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["event"],
                "properties": {"event": {"type": "string", "enum": list(_STATUS)}},
            }
        }
    },
}


@router.post(
    "/lineage",
    status_code=201,
    openapi_extra=_BODY,
    responses=dict.fromkeys(_STATUS.values(), _KEPT),
)
async def take_event(request: Request, _: Annotated[Principal, needs(Scope.LINEAGE)]) -> JSONResponse:
    """Keep an OpenLineage RunEvent, DatasetEvent or JobEvent; one that is known changes nothing. gzip is understood."""
    body = await request.body()
    packed = request.headers.get("Content-Encoding", "identity").strip().lower()
    return await run_in_threadpool(_take, request, body, packed)


def _take(request: Request, body: bytes, packed: str) -> JSONResponse:
    try:
        event: Any = json.loads(_unpacked(body, packed))
    except (ValueError, RecursionError):
        return problem_response(InputError("the body is not JSON"), 400)
    kept = service_of(request).intake.accept(observe(event, "body"))
    return JSONResponse({"event": kept}, _STATUS[kept])


def _unpacked(body: bytes, packed: str) -> bytes:
    """Return the event's bytes.

    Raises:
        InputError: packed in a way we do not know, damaged, or too large.
    """
    if packed == "identity":
        return body
    if packed != "gzip":
        raise InputError("is neither gzip nor identity", where="Content-Encoding")
    unpacking = zlib.decompressobj(wbits=31)
    try:
        event = unpacking.decompress(body, MAX_EVENT)
    except zlib.error:
        raise InputError("the body is not gzip", where="body") from None
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise InputError(f"the event is damaged or larger than {MAX_EVENT} bytes", where="body")
    return event
