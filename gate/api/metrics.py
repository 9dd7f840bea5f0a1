"""What operators watch, in Prometheus' words; labels hold codes only, never an account, a person or a dataset."""

from __future__ import annotations

import os
from time import perf_counter

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"  # the library's own setting; `gate serve --workers` sets it
CONTENT_TYPE = CONTENT_TYPE_LATEST
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class Metrics:
    """The counters of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "gate_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "gate_request_seconds", "Time to answer.", ["method", "route"], buckets=_SECONDS, registry=self.registry
        )
        self.decisions = Counter("gate_decisions", "Decisions recorded.", ["verdict"], registry=self.registry)
        self.redemptions = Counter(
            "gate_redemptions", "Permits asked for at training start.", ["outcome", "reason"], registry=self.registry
        )
        self.entries = Gauge(
            "gate_ledger_entries", "Entries in the ledger.", registry=self.registry, multiprocess_mode="max"
        )

    def exposition(self, ledger_size: int) -> bytes:
        """Return everything in Prometheus' text format, of all worker processes."""
        self.entries.set(ledger_size)
        if MULTIPROCESS not in os.environ:
            return generate_latest(self.registry)
        from prometheus_client.multiprocess import MultiProcessCollector

        everything = CollectorRegistry()
        MultiProcessCollector(everything)  # type: ignore[no-untyped-call]
        return generate_latest(everything)


class Observing:
    """ASGI middleware: counts and times every request by its route's template."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on and watch its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "none")
            self.metrics.requests.labels(method, route, status).inc()
            self.metrics.seconds.labels(method, route).observe(perf_counter() - began)
