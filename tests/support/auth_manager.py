"""An Airflow auth manager that keeps some DAGs from everybody but admins: what teams' permissions do in production."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

RESERVED = "hidden_"


class ReservedDags(SimpleAuthManager):
    """The simple auth manager, but DAGs whose ids begin with `hidden_` are for admins only."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **asked: Any) -> bool:
        """Say whether a user may do something to a DAG."""
        if details is not None and (details.id or "").startswith(RESERVED) and user.role != "ADMIN":
            return False
        return bool(super().is_authorized_dag(user=user, details=details, **asked))
