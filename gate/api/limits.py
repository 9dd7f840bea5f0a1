"""Bounds what a request may cost: bytes counted as they come in, and seconds until all of them are there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gate.api.auth import route_path
from gate.api.problems import problem_response
from gate.errors import InputError

UPLOAD_PATHS = ("/decisions", "/previews", "/passing")  # ends of the paths that take censuses


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may cost.

    Attributes:
        body: bytes of an ordinary body.
        upload: bytes of a body with censuses: a line per account and category in the data.
        body_seconds, upload_seconds: until the last byte must have come.
    """

    body: int = 1_048_576
    upload: int = 536_870_912
    body_seconds: float = 15.0
    upload_seconds: float = 300.0


class Limiting:
    """ASGI middleware: a body that is too large or too slow is refused while it comes in, with 413 or 408."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on with a body that is counted and timed."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        large = route_path(scope).endswith(UPLOAD_PATHS)
        limit = self.limits.upload if large else self.limits.body
        if _declared_length(scope) > limit:
            await problem_response(InputError(f"the body is larger than {limit} bytes"), 413)(scope, receive, send)
            return
        deadline = asyncio.get_running_loop().time() + (
            self.limits.upload_seconds if large else self.limits.body_seconds
        )
        received, complete = 0, False

        async def counted() -> Message:
            nonlocal received, complete
            if complete:  # what follows a body is the client leaving, which takes as long as it takes
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the body did not come in time") from None
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, f"the body is larger than {limit} bytes")
            complete = not message.get("more_body", False)
            return message

        await self.app(scope, counted, send)


def _declared_length(scope: Scope) -> int:
    said = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(said) if said.isdigit() else 0
