"""Opens the decision service that the environment names: a remote one, or the embedded one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gate.domain.run import TaskRun
from gate.errors import InputError

if TYPE_CHECKING:
    from gate.domain.dataset import Dataset
    from gate.domain.decision import WantedUse
    from gate.service.ports import DecisionService
    from gate.service.session import Session

URL, TOKEN, KEYS = "GATE_URL", "GATE_TOKEN", "GATE_KEYS"


@contextmanager
def decision_service(environ: Mapping[str, str] = os.environ) -> Iterator[DecisionService]:
    """Open whoever decides, and close it at the end.

    Args:
        environ: `GATE_URL` names a remote service; then `GATE_TOKEN` is our token and `GATE_KEYS` the public keys we
            trust, separated by commas. Without `GATE_URL` it is the embedded one, which asks the Airflow of
            `GATE_AIRFLOW_URL` what runs now; see `gate.api.airflow_identity`.

    Raises:
        InputError: a variable is missing or wrong.
        CannotDecide: the embedded service cannot be opened.
    """
    service = _remote(environ) if environ.get(URL) else _embedded(environ)
    try:
        yield service
    finally:
        service.close()


@contextmanager
def redeemed(reads: Sequence[Dataset], use: WantedUse, run: TaskRun | None = None) -> Iterator[Session]:
    """Redeem a training permit from a notebook or script, and hold it while the block runs.

    Args:
        reads: the datasets it reads; exactly these must be permitted.
        use: what it trains for.
        run: the try of the task it works for; without it, the one that Airflow's variables in the environment name.

    Yields:
        An object with `open(dataset)`, which gives exactly the permitted version, `check()` for long trainings, and
        `produced(path)`, which attests a finished model.

    Raises:
        PermitRefused: there is no permit, or it holds no longer; also at the end, when it was lost meanwhile.
        CannotDecide: the service cannot be asked.
    """
    from gate.service.session import begin, run_of_environment

    with decision_service() as service:
        session = begin(service, reads, use, run or run_of_environment())
        yield session
        session.check()  # who never looked learns of a withdrawal now, and it is recorded


def _embedded(environ: Mapping[str, str]) -> DecisionService:
    from gate.api.airflow_identity import configured_confirmation
    from gate.service.core import open_service

    confirm = configured_confirmation(environ)
    service = open_service()
    if confirm is not None:
        service.confirm = confirm
    return service


def _remote(environ: Mapping[str, str]) -> DecisionService:
    from gate.permits.keys import public_key_from_text

    if environ.get("GATE_DATABASE_URL"):
        raise InputError("a remote service and a ledger of our own", where=URL, hint="unset GATE_DATABASE_URL")
    if not environ.get(TOKEN):
        raise InputError("is not set", where=TOKEN, hint="a token with the scope redeem; see gate tokens create")
    texts = [text for text in environ.get(KEYS, "").split(",") if text.strip()]
    if not texts:
        raise InputError("no public key is pinned", where=KEYS, hint="what gate keys show prints at the service")
    keys = tuple(public_key_from_text(text) for text in texts)
    from gate.api.client import RemoteService

    return RemoteService(environ[URL], environ[TOKEN], keys)
