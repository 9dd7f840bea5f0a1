"""The whole app: the API, and the pages for people beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Thread
from urllib.parse import quote, unquote

from fastapi import APIRouter, Depends, FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gate.api import problems
from gate.api.app import create_app
from gate.api.auth import LOGIN, LOGIN_COOKIE, PAGES, STATIC, Authenticator, TokenAuthenticator, route_path, same_origin
from gate.api.limits import Limits
from gate.api.oidc import OidcAuthenticator, read_oidc_settings
from gate.api.problems import NotAuthenticated
from gate.api.serving import open_served, warm_up
from gate.errors import GateError, InputError
from gate.service.core import Service
from gate.service.decision_index import DecisionIndex
from gate.web import accounts, badge, coverage, decision, decisions, impact, ledger, lineage, policy
from gate.web.access import Sent
from gate.web.host import ALONE, Host
from gate.web.pace import ORDINARY, Pace, Pacing
from gate.web.pages import BUILT, HEADERS, page

router = APIRouter(prefix=PAGES, include_in_schema=False)
LOGIN_LIFETIME = 8 * 3600  # seconds a browser stays logged in; the credential itself may end earlier


def create_site(
    open_: Callable[[], Service],
    *,
    authenticators: Sequence[Authenticator] = (),
    limits: Limits | None = None,
    host: Host = ALONE,
    pace: Pace = ORDINARY,
) -> FastAPI:
    """Build the API with the pages.

    Args:
        open_: see `gate.api.app.create_app`.
        authenticators: recognise people. Service tokens are always known.
        limits: what a request may cost.
        host: what surrounds the pages.
        pace: how many pages one caller gets.
    """

    def refusing(scope: Scope, error: GateError) -> ASGIApp:
        if not route_path(scope).startswith(PAGES):
            return problems.problem_response(error)
        return _problem_page(Request({**scope, "app": app}), error)

    app = create_app(open_, authenticators=authenticators, limits=limits, refusing=refusing)
    app.add_middleware(_Guarded)
    app.state.host = host
    opened = app.state.opened
    app.state.decisions = DecisionIndex(opened.ledger)
    app.state.authenticators = (TokenAuthenticator(opened.ledger, lambda: opened().clock()), *authenticators)
    app.mount(STATIC, _Built(directory=BUILT, check_dir=False), name="static")
    _answer_pages(app)
    paced = [Depends(Pacing(pace))]
    for part in (decisions, decision, lineage, impact, ledger, accounts, policy, coverage, badge):
        app.include_router(part.router, prefix=PAGES, include_in_schema=False, dependencies=paced)
    app.include_router(router, dependencies=paced)
    return app


def served() -> FastAPI:
    """Build what one worker process of `gate serve` runs; uvicorn calls it.

    Raises:
        InputError: a setting that cannot be right.
    """
    oidc = read_oidc_settings(os.environ)
    people = [] if oidc is None else [OidcAuthenticator(oidc)]
    Thread(target=warm_up, daemon=True).start()
    airflow = os.environ.get("GATE_AIRFLOW_URL")
    return warmed(create_site(open_served, authenticators=people, host=Host(airflow=airflow and airflow.rstrip("/"))))


def warmed(app: FastAPI) -> FastAPI:
    """Let a site read the ledger's decisions now, so that its first visitor need not wait for it."""
    Thread(target=_read_decisions, args=(app.state.decisions,), daemon=True).start()
    return app


def _read_decisions(decisions: DecisionIndex) -> None:
    with suppress(GateError):  # whoever asks first is told
        decisions.rows()


class _Guarded:
    """ASGI middleware: whatever is answered below `PAGES` bears the headers that keep pages safe, downloads too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers that an answer does not have itself."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        ours = scope["type"] == "http" and route_path(scope).startswith(PAGES)
        await self.app(scope, receive, guarded if ours else send)


class _Built(StaticFiles):
    """The built scripts and styles; their names carry a digest, so browsers may keep them."""

    def file_response(self, *args: object, **options: object) -> Response:
        """Answer a file."""
        response = super().file_response(*args, **options)  # type: ignore[arg-type]
        if f"{os.sep}assets{os.sep}" in str(args[0]):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def _answer_pages(app: FastAPI) -> None:
    """Let everything that goes wrong below `PAGES` be told on a page, and elsewhere as a problem."""
    for kind in (GateError, RequestValidationError, HTTPException, Exception):
        inner = app.exception_handlers[kind]

        async def answer(request: Request, error: Exception, inner: Callable[..., object] = inner) -> Response:
            response: Response = await inner(request, error)  # type: ignore[misc]
            if not route_path(request.scope).startswith(PAGES):
                return response
            told = error if isinstance(error, GateError) else _told(error, response.status_code)
            return _problem_page(request, told, response.status_code)

        app.add_exception_handler(kind, answer)


def _told(error: Exception, status: int) -> GateError:
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return InputError(str(first["msg"]), where=str(first["loc"][-1]))
    if isinstance(error, HTTPException) and status == 404:
        return problems.Gone("there is no such page")
    return InputError(str(error.detail)) if isinstance(error, HTTPException) else problems.unforeseen()


def _problem_page(request: Request, error: GateError, status: int | None = None) -> Response:
    told = problems.problem_response(error)
    status = status or told.status_code
    host: Host = request.app.state.host
    query = f"?{request.url.query}" if request.url.query else ""
    back = request.url.path + query if request.method == "GET" else f"{_root(request)}{PAGES}/decisions"
    own = str(request.scope.get("root_path", "")) + LOGIN
    login = host.login(back) if host.login else f"{own}?next={quote(back, safe='')}"
    answer = page(request, "problem.html", status, error=error, status=status, login=login)
    if later := told.headers.get("Retry-After"):
        answer.headers["Retry-After"] = later
    return answer


@router.get("")
@router.get("/")
async def home(request: Request) -> Response:
    """Lead to the first page."""
    return RedirectResponse(_root(request) + f"{PAGES}/decisions", 303)


@router.get("/login")
async def login_form(request: Request, next: str = "") -> Response:  # noqa: A002  # its name in the address
    """Ask for a credential, where nobody around us knows the caller."""
    host: Host = request.app.state.host
    if host.login is not None:
        return RedirectResponse(host.login(_inside(request, next)), 303)
    return page(request, "login.html", next=_inside(request, next), wrong="")


@router.post("/login")
async def login(request: Request, credential: str = Form(max_length=20_000), next: str = Form("")) -> Response:  # noqa: A002
    """Check a credential and keep it in a cookie that no script can read."""
    if request.app.state.host.login is not None or not same_origin(request):
        raise problems.NotAllowed("log in where these pages are shown", reason="cannot_decide")
    shown = HTTPConnection(
        {**request.scope, "headers": [(b"authorization", f"Bearer {credential.strip()}".encode("latin-1", "replace"))]}
    )
    target = _inside(request, next)
    try:
        known = [found for one in request.app.state.authenticators if (found := await one(shown)) is not None]
    except NotAuthenticated as error:
        return page(request, "login.html", 401, next=target, wrong=error.message)
    if not known:
        return page(request, "login.html", 401, next=target, wrong="this is no credential that is known here")
    return _keeping(request, credential.strip(), LOGIN_LIFETIME, target)


@router.post("/logout")
async def logout(request: Request, _: Sent) -> Response:
    """Forget the credential that a browser logged in with."""
    if request.app.state.host.login is not None:
        raise problems.Gone("log out where you logged in")
    return _keeping(request, "", 0, f"{_root(request)}{LOGIN}")


def _keeping(request: Request, credential: str, seconds: int, target: str) -> Response:
    """Lead on, and let the browser keep a credential for so long."""
    response = RedirectResponse(target, 303)
    response.set_cookie(
        LOGIN_COOKIE,
        credential,
        max_age=seconds,
        path=_root(request) or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _inside(request: Request, path: str) -> str:
    """Return where to go after logging in: only ever one of our own pages."""
    own = _root(request) + PAGES
    plain = path.startswith(f"{own}/") and path.isprintable() and "\\" not in path
    climbs = ".." in unquote(path.partition("?")[0]).split("/")  # a browser resolves it, encoded or not
    return path if plain and not climbs else f"{own}/decisions"
