"""What a withdrawal concerns, and what is owed because of it, as pages; people write down what was done."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from gate.api.auth import Principal
from gate.api.health import service_of
from gate.api.impact import answered, resolved
from gate.api.problems import Gone
from gate.errors import InputError
from gate.service.access import record_access
from gate.service.account_history import account_ref
from gate.service.impact import KINDS, REF
from gate.service.lineage_store import open_lineage
from gate.service.obligation_outcomes import Filter, Outcome, Said, listed
from gate.web.access import Records, SeesAccounts, Sent
from gate.web.consent_form import one
from gate.web.pages import Addresses, page

router = APIRouter()

SHOWN = 100  # rows of a table; the API has all


@router.get("/impact")
def impact_page(
    request: Request,
    principal: SeesAccounts,
    account: str = "",
    dataset: str = "",
    consent: str = "",
    policy_row: str = "",
    as_of: str = "",
) -> Response:
    """Show what an account (by its reference), a dataset, a consent or a policy row concerns."""
    asked: dict[str, str | None] = {
        "account": account.strip(),
        "dataset": dataset.strip(),
        "consent": consent.strip(),
        "policy_row": policy_row.strip(),
    }
    found, wrong = None, ""
    if any(asked.values()):
        try:
            _check_reference(asked["account"])
            found = answered(request, principal, asked, as_of.strip() or None, via="ui")
        except InputError as error:
            wrong = f"{error.message}: {error.hint}." if error.hint else f"{error.message}."
    return _impact(request, found, asked, as_of, wrong)


def _check_reference(account: str | None) -> None:
    if account and not REF.fullmatch(account):
        raise InputError("is no account's reference", hint="look for it by its name")


@router.post("/impact/find")
def find(request: Request, principal: SeesAccounts, fields: Sent) -> Response:
    """Lead to what an account concerns; names never stand in addresses."""
    service, name = service_of(request), one(fields, "name") or ""
    record_access(service, by=principal.actor, what={"page": "impact/find"}, account_id=name or None)
    ref = account_ref(service, name) if name else None
    if ref is None:
        return _impact(request, None, {}, "", "The ledger does not know this account.")
    return RedirectResponse(Addresses(request)("impact", account=ref), 303)


@router.get("/obligations")
def obligations_page(request: Request, principal: SeesAccounts, which: str = "open", recorded: str = "") -> Response:
    """List what must be done because somebody withdrew, overdue first."""
    if which not in tuple(Filter):
        raise Gone("there is no such list", hint="open the list from its beginning")
    return _obligations(request, principal, Filter(which), recorded)


@router.post("/obligations/{obligation}/outcome")
def resolve(request: Request, principal: Records, obligation: str, fields: Sent) -> Response:
    """Record what was done about an obligation."""
    said = Said(one(fields, "outcome") or "", *(one(fields, name) for name in ("evidence", "sha256", "note")))
    try:
        index, _ = resolved(request, principal, obligation, said, via="ui")
    except InputError as error:
        told = f"{error.message}: {error.hint}." if error.hint else f"{error.message}."
        return _obligations(request, principal, Filter.OPEN, "", wrong={obligation: told}, fields=fields)
    return RedirectResponse(Addresses(request)("obligations", recorded=str(index)), 303)


def _impact(
    request: Request, found: dict[str, Any] | None, asked: dict[str, str | None], as_of: str, wrong: str
) -> Response:
    return page(
        request,
        "impact.html",
        422 if wrong else 200,
        section="accounts",
        found=found,
        asked={kind: asked.get(kind) or "" for kind in KINDS},
        as_of=as_of,
        wrong=wrong,
        most=SHOWN,
    )


def _obligations(
    request: Request,
    principal: Principal,
    which: Filter,
    recorded: str,
    *,
    wrong: dict[str, str] | None = None,
    fields: Any = None,
) -> Response:
    service = service_of(request)
    record_access(service, by=principal.actor, what={"page": "obligations", "which": which.value})
    with open_lineage(service.settings) as store:
        found = listed(service, store, which=which, sees=principal.sees)
    return page(
        request,
        "obligations.html",
        422 if wrong else 200,
        section="accounts",
        found=found,
        which=which.value,
        filters=[one_.value for one_ in Filter],
        outcomes=[one_.value for one_ in Outcome],
        recorded=recorded if recorded.isdecimal() and len(recorded) < 16 else "",
        wrong=wrong or {},
        said=lambda name: one(fields, name) or "" if fields else "",
        most=SHOWN,
    )
