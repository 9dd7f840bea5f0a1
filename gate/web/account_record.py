"""Where staff with the recorder's role write down what somebody of a customer said, with evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from gate.api.auth import ACCOUNTS, Principal
from gate.api.health import service_of
from gate.api.problems import Gone, NotAllowed
from gate.domain.words import Action, Authority, Reason
from gate.service.access import record_access
from gate.service.account_history import History, Shown, account_history, account_name, account_ref, record_for_customer
from gate.service.core import Service
from gate.web.access import Records, Sent
from gate.web.consent_form import CHOICES, filled, many, one, read_form
from gate.web.pages import Addresses, page

router = APIRouter()
REF = re.compile(r"[0-9a-f]{64}")
_INDEX = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event that was recorded a moment ago.

    Attributes:
        new: it was not on record before.
        counts: it has effect.
        reasons: why a grant has none.
    """

    shown: Shown
    new: bool
    counts: bool
    reasons: tuple[Reason, ...]


def outcome(history: History, recorded: str) -> Outcome | None:
    """Say what became of the event that an address names: `12`, or `12-again` when it was on record before."""
    index, _, again = recorded.partition("-")
    if not _INDEX.fullmatch(index):
        return None
    found = next((one for one in history.events if one.recorded.index == int(index)), None)
    if found is None:
        return None
    admin = found.recorded.authority is Authority.ADMIN
    counts = admin if found.counts is None else found.counts
    return Outcome(found, not again, counts, found.reasons)


@router.get("/accounts/record")
def new_record(request: Request, principal: Records, action: str = "grant") -> Response:
    """Show the form for an account that is named in it."""
    _check_may_see(principal)
    return _form(request, None, filled(None, _action(action), service_of(request).clock()))


@router.post("/accounts/record")
def record(request: Request, principal: Records, fields: Sent) -> Response:
    """Record an event of an account that is named in the form."""
    _check_may_see(principal)
    account_id = one(fields, "account_id") or ""
    return _record(request, principal, None, account_id, fields)


@router.get("/accounts/{ref}/record")
def record_of(
    request: Request, principal: Records, ref: str, action: str = "grant", of: str = "", toggle: str = ""
) -> Response:
    """Show the form for one account; `of` names a grant to withdraw, `toggle` what to withdraw altogether."""
    service, account_id = _seen(request, principal, ref)
    grant = None
    if _INDEX.fullmatch(of):
        events = account_history(service, account_id).events
        grant = next((one.recorded.event for one in events if one.recorded.index == int(of)), None)
    fresh = filled(grant, _action(action), service.clock())
    return _form(request, ref, fresh if grant or not toggle else {**fresh, "toggle": toggle}, account_id=account_id)


@router.post("/accounts/{ref}/record")
def record_for(request: Request, principal: Records, ref: str, fields: Sent) -> Response:
    """Record an event of one account."""
    _, account_id = _seen(request, principal, ref)
    return _record(request, principal, ref, account_id, fields)


def known_name(service: Service, ref: str) -> str:
    """Return the account behind a reference.

    Raises:
        Gone: there is none.
    """
    name = account_name(service, ref) if REF.fullmatch(ref) else None
    if name is None:
        raise Gone("the ledger knows no such account, or it was erased", hint="look for it by its name")
    return name


def _seen(request: Request, principal: Principal, ref: str) -> tuple[Service, str]:
    """Return the account, after it was recorded that its name is about to be seen."""
    _check_may_see(principal)
    service = service_of(request)
    account_id = known_name(service, ref)
    record_access(service, by=principal.actor, what={"page": "account/record"}, account_id=account_id)
    return service, account_id


def _check_may_see(principal: Principal) -> None:
    if ACCOUNTS not in principal.scopes:
        raise NotAllowed(
            "needs the scope accounts",
            hint="services record consent over the API; these pages are for people",
            reason="cannot_decide",
        )


def _record(
    request: Request, principal: Principal, ref: str | None, account_id: str, fields: Mapping[str, Any]
) -> Response:
    service = service_of(request)
    read = read_form(fields, account_id, principal)
    if read.event is None:
        return _form(request, ref, fields, read.wrong, account_id=account_id)
    index, new = record_for_customer(service, read.event, by=principal.actor)
    known = ref or account_ref(service, account_id)
    address = Addresses(request)(f"accounts/{known}", recorded=f"{index}" if new else f"{index}-again")
    return RedirectResponse(address, 303)


def _form(
    request: Request,
    ref: str | None,
    fields: Mapping[str, Any],
    wrong: Mapping[str, str] | None = None,
    account_id: str = "",
) -> Response:
    return page(
        request,
        "account_record.html",
        422 if wrong else 200,
        section="accounts",
        ref=ref,
        account_id=account_id,
        action=_action(one(fields, "action") or ""),
        said=lambda name: one(fields, name) or "",
        chosen=lambda name: many(fields, name),
        wrong=dict(wrong or {}),
        choices=CHOICES,
    )


def _action(text: str) -> str:
    return text if text in tuple(Action) else Action.GRANT.value
