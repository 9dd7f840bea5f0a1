"""The HTTP API: one app, which `gate serve` runs and Airflow's plugin mounts; it holds ledger and signing key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from threading import Lock

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from gate import __version__
from gate.api import acts, health, impact, lineage_graph, lineage_intake, mode, problems, records, seam
from gate.api.auth import Authentication, Authenticator, Refusing, TokenAuthenticator
from gate.api.idempotency import Idempotency
from gate.api.limits import Limiting, Limits
from gate.api.metrics import Metrics, Observing
from gate.api.wire import API
from gate.ledger.store import Ledger
from gate.service.core import Service
from gate.service.together import Together


class Opened:
    """The service of one process: opened at the first request that needs it, and again after opening failed."""

    def __init__(self, open_: Callable[[], Service]) -> None:
        self._open = open_
        self._lock = Lock()
        self._service: Service | None = None

    def __call__(self) -> Service:
        """Return the open service.

        Raises:
            CannotDecide: it cannot be opened now.
        """
        if self._service is None:
            with self._lock:
                if self._service is None:
                    service = self._open()
                    service.together = Together()
                    self._service = service
        return self._service

    def ledger(self) -> Ledger:
        """Return the open service's ledger."""
        return self().ledger

    def close(self) -> None:
        """Close the service if it was opened."""
        with self._lock:
            service, self._service = self._service, None
        if service is not None:
            service.close()


@asynccontextmanager
async def _closing(opened: Opened, _: FastAPI) -> AsyncIterator[None]:
    yield
    await run_in_threadpool(opened.close)


def create_app(
    open_: Callable[[], Service],
    *,
    authenticators: Sequence[Authenticator] = (),
    limits: Limits | None = None,
    refusing: Refusing | None = None,
) -> FastAPI:
    """Build the app.

    Args:
        open_: opens the service; called once per process, at the first request. What it returns must know how to
            `confirm` that a task is running, or nothing can be redeemed.
        authenticators: recognise people (Airflow's log-in, OIDC). Service tokens are always known.
        limits: what a request may cost.
        refusing: makes the answer for a caller who is turned away; a problem when omitted.

    Returns:
        The app. Run by itself it closes the service at the end; mounted, the process' end does.
    """
    opened, metrics = Opened(open_), Metrics()
    turned_away: dict[str, Refusing] = {} if refusing is None else {"refusing": refusing}
    tokens = TokenAuthenticator(opened.ledger, lambda: opened().clock())
    app = FastAPI(
        title="Consent Gate",
        version=__version__,
        description="Decides whether training may use data, and records every answer. Times are RFC 3339 in UTC.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # the usual pages load their scripts from elsewhere
        redoc_url=None,
        separate_input_output_schemas=False,
        responses=problems.PROBLEMS,
        redirect_slashes=False,
        lifespan=partial(_closing, opened),
        middleware=[  # outermost first
            Middleware(Observing, metrics=metrics),
            Middleware(Authentication, authenticators=(tokens, *authenticators), **turned_away),
            Middleware(Limiting, limits=limits or Limits()),
            Middleware(Idempotency, ledger=opened.ledger),
        ],
    )
    app.state.opened = opened
    app.state.metrics = metrics
    app.state.readiness = health.Readiness()
    problems.install(app)
    for part in (health, seam, records, mode, acts, lineage_intake, lineage_graph, impact):
        app.include_router(part.router)
    return app
