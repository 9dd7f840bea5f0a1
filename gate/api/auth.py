"""Who is calling: a service by its token, a person by a log-in; everything else is turned away before any route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from gate.api.problems import NotAllowed, NotAuthenticated, problem_response
from gate.api.wire import API
from gate.errors import GateError
from gate.ledger.store import Ledger
from gate.service.tokens import find_token, is_token

ACT = "act"  # a person may propose and approve two-person acts; no token ever holds it
ACCOUNTS = "accounts"  # see which accounts there are and what they agreed to
RUNS = "runs"  # see decisions of the DAGs that `Principal.sees`
ROLES: dict[str, frozenset[str]] = {
    "auditor": frozenset({"read", RUNS, ACCOUNTS}),
    "reviewer": frozenset({"read", RUNS, ACCOUNTS, ACT}),
    "recorder": frozenset({"read", RUNS, ACCOUNTS, "consent"}),
    "admin": frozenset({"read", RUNS, ACCOUNTS, ACT, "consent"}),
}
"""What people may do. Nobody appoints admins but the directory sync, so no role holds `directory`."""

PAGES = "/ui"  # where the pages for people are; everything else is the API
LOGIN = f"{PAGES}/login"
STATIC = f"{PAGES}/static"
LOGIN_COOKIE = "gate_login"  # holds the credential a browser logged in with; never readable by scripts
AIRFLOW_COOKIE = "_token"  # Airflow's own, which a browser also sends to an app that Airflow mounts

OPEN_PATHS = frozenset({"/healthz", "/readyz", f"{API}/openapi.json", LOGIN})
CSRF_HEADER = ("X-Requested-With", "consent-gate")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def everything(_: str) -> bool:
    """See the runs of every DAG."""
    return True


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    Attributes:
        name: a token's name, or the subject an issuer gave a person.
        kind: two-person acts need a `person`; a token is a `service`.
        scopes: what it may do: of `gate.service.tokens.Scope`, and `act` for people.
        issuer: who vouches: `gate` for tokens, `airflow`, or an OIDC issuer's address.
        from_cookie: the credential came by itself with the request, so that a mutation must prove it was meant.
        display: how to show a person to others; means nothing.
        sees: whether this caller may look at a DAG's runs, by DAG id; asked only of holders of `read` or `runs`.
    """

    name: str
    kind: Literal["service", "person"]
    scopes: frozenset[str]
    issuer: str
    from_cookie: bool = False
    display: str = ""
    sees: Callable[[str], bool] = field(default=everything, compare=False, repr=False)

    @property
    def actor(self) -> str:
        """What `recorded_actor` takes: `service:NAME`, or the person's log-in, which becomes an erasable reference."""
        return f"service:{self.name}" if self.kind == "service" else f"{self.issuer}|{self.name}"


class Authenticator(Protocol):
    """Recognises one kind of credential."""

    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        """Return the caller; `None` when the request bears no credential of this kind.

        Raises:
            NotAuthenticated: it bears one that does not hold.
            CannotDecide: it cannot be checked now.
        """


_Asked = tuple[asyncio.AbstractEventLoop, str]  # a token, in the loop whose tasks may wait for one another


class TokenAuthenticator:
    """Service tokens, looked up in the ledger at every request: a revocation counts at once.

    Requests that come with one token while it is being looked up share the next look: none gets an answer that was
    on its way when it came.
    """

    def __init__(self, ledger: Callable[[], Ledger], clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._waiting: dict[_Asked, asyncio.Task[Principal]] = {}
        self._looking: dict[_Asked, asyncio.Task[Principal]] = {}

    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        """Return the service behind a token; see `Authenticator`."""
        text, from_cookie = credential(connection)
        if not text or not is_token(text):
            return None
        asked = asyncio.get_running_loop(), text
        if asked not in self._waiting:
            self._waiting[asked] = asyncio.create_task(self._look_up_next(asked))
        found = await asyncio.shield(self._waiting[asked])  # who leaves takes the answer from nobody else
        return replace(found, from_cookie=from_cookie)

    async def _look_up_next(self, asked: _Asked) -> Principal:
        while asked in self._looking:
            await asyncio.wait([self._looking[asked]])
        self._looking[asked] = self._waiting.pop(asked)  # whoever comes from here on waits for another look
        try:
            return await run_in_threadpool(self._look_up, asked[1])
        finally:
            del self._looking[asked]

    def _look_up(self, text: str) -> Principal:
        token = self._ledger().look(lambda reader: find_token(reader, text))
        state = "unknown" if token is None else token.state(self._clock())
        if token is None or state != "valid":
            raise NotAuthenticated(
                f"the service token is {state}",
                hint="an operator makes one with `gate tokens create`",
                reason="cannot_decide",
            )
        scopes = frozenset(scope.value for scope in token.scopes)
        return Principal(
            token.name, "service", scopes | ({RUNS, ACCOUNTS} if "read" in scopes else frozenset()), "gate"
        )


Refusing = Callable[[Scope, GateError], ASGIApp]


def _as_problem(_: Scope, error: GateError) -> ASGIApp:
    return problem_response(error)


class Authentication:
    """ASGI middleware: no request reaches a route without a principal, except the few paths that are open.

    Args:
        app: what comes next.
        authenticators: recognise callers, asked in order.
        refusing: makes the answer for a caller who is turned away.
    """

    def __init__(self, app: ASGIApp, authenticators: Sequence[Authenticator], refusing: Refusing = _as_problem) -> None:
        self.app = app
        self.authenticators = authenticators
        self.refusing = refusing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate, or answer 401 or 403."""
        if scope["type"] != "http" or is_open(route_path(scope)):
            await self.app(scope, receive, send)
            return
        try:
            principal = await self._authenticate(HTTPConnection(scope))
        except GateError as error:
            await self.refusing(scope, error)(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        await self.app(scope, receive, send)

    async def _authenticate(self, connection: HTTPConnection) -> Principal:
        for authenticator in self.authenticators:
            principal = await authenticator(connection)
            if principal is not None:
                if principal.from_cookie and connection.scope["method"] not in _READING:
                    _check_meant(connection)
                return principal
        raise NotAuthenticated(
            "no credential that is known here",
            hint="send Authorization: Bearer with a service token or a log-in",
            reason="cannot_decide",
        )


_DOCUMENTED = Depends(HTTPBearer(auto_error=False))  # says in the OpenAPI document what `Authentication` demands


async def _holding(scopes: SecurityScopes, request: Request, _: Annotated[Any, _DOCUMENTED]) -> Principal:
    principal: Principal = request.state.principal
    if principal.scopes.isdisjoint(scopes.scopes):
        raise NotAllowed(
            f"needs the scope {' or '.join(scopes.scopes)}",
            hint="use a token or log-in that holds it; see docs/service.md",
            reason="cannot_decide",
        )
    return principal


def needs(*scopes: str) -> Any:
    """Return the dependency that demands one of these scopes and gives the `Principal`."""
    return Security(_holding, scopes=list(scopes))


async def person(request: Request) -> Principal:
    """Dependency: the caller, who must be a person that logged in.

    Raises:
        NotAllowed: a token, whatever it holds.
    """
    principal: Principal = request.state.principal
    if principal.kind != "person":
        raise NotAllowed(
            "only people who logged in may do this", hint="log in; a service token is no person", reason="cannot_decide"
        )
    return principal


async def _anybody(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


Anybody = Annotated[Principal, Depends(_anybody)]
Person = Annotated[Principal, Depends(person)]
Reads = Annotated[Principal, needs("read")]


def is_open(path: str) -> bool:
    """Whether a path answers anybody: health, the API's description, the log-in page, scripts and styles."""
    return path in OPEN_PATHS or path.startswith(f"{STATIC}/")


def credential(connection: HTTPConnection) -> tuple[str | None, bool]:
    """Return what a caller shows, and whether a browser sent it by itself."""
    shown = bearer(connection)
    return (shown, False) if shown else (connection.cookies.get(LOGIN_COOKIE), True)


def bearer(connection: HTTPConnection) -> str | None:
    """Return the bearer credential of a request, if it has one."""
    scheme, _, credential = connection.headers.get("Authorization", "").partition(" ")
    return credential.strip() or None if scheme.lower() == "bearer" else None


def route_path(scope: Scope) -> str:
    """Return the path below the place where the app is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _check_meant(connection: HTTPConnection) -> None:
    """Refuse what another site could make a browser send: a cookie alone proves nothing (facts: Airflow's `_token`).

    A form of our pages cannot send headers; it carries a token of its own, which `gate.web.access` checks.
    """
    name, value = CSRF_HEADER
    form = route_path(connection.scope).startswith(f"{PAGES}/")
    if not (form or connection.headers.get(name) == value) or not same_origin(connection):
        raise NotAllowed(
            "a log-in by cookie needs proof that the request comes from our own page",
            where=name,
            hint=f"send {name}: {value} from the same origin, or a bearer token",
            reason="cannot_decide",
        )


def same_origin(connection: HTTPConnection) -> bool:
    """Whether a browser says that a page of this very origin sent the request."""
    said = connection.headers.get("Sec-Fetch-Site")
    if said is not None:
        return said == "same-origin"
    origin = connection.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc == connection.headers.get("Host")
