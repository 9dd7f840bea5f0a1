"""A real `gate serve` in this process: the app on a loopback port of its own, and tokens and clients for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from gate.api.app import create_app
from gate.api.auth import Authenticator
from gate.api.client import RemoteService
from gate.api.limits import Limits
from gate.service.core import Service
from gate.service.settings import Settings
from gate.service.tokens import create_token

WORKER = ("tag", "decide", "redeem")


@dataclass
class Served:
    """A running service: where it is, and ways to talk to it."""

    url: str
    service: Service
    opened: ExitStack = field(default_factory=ExitStack)

    def token(self, *scopes: str, name: str = "worker", days: int = 1) -> str:
        """Make a token; a worker's unless scopes are named."""
        new = create_token(
            self.service, name, scopes or WORKER, lifetime=timedelta(days=days), by="service:test", via="cli"
        )
        return new.text

    def http(self, *scopes: str, **options: Any) -> httpx.Client:
        """Return a plain HTTP client with a token."""
        headers = {"Authorization": f"Bearer {self.token(*scopes)}"}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, **options)
        return self.opened.enter_context(client)

    def remote(self, *scopes: str, settings: Settings | None = None, **options: Any) -> RemoteService:
        """Return what a worker works with; it pins the service's keys and goes by its clock."""
        options = {"settings": settings or self.service.settings, "clock": self.service.clock, **options}
        remote = RemoteService(self.url, self.token(*scopes), self.service.pinned_keys, **options)
        return self.opened.enter_context(remote)


@contextmanager
def served(
    service: Service, *, authenticators: Sequence[Authenticator] = (), limits: Limits | None = None
) -> Iterator[Served]:
    """Serve an open service on loopback; the caller closes the service."""
    app = create_app(lambda: service, authenticators=authenticators, limits=limits)
    with listening(app) as url, ExitStack() as opened:
        yield Served(url, service, opened)


@contextmanager
def listening(app: FastAPI | Callable[..., Any]) -> Iterator[str]:
    """Run any ASGI app under uvicorn on a free loopback port; yield its URL."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=5, access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the server did not start")
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{place.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
