"""People who are logged in to Airflow, as the gate's API and pages know them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from gate.api.auth import ACCOUNTS, ACT, AIRFLOW_COOKIE, RUNS, Principal, bearer
from gate.api.problems import NotAuthenticated

ISSUER = "airflow"
IMPORT_ERRORS = "import_errors"  # may see why DAG files were rejected, as far as they may see the DAGs
RECORDERS = "GATE_RECORDERS"  # ids of Airflow users, by commas, who may record what customers said


class AirflowAuthenticator:
    """Recognises Airflow's bearer token or log-in cookie; what a person may do follows from what Airflow lets them.

    Everybody may open the pages and sees there what Airflow lets them see of each DAG. Whoever may read the audit log
    may read the record; whoever may change DAG runs also sees accounts. Whoever may change connections decides already
    where a task finds its gate: they may propose and approve two-person acts. Nobody may consent for a customer; staff
    that records what customers said is named in the API server's own environment, and decides nothing.
    """

    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        """Return the person; see `gate.api.auth.Authenticator`."""
        token, from_cookie = bearer(connection), False
        if token is None:
            token, from_cookie = connection.cookies.get(AIRFLOW_COOKIE), True
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
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity

    manager, name = get_auth_manager(), str(user.get_id())
    scopes = {RUNS}
    if manager.is_authorized_dag(method="GET", access_entity=DagAccessEntity.AUDIT_LOG, user=user):
        scopes.add("read")
        if manager.is_authorized_dag(method="PUT", access_entity=DagAccessEntity.RUN, user=user):
            scopes.add(ACCOUNTS)
    if manager.is_authorized_view(access_view=AccessView.IMPORT_ERRORS, user=user):
        scopes.add(IMPORT_ERRORS)
    if manager.is_authorized_connection(method="PUT", user=user):
        scopes |= {"read", ACCOUNTS, ACT}
    if name in recorders():
        scopes |= {ACCOUNTS, "consent"}
    return Principal(
        name, "person", frozenset(scopes), ISSUER, from_cookie, display=str(user.get_name()), sees=_sight(user)
    )


def recorders() -> frozenset[str]:
    """Return the users who record what customers said."""
    return frozenset(filter(None, (name.strip() for name in os.environ.get(RECORDERS, "").split(","))))


def _sight(user: Any) -> Callable[[str], bool]:
    """Ask Airflow about each DAG once per request."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
    from airflow.configuration import conf

    manager = get_auth_manager()
    teams = conf.getboolean("core", "multi_team", fallback=False)

    @cache
    def sees(dag_id: str) -> bool:
        from airflow.models.dag import DagModel

        team = DagModel.get_team_name(dag_id) if teams else None
        details = DagDetails(id=dag_id, team_name=team)
        entity = DagAccessEntity.TASK_INSTANCE
        return bool(manager.is_authorized_dag(method="GET", access_entity=entity, details=details, user=user))

    return sees
