"""A write repeated under the same `Idempotency-Key` gets the answer it got: nothing is done twice."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gate.api.auth import Principal
from gate.api.problems import framework_problem, problem_response
from gate.api.wire import JSON_TYPE
from gate.domain.canonical import digest
from gate.domain.instants import utc_now
from gate.errors import CannotDecide, GateError, InputError
from gate.ledger.store import Answer, Ledger

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
LIFETIME = timedelta(hours=24)
MAX_KEY = 200  # characters
MAX_ANSWER = 1_048_576  # bytes kept of an answer; no answer to a write is larger
_SWEEP_EVERY = 600.0  # seconds between two sweeps of expired answers


class Idempotency:
    """ASGI middleware for POST requests that name a key. Only successful JSON answers are kept.

    A key belongs to one caller, with the scopes it has now, and to one route: nobody gets another's answer.
    """

    def __init__(self, app: ASGIApp, ledger: Callable[[], Ledger]) -> None:
        self.app = app
        self._ledger = ledger
        self._busy: set[str] = set()
        self._swept = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory, or hand the request on and remember the answer."""
        key = Headers(scope=scope).get(HEADER) if scope["type"] == "http" and scope["method"] == "POST" else None
        principal: Principal | None = scope.get("state", {}).get("principal")
        if key is None or principal is None:
            await self.app(scope, receive, send)
            return
        if not (0 < len(key) <= MAX_KEY and key.isprintable()):
            await problem_response(InputError(f"must hold 1 to {MAX_KEY} characters", where=HEADER))(
                scope, receive, send
            )
            return
        name = _name(key, principal, scope)
        if name in self._busy:
            busy = CannotDecide("a request with this key is being answered", where=HEADER, reason="cannot_decide")
            await problem_response(busy, 409)(scope, receive, send)
            return
        self._busy.add(name)
        try:
            await self._answer(name, scope, receive, send)
        except GateError as error:
            await problem_response(error)(scope, receive, send)
        except HTTPException as error:
            await framework_problem(error)(scope, receive, send)
        finally:
            self._busy.discard(name)

    async def _answer(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        kept = await run_in_threadpool(lambda: self._ledger().answered(name))
        body = _Hashed(receive)
        if kept is None:
            await self._answer_first(name, body, scope, send)
            return
        await body.drain()
        if not hmac.compare_digest(body.digest, kept.request_digest):
            other = InputError("was used for another request", where=HEADER, hint="take a new key for a new request")
            await problem_response(other)(scope, receive, send)
            return
        replayed = Response(kept.body, kept.status, {REPLAYED: "true"}, JSON_TYPE)
        await replayed(scope, receive, send)

    async def _answer_first(self, name: str, body: _Hashed, scope: Scope, send: Send) -> None:
        answer = _Kept(send)
        await self.app(scope, body, answer)
        if answer.worth_keeping and body.complete:
            await run_in_threadpool(self._remember, name, Answer(body.digest, answer.status, bytes(answer.body)))
        await answer.release()

    def _remember(self, name: str, answer: Answer) -> None:
        try:
            self._ledger().remember(name, answer.request_digest, answer.status, answer.body)
            if monotonic() - self._swept > _SWEEP_EVERY:
                self._swept = monotonic()
                self._ledger().forget_answers(utc_now() - LIFETIME)
        except CannotDecide:
            # What was asked for is done and recorded; every use case is safe to repeat, so say so rather than fail.
            return


class _Hashed:
    """A request's body, hashed on its way."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._hash = hashlib.sha256()
        self.complete = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not self.complete:
            self._hash.update(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Take in the rest of the body."""
        while not self.complete:
            if (await self())["type"] == "http.disconnect":
                return

    @property
    def digest(self) -> str:
        """Digest of the bytes so far."""
        return "sha256:" + self._hash.hexdigest()


class _Kept:
    """An answer held back until it is remembered; one that is not worth it passes through."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: list[Message] = []
        self.status = 0
        self.body = bytearray()
        self.worth_keeping = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            json = Headers(raw=message["headers"]).get("content-type", "").startswith(JSON_TYPE)
            self.worth_keeping = 200 <= self.status < 300 and json
        elif message["type"] == "http.response.body" and self.worth_keeping:
            self.body += message.get("body", b"")
            self.worth_keeping = len(self.body) <= MAX_ANSWER
        if not self.worth_keeping:
            await self.release()
            await self._send(message)
        else:
            self._held.append(message)

    async def release(self) -> None:
        """Send what was held back."""
        held, self._held = self._held, []
        for message in held:
            await self._send(message)


def _name(key: str, principal: Principal, scope: Scope) -> str:
    whose = [principal.kind, principal.issuer, principal.name, sorted(principal.scopes)]
    return digest([*whose, scope["method"], scope["path"], scope["query_string"].decode("latin-1"), key])
