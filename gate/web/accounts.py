"""Accounts and what they consented to, now and as of any date; staff may record what a customer's admin said."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from gate.api.health import service_of
from gate.api.problems import Gone
from gate.domain.instants import parse_instant
from gate.errors import InputError
from gate.service.access import record_access
from gate.service.account_history import account_history, account_ref, list_accounts
from gate.service.account_uses import data_uses
from gate.web import account_record
from gate.web.access import SeesAccounts, Sent
from gate.web.account_record import REF, known_name
from gate.web.consent_form import instant_text, one
from gate.web.pages import Addresses, page
from gate.web.timeline import plot

router = APIRouter()


@router.get("/accounts")
def accounts(request: Request, principal: SeesAccounts, after: str = "", before: str = "") -> Response:
    """List the accounts that the ledger knows, by name."""
    service = service_of(request)
    record_access(service, by=principal.actor, what={"page": "accounts"})
    if any(ref and not REF.fullmatch(ref) for ref in (after, before)):
        raise Gone("there is no such place in the list", hint="open the list from its beginning")
    listed = list_accounts(service, after=after or None, before=(not after and before) or None)
    return page(request, "accounts.html", section="accounts", listed=listed, q="")


@router.post("/accounts/find")
def find_accounts(request: Request, principal: SeesAccounts, fields: Sent) -> Response:
    """Lead to the account of a name, or list those whose names begin so. Names never stand in addresses."""
    service, q = service_of(request), one(fields, "q") or ""
    record_access(service, by=principal.actor, what={"page": "accounts/find"}, account_id=q or None)
    exact = account_ref(service, q) if q else None
    if exact is not None or not q:
        return RedirectResponse(Addresses(request)(f"accounts/{exact}" if exact else "accounts"), 303)
    return page(request, "accounts.html", section="accounts", listed=list_accounts(service, prefix=q), q=q)


router.include_router(account_record.router)  # before the next: `/accounts/record` is no account


@router.get("/accounts/{ref}")
def account(
    request: Request, principal: SeesAccounts, ref: str, as_of: str = "", known_at: str = "", recorded: str = ""
) -> Response:
    """Show one account: its toggles and admins at an instant, what it said, where its data went."""
    service, account_id = service_of(request), known_name(service_of(request), ref)
    what = {"page": "account", "as_of": as_of[:40], "known_at": known_at[:20]}
    record_access(service, by=principal.actor, what=what, account_id=account_id)
    asked: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, text, read in (("as_of", as_of, _instant), ("known_at", known_at, _index)):
        try:
            asked[name] = read(text)
        except InputError as error:
            wrong[name] = f"{error.message}; {error.hint}"
    try:
        history = account_history(service, account_id, **asked)
    except InputError as error:
        if error.where != "known_at":
            raise
        wrong["known_at"] = f"{error.message}; {error.hint}"
        del asked["known_at"]
        history = account_history(service, account_id, **asked)
    return page(
        request,
        "account.html",
        422 if wrong else 200,
        section="accounts",
        history=history,
        plot=plot(history.events, history.at),
        uses=data_uses(service, ref, principal.sees, **asked),
        asked={"as_of": as_of, "known_at": known_at},
        then=bool(asked.get("as_of") or asked.get("known_at") is not None),
        wrong=wrong,
        outcome=account_record.outcome(history, recorded),
    )


def _instant(text: str) -> Any:
    return parse_instant(instant_text(text.strip()), "as_of") if text.strip() else None


def _index(text: str) -> int | None:
    if not text.strip():
        return None
    if not re.fullmatch(r"[0-9]{1,15}", text.strip()):
        raise InputError("expected a whole number", where="known_at", hint="how many entries the ledger held")
    return int(text.strip())
