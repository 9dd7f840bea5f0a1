"""For whoever runs the service: does the process live, can it do its work, what did it do, who am I to it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from gate.api.auth import Anybody, Reads
from gate.api.metrics import CONTENT_TYPE, Metrics
from gate.api.problems import problem_response
from gate.api.wire import API
from gate.errors import CannotDecide, GateError
from gate.service.anchors import check_anchor
from gate.service.core import Service

READY_FOR = 1.0  # seconds an answer of /readyz is given again

router = APIRouter()


def service_of(request: Request) -> Service:
    """Return the open service; call it from a thread, for opening takes a while."""
    service: Service = request.app.state.opened()
    return service


@router.get("/healthz", response_class=PlainTextResponse, tags=["operation"])
async def alive() -> str:
    """Say that the process lives; it says nothing of the ledger."""
    return "ok"


@router.get("/readyz", tags=["operation"])
def ready(request: Request) -> JSONResponse:
    """Say whether the service can decide: the ledger is whole and can be written, clock and signing key are right."""
    readiness: Readiness = request.app.state.readiness
    error = readiness.error(lambda: service_of(request))
    if error is not None:
        # Anybody may ask, so it tells what is wrong and not where on this machine.
        return problem_response(CannotDecide(error.message, hint=error.hint, reason="cannot_decide"))
    return JSONResponse({"ready": True})


@router.get("/metrics", response_class=PlainTextResponse, tags=["operation"])
def metrics(request: Request, _: Reads) -> Response:
    """Return Prometheus metrics; needs the scope `read`."""
    watched: Metrics = request.app.state.metrics
    return Response(watched.exposition(service_of(request).ledger_size()), media_type=CONTENT_TYPE)


@router.get(f"{API}/whoami", tags=["operation"])
async def whoami(principal: Anybody) -> dict[str, Any]:
    """Say who the caller is here, and what it may do."""
    return {
        "name": principal.name,
        "kind": principal.kind,
        "issuer": principal.issuer,
        "scopes": sorted(principal.scopes),
    }


class Readiness:
    """The newest answer to `/readyz`, so that asking it often costs the ledger nothing."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._error: GateError | None = None
        self._until = float("-inf")

    def error(self, open_: Callable[[], Service]) -> GateError | None:
        """Return what is wrong, at most `READY_FOR` seconds old."""
        with self._lock:
            if monotonic() > self._until:
                try:
                    check_ready(open_())
                    self._error = None
                except GateError as error:
                    self._error = error
                self._until = monotonic() + READY_FOR
            return self._error


def check_ready(service: Service) -> None:
    """Check everything a decision needs.

    Raises:
        GateError: with what is missing.
    """
    _ = service.key, service.pinned_keys
    with service.ledger.write() as tx:  # takes the writer's place for a moment, and appends nothing
        service.policy(tx)
        service.now(tx)
        check_anchor(service, tx)
