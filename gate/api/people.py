"""A logged-in person's words to a decision service: propose, approve and withdraw two-person acts, from a command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gate.api.sending import Line, asking, writing
from gate.errors import InputError

TIMEOUT = 30.0  # seconds for an answer
URL, TOKEN = "GATE_URL", "GATE_TOKEN"


def has_service(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment names a decision service."""
    return bool(environ.get(URL))


class People:
    """The way of one logged-in person to the service that `GATE_URL` names, with the log-in in `GATE_TOKEN`.

    Args:
        wanted: what the person is about to do, for the error when there is no service.
        environ: the environment.

    Raises:
        InputError: one of the two is not set, or not usable.
    """

    def __init__(self, wanted: str, environ: Mapping[str, str] = os.environ) -> None:
        if not has_service(environ):
            raise InputError(
                f"{wanted} needs two people who log in; the embedded mode has none",
                where=URL,
                hint="set it to the address of `gate serve`, or of Airflow with the plugin; see two-person-acts.md",
            )
        if not environ.get(TOKEN):
            raise InputError(
                "is not set", where=TOKEN, hint="put your own log-in's token there (OIDC or Airflow), never a service's"
            )
        self._line = Line(environ[URL], environ[TOKEN], TIMEOUT)

    def __enter__(self) -> People:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def propose(self, act: str, params: Mapping[str, Any], reason: str) -> int:
        """Propose an act and return the proposal's ledger index."""
        return int(self._line.json(writing("/acts", {"act": act, "params": dict(params), "reason": reason}))["index"])

    def approve(self, index: int, act: str | None = None) -> dict[str, Any]:
        """Approve somebody else's proposal; returns index and kind of its effect."""
        return self._line.json(writing(f"/acts/{index}/approval", {"act": act}))

    def withdraw(self, index: int) -> dict[str, Any]:
        """Take back one's own proposal, or end a break-glass early."""
        return self._line.json(writing(f"/acts/{index}/withdrawal", {}))

    def acts(self, **wanted: str) -> list[dict[str, Any]]:
        """Return proposals, oldest first; `act` and `state` choose among them."""
        found: list[dict[str, Any]] = self._line.json(asking("/acts", **wanted))["acts"]
        return found

    def mode(self) -> dict[str, Any]:
        """Return the mode in force."""
        return self._line.json(asking("/mode"))
