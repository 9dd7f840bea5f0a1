"""Who may see which page, and whether a form that was sent is really one of ours."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.datastructures import UploadFile

from gate.api.auth import ACCOUNTS, AIRFLOW_COOKIE, LOGIN_COOKIE, RUNS, Principal, bearer, needs
from gate.api.problems import NotAllowed
from gate.errors import InputError

FORM_TOKEN = "form_token"  # noqa: S105  # name of the hidden field
MAX_FIELD = 4000  # characters
_PURPOSE = b"consent-gate form"

SeesRuns = Annotated[Principal, needs("read", RUNS)]
"""May open pages about runs; which ones, `Principal.sees` tells."""
Reads = Annotated[Principal, needs("read")]
SeesAccounts = Annotated[Principal, needs(ACCOUNTS)]
Records = Annotated[Principal, needs("consent")]


def form_token(request: Request) -> str:
    """Return what our forms carry: only a page of this origin, shown to this very log-in, can know it."""
    shown = bearer(request) or request.cookies.get(LOGIN_COOKIE) or request.cookies.get(AIRFLOW_COOKIE) or ""
    return hmac.new(hashlib.sha256(shown.encode()).digest(), _PURPOSE, "sha256").hexdigest()


async def _sent(request: Request) -> Mapping[str, Any]:
    """Read a form that one of our pages sent.

    Returns:
        Its fields: text, or a list of texts where a name came more than once.

    Raises:
        NotAllowed: it lacks our token.
        InputError: a file, or a field that is too long.
    """
    form = await request.form(max_files=0, max_fields=200)
    token = form.get(FORM_TOKEN)
    if not isinstance(token, str) or not hmac.compare_digest(token.encode(), form_token(request).encode()):
        raise NotAllowed(
            "this form was not sent by one of our pages, or the log-in changed meanwhile",
            where=FORM_TOKEN,
            hint="open the page again and send the form from there",
            reason="cannot_decide",
        )
    fields: dict[str, Any] = {}
    for name in form:
        values = [_text(name, value) for value in form.getlist(name)]
        fields[name] = values[0] if len(values) == 1 else values
    del fields[FORM_TOKEN]
    return fields


def _text(name: str, value: str | UploadFile) -> str:
    if not isinstance(value, str) or len(value) > MAX_FIELD:
        raise InputError("is not a text of ours, or too long", where=name[:80])
    return value


Sent = Annotated[Mapping[str, Any], Depends(_sent)]
"""The fields of a form, after its token was checked: every route that changes anything takes it."""


def only_seen(principal: Principal, dag_id: str) -> None:
    """Refuse runs of DAGs the caller may not see, in the words for runs that do not exist.

    Raises:
        Gone: see above.
    """
    from gate.api.problems import Gone

    if not principal.sees(dag_id):
        raise Gone("there is nothing here that you may see", hint="ask for access to the DAG")
