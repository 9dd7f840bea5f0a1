"""One ledger entry with its inclusion proof."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from gate.api.auth import ACCOUNTS
from gate.api.health import service_of
from gate.service.entry_view import entry_proof, show_entry
from gate.web.access import Reads
from gate.web.decision import download, nothing_here
from gate.web.pages import page

router = APIRouter()

Index = Annotated[int, Path(ge=0, lt=1 << 62)]


@router.get("/ledger/{index}.json")
def proof(request: Request, principal: Reads, index: Index) -> Response:
    """Give out the proof that an entry stands in the ledger."""
    found = entry_proof(service_of(request), index, principal.sees)
    if found is None:
        raise nothing_here()
    return download(json.dumps(found, indent=2), f"ledger-{index}-proof.json")


@router.get("/ledger/{index}")
def entry_page(request: Request, principal: Reads, index: Index) -> Response:
    """Show an entry."""
    named = ACCOUNTS in principal.scopes
    found = show_entry(service_of(request), index, principal.sees, named=named)
    if found is None:
        raise nothing_here()
    return page(request, "ledger_entry.html", section="decisions", entry=found, named=named)
