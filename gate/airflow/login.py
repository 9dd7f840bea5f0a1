"""People who are logged in to Airflow, as the gate's API knows them."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from gate.api.auth import ACT, Principal, bearer
from gate.api.problems import NotAuthenticated

ISSUER = "airflow"
COOKIE = "_token"  # Airflow's log-in cookie, which a browser also sends to us


class AirflowAuthenticator:
    """Recognises Airflow's bearer token or log-in cookie; what a person may do follows from what Airflow lets them.

    Whoever may read the audit log may read here. Whoever may change connections decides already where a task finds its
    gate: they may propose and approve two-person acts. Nobody may consent for a customer.
    """

    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        """Return the person; see `gate.api.auth.Authenticator`."""
        token, from_cookie = bearer(connection), False
        if token is None:
            token, from_cookie = connection.cookies.get(COOKIE), True
        if not token:
            return None
        user = await _user(token)
        return await run_in_threadpool(_principal, user, from_cookie)


async def _user(token: str) -> Any:
    from airflow.api_fastapi.app import get_auth_manager
    from jwt import InvalidTokenError

    try:
        return await get_auth_manager().get_user_from_token(token)
    except (InvalidTokenError, ValueError, KeyError):
        raise NotAuthenticated(
            "Airflow does not know this log-in, or it is over", hint="log in to Airflow again", reason="cannot_decide"
        ) from None


def _principal(user: Any, from_cookie: bool) -> Principal:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity

    manager = get_auth_manager()
    scopes = set()
    if manager.is_authorized_dag(method="GET", access_entity=DagAccessEntity.AUDIT_LOG, user=user):
        scopes.add("read")
    if manager.is_authorized_connection(method="PUT", user=user):
        scopes |= {"read", ACT}
    return Principal(str(user.get_id()), "person", frozenset(scopes), ISSUER, from_cookie, display=str(user.get_name()))
