"""Answers `application/problem+json` whatever goes wrong: ours, the framework's, and what nobody foresaw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gate.api.wire import PROBLEM_TYPE, problem_of, status_of
from gate.errors import CannotDecide, GateError, InputError

RETRY_AFTER = 2  # seconds a client should wait when we cannot answer now
_RETRYABLE = frozenset({408, 409, 429, 503})


class NotAuthenticated(CannotDecide):
    """Nobody we know: 401."""

    status = 401


class NotAllowed(CannotDecide):
    """Somebody we know, who may not do this: 403."""

    status = 403


class Gone(InputError):
    """What was asked for is not there: 404."""

    status = 404


PROBLEM_RESPONSE: dict[str, Any] = {
    "description": "A problem (RFC 9457). `error` is the class of the error, `reason` a reason code.",
    "content": {
        PROBLEM_TYPE: {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail", "error", "message", "where", "hint", "reason"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "error": {"type": "string"},
                    "message": {"type": "string"},
                    **{name: {"type": ["string", "null"]} for name in ("where", "hint", "reason")},
                },
            }
        }
    },
}
PROBLEMS: dict[int | str, dict[str, Any]] = {"default": PROBLEM_RESPONSE, 422: PROBLEM_RESPONSE}


def problem_response(
    error: GateError, status: int | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the answer for one of our errors."""
    status = status or getattr(error, "status", None) or status_of(error)
    extra = dict(headers or {})
    if status == 401:
        extra["WWW-Authenticate"] = 'Bearer realm="consent-gate"'
    if status in _RETRYABLE:
        extra.setdefault("Retry-After", str(RETRY_AFTER))
    return JSONResponse(problem_of(error, status), status, extra, media_type=PROBLEM_TYPE)


def install(app: FastAPI) -> None:
    """Make the app answer problems."""
    app.add_exception_handler(GateError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _frameworks)
    app.add_exception_handler(Exception, _unforeseen)


async def _ours(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GateError)
    return problem_response(error)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Name the first wrong field; what stood in it may be personal and is not repeated."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    malformed = first["type"] == "json_invalid"
    where = ".".join(str(part) for part in first["loc"] if not malformed)
    message = "the body is not JSON" if malformed else str(first["msg"])
    return problem_response(InputError(message, where=where or None), 400 if malformed else 422)


async def _frameworks(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return framework_problem(error)


def framework_problem(error: HTTPException) -> JSONResponse:
    """Return the answer for a failure the framework found: no such route, no such method, too large, too slow."""
    kind = CannotDecide if error.status_code in _RETRYABLE or error.status_code >= 500 else InputError
    reason = "cannot_decide" if kind is CannotDecide else None
    return problem_response(kind(str(error.detail), reason=reason), error.status_code, error.headers)


async def _unforeseen(_: Request, __: Exception) -> JSONResponse:
    return problem_response(unforeseen(), 500)


def unforeseen() -> CannotDecide:
    """Build the error for what nobody foresaw: it says nothing of the inside."""
    return CannotDecide("the service failed", hint="its log says why", reason="cannot_decide")
