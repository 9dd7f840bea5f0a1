"""The list of decisions: filters, search, paging, downloads, a plot; blocked runs by cause; request lists."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from gate.api.auth import ACCOUNTS, Principal
from gate.api.health import service_of
from gate.api.problems import NotAllowed
from gate.errors import InputError
from gate.service.access import record_access
from gate.service.causes import causes, waiting_rows
from gate.service.core import Service
from gate.service.decision_index import Row
from gate.service.decision_list import (
    FIELDS,
    PLOTTED,
    RECENT,
    Wanted,
    choices,
    matching,
    per_day,
    read_day,
    row_fields,
    seen_rows,
    totals,
)
from gate.web import requests
from gate.web.access import SeesAccounts, SeesRuns, Sent
from gate.web.downloads import csv_file, json_file
from gate.web.pages import HEADERS, Addresses, decisions_of, page
from gate.web.plot import plot

router = APIRouter()
router.include_router(requests.router)

PAGE = 50  # rows
CAUSES = 25  # a page
MAX_TEXT = 500  # characters of a filter
REF = re.compile(r"[0-9a-f]{64}")
FILTERS = ("verdict", "dag", "category", "reason", "model", "cause", "account", "since", "until", "q")


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address asks for.

    Attributes:
        query: the filters as they were written, for links that keep them.
        wrong: what is wrong with a field, by its name.
        account_name: of the account that is asked for; empty when it was erased or never known.
    """

    wanted: Wanted
    query: Mapping[str, str]
    wrong: Mapping[str, str]
    account_name: str = ""


@router.get("/decisions")
def decision_list(request: Request, principal: SeesRuns) -> HTMLResponse:
    """Show the decisions that match, newest first."""
    return _list_page(request, principal, _asked(request, principal))


@router.post("/decisions/account")
def find_account(request: Request, principal: SeesAccounts, fields: Sent) -> Response:
    """Turn an account's name into its reference, so that the name stands in no address."""
    name = _text(fields, "account").strip()
    if name:
        record_access(service_of(request), by=principal.actor, what={"page": "decisions/account"}, account_id=name)
    asked = _asked(request, principal, {name: _text(fields, name) for name in FILTERS if name != "account"})
    with service_of(request).ledger.read() as reader:
        ref = reader.ref("account", name) if name else ""
    if ref is None:
        wrong = {**asked.wrong, "account": "no account of this name is on record: check the spelling"}
        return _list_page(request, principal, replace(asked, wrong=wrong), typed=name, status=422)
    return RedirectResponse(Addresses(request)("decisions", **{**asked.query, "account": ref}), 303, HEADERS)


@router.get("/decisions.csv")
def decisions_csv(request: Request, principal: SeesRuns) -> Response:
    """Send all decisions that match, as CSV."""
    rows = _downloaded(request, principal)
    return csv_file("decisions.csv", FIELDS, (list(row_fields(row).values()) for row in rows))


@router.get("/decisions.json")
def decisions_json(request: Request, principal: SeesRuns) -> Response:
    """Send all decisions that match, as JSON."""
    return json_file("decisions.json", map(row_fields, _downloaded(request, principal)))


@router.get("/causes")
def cause_list(request: Request, principal: SeesRuns) -> HTMLResponse:
    """Show blocked runs by what would lift the block."""
    now = service_of(request).clock()
    found = causes(seen_rows(decisions_of(request).rows(), principal.sees), now)
    number, pages = _page_of(request, len(found), CAUSES)
    shown = found[(number - 1) * CAUSES : number * CAUSES]
    counts = {"opened": sum(cause.open for cause in found), "total": len(found), "page": number, "pages": pages}
    return page(request, "causes.html", section="decisions", causes=shown, plotted=PLOTTED, **counts)


def _list_page(
    request: Request, principal: Principal, asked: Asked, *, typed: str = "", status: int = 200
) -> HTMLResponse:
    service = service_of(request)
    now = service.clock()
    seen = seen_rows(decisions_of(request).rows(), principal.sees)
    asked, found = _found(request, service, principal, asked, seen)
    number, pages = _page_of(request, len(found), PAGE)
    return page(
        request,
        "decisions.html",
        status,
        section="decisions",
        rows=found[(number - 1) * PAGE : number * PAGE],
        asked=asked,
        typed=typed,
        page=number,
        pages=pages,
        total=len(found),
        nothing=not seen,
        choices=choices(seen),
        plot=plot(per_day(found, now)),
        totals=totals(seen, len(waiting_rows(seen)), now),
        recent=RECENT,
        sees_accounts=ACCOUNTS in principal.scopes,
    )


def _downloaded(request: Request, principal: Principal) -> Sequence[Row]:
    """Return what a download holds.

    Raises:
        InputError: a filter that cannot be read: better no file than the wrong one.
    """
    asked = _asked(request, principal)
    for name, message in asked.wrong.items():
        raise InputError(message, where=name)
    seen = seen_rows(decisions_of(request).rows(), principal.sees)
    return _found(request, service_of(request), principal, asked, seen)[1]


def _found(
    request: Request, service: Service, principal: Principal, asked: Asked, seen: Sequence[Row]
) -> tuple[Asked, Sequence[Row]]:
    """Return the rows that match; who asks by account leaves a trace first."""
    ref = asked.wanted.account
    if not ref:
        return asked, matching(seen, asked.wanted)
    with service.ledger.read() as reader:
        name = reader.open_ref(ref) or ""
    record_access(service, by=principal.actor, what={"page": "decisions", "filter": "account"}, account_id=name or None)
    return replace(asked, account_name=name), matching(seen, asked.wanted, decisions_of(request).affecting(ref))


def _asked(request: Request, principal: Principal, given: Mapping[str, str] | None = None) -> Asked:
    """Read the filters; a day that is none is told at its field and left out, everything else may match nothing.

    Raises:
        NotAllowed: an account is asked for by somebody who may not know accounts.
    """
    source = request.query_params if given is None else given
    query = {name: source[name].strip()[:MAX_TEXT] for name in FILTERS if source.get(name, "").strip()}
    if "account" in query and ACCOUNTS not in principal.scopes:
        raise NotAllowed("needs the scope accounts", hint="leave the account out", reason="cannot_decide")
    wrong = dict[str, str]()
    if "account" in query and not REF.fullmatch(query["account"]):
        wrong["account"] = "this is no reference of an account: look it up by its name"
        del query["account"]
    wanted = Wanted(
        verdict=query.get("verdict", ""),
        dag=query.get("dag", ""),
        category=query.get("category", ""),
        reason=query.get("reason", ""),
        model=query.get("model", ""),
        cause=query.get("cause", ""),
        account=query.get("account", ""),
        since=_day(query, "since", wrong),
        until=_day(query, "until", wrong),
        text=query.get("q", ""),
    )
    return Asked(wanted, query, wrong)


def _day(query: Mapping[str, str], name: str, wrong: dict[str, str]) -> date | None:
    try:
        return read_day(query.get(name, ""), name)
    except InputError as error:
        wrong[name] = error.message
        return None


def _page_of(request: Request, total: int, size: int) -> tuple[int, int]:
    """Return the page to show, the nearest there is, and how many there are."""
    text = request.query_params.get("page", "")
    pages = max(1, -(-total // size))
    number = int(text) if text.isdecimal() and len(text) < 10 else 1
    return min(max(number, 1), pages), pages


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""
