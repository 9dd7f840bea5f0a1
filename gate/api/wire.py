"""Errors on the wire: every GateError as an RFC 9457 problem, and back into the very same class at the client."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from gate import errors
from gate.errors import Blocked, CannotDecide, CheckFailed, GateError, InputError, TamperingFound

API = "/api/v1"
PROBLEM_TYPE = "application/problem+json"
JSON_TYPE = "application/json"
MAX_PROBLEM = 65_536  # bytes a client reads of an error

_FIELDS = ("where", "hint", "reason")

# First match wins. A permission that is missing is 403 like a block; the class tells them apart.
_STATUS: tuple[tuple[type[GateError], int], ...] = (
    (InputError, 422),
    (Blocked, 403),
    (CannotDecide, 503),
    (CheckFailed, 409),
    (TamperingFound, 500),
)


def status_of(error: GateError) -> int:
    """Return the HTTP status of one of our errors."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_of(error: GateError, status: int | None = None) -> dict[str, Any]:
    """Return one of our errors as an RFC 9457 problem.

    Args:
        error: whose `error`, `message`, `where`, `hint` and `reason` become extension members.
        status: the HTTP status, when it is not the usual one of this kind.
    """
    status = status_of(error) if status is None else status
    kind = _public_kind(error)
    return {
        "type": f"urn:consent-gate:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": str(error),
        **error.to_dict(),
        "error": kind,
    }


def error_of(status: int, content_type: str, body: bytes) -> GateError:
    """Return the error a problem answer stands for; anything else than a problem of ours is `CannotDecide`.

    Args:
        status: the answer's HTTP status, no success.
        content_type: its media type.
        body: its bytes.
    """
    fields = _problem_fields(body) if content_type.partition(";")[0].strip() == PROBLEM_TYPE else None
    kind = getattr(errors, str(fields.get("error")), None) if fields else None
    if fields is None or not (isinstance(kind, type) and issubclass(kind, GateError)):
        return unintelligible(f"it answered {status} without saying why")
    return kind(str(fields["message"]), **{name: _text(fields.get(name)) for name in _FIELDS})


def unintelligible(what: str) -> CannotDecide:
    """Build the error for an answer that is not one of the decision service."""
    return CannotDecide(
        f"the decision service cannot be understood: {what}",
        hint="check that the connection's URL is that of `gate serve`, and its log",
        reason="cannot_decide",
    )


def _problem_fields(body: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) and isinstance(fields.get("message"), str) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _public_kind(error: GateError) -> str:
    """Return the name of the nearest class that both sides know."""
    names: list[str] = [kind.__name__ for kind in type(error).__mro__ if getattr(errors, kind.__name__, None) is kind]
    return names[0]
