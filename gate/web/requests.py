"""Request lists: whom to ask for what, and one page and file per account for those who talk to that customer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response

from gate.api.auth import Principal
from gate.api.health import service_of
from gate.api.problems import Gone
from gate.service import request_text
from gate.service.access import record_access
from gate.service.causes import waiting_rows
from gate.service.decision_list import seen_rows
from gate.service.requests import Listed, Requests, request_of
from gate.service.requests import Request as Asked
from gate.service.requests import requests as all_requests
from gate.web.access import SeesAccounts, Sent
from gate.web.downloads import csv_file, text_file
from gate.web.pages import decisions_of, page

router = APIRouter()

PAGE = 50  # accounts
FOUND = 200  # accounts a search shows at most

Ref = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]


@router.get("/requests")
def request_list(request: Request, principal: SeesAccounts) -> HTMLResponse:
    """Show the accounts that blocked runs wait for."""
    return _list_page(request, principal)


@router.post("/requests")
def search_requests(request: Request, principal: SeesAccounts, fields: Sent) -> HTMLResponse:
    """Show those whose name holds a text; it comes in a form, for an account's name stands in no address."""
    return _list_page(request, principal, str(fields.get("name", "")).strip())


@router.get("/requests.csv")
def requests_csv(request: Request, principal: SeesAccounts) -> Response:
    """Send what must be asked of all accounts, as CSV."""
    _leave_trace(request, principal, "requests.csv")
    asked = list(_judged(request, _waiting(request, principal).listed))
    return csv_file("consent-requests.csv", request_text.COLUMNS, request_text.tables(asked))


@router.get("/requests/{ref}.md")
def request_markdown(request: Request, principal: SeesAccounts, ref: Ref) -> Response:
    """Send one request as a letter."""
    asked = _one(request, principal, ref, "request.md")
    return text_file(f"consent-request-{ref[:8]}.md", request_text.markdown(asked), "text/markdown; charset=utf-8")


@router.get("/requests/{ref}.csv")
def request_csv(request: Request, principal: SeesAccounts, ref: Ref) -> Response:
    """Send one request as CSV."""
    asked = _one(request, principal, ref, "request.csv")
    return csv_file(f"consent-request-{ref[:8]}.csv", request_text.COLUMNS, request_text.table(asked))


@router.get("/requests/{ref}.json")
def request_json(request: Request, principal: SeesAccounts, ref: Ref) -> Response:
    """Send one request as JSON."""
    asked = _one(request, principal, ref, "request.json")
    text = json.dumps(request_text.fields(asked), ensure_ascii=False, indent=2)
    return text_file(f"consent-request-{ref[:8]}.json", text, "application/json")


@router.get("/requests/{ref}")
def request_page(request: Request, principal: SeesAccounts, ref: Ref) -> HTMLResponse:
    """Show what must be asked of one account."""
    asked = _one(request, principal, ref, "request")
    return page(
        request,
        "request.html",
        section="decisions",
        asked=asked,
        text=request_text,
    )


def _list_page(request: Request, principal: Principal, name: str = "") -> HTMLResponse:
    _leave_trace(request, principal, "requests")
    found = _waiting(request, principal)
    listed = [one for one in found.listed if name.casefold() in one.name.casefold()]
    pages = 1 if name else max(1, -(-len(listed) // PAGE))
    asked = request.query_params.get("page", "1")
    number = min(max(int(asked) if asked.isdecimal() and len(asked) < 10 else 1, 1), pages)
    shown = listed[:FOUND] if name else listed[(number - 1) * PAGE : number * PAGE]
    now = {one.ref: one for one in _judged(request, shown)}
    return page(
        request,
        "requests.html",
        section="decisions",
        listed=shown,
        now=now,
        name=name,
        page=number,
        pages=pages,
        total=len(listed),
        everybody=len(found.listed),
        erased=found.erased,
        cut=found.cut,
    )


def _waiting(request: Request, principal: Principal) -> Requests:
    """Return the accounts that runs wait for, of the DAGs the caller may see."""
    waiting = waiting_rows(seen_rows(decisions_of(request).rows(), principal.sees))
    with service_of(request).ledger.read() as reader:
        return all_requests(reader, waiting)


def _judged(request: Request, listed: tuple[Listed, ...] | list[Listed]) -> Iterator[Asked]:
    """Yield what must be asked of accounts, on what is on record now."""
    service = service_of(request)
    with service.ledger.read() as reader:
        yield from [request_of(service, reader, one) for one in listed]


def _one(request: Request, principal: Principal, ref: str, what: str) -> Asked:
    """Return one account's request, and leave a trace of it.

    Raises:
        Gone: no run that the caller may see waits for this account.
    """
    listed = next((one for one in _waiting(request, principal).listed if one.ref == ref), None)
    if listed is None:
        raise Gone("no blocked run waits for this account now", hint="the list of requests shows who is waited for")
    service = service_of(request)
    record_access(service, by=principal.actor, what={"page": what}, account_id=listed.name)
    with service.ledger.read() as reader:
        return request_of(service, reader, listed)


def _leave_trace(request: Request, principal: Principal, what: str) -> None:
    record_access(service_of(request), by=principal.actor, what={"page": what})
