"""Two-person acts over HTTP: only people who logged in may propose and approve, and a token is nobody."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from gate.api.auth import ACT, Principal, Reads, needs, person
from gate.api.bodies import Body, Text
from gate.api.health import service_of
from gate.api.wire import API
from gate.service import acts
from gate.service.acting import MAX_TEXT, Person

router = APIRouter(prefix=f"{API}/acts", tags=["acts"])


class Act(Body):
    """What somebody proposes, and why; `docs/two-person-acts.md` tells what each act needs."""

    act: Text
    params: Annotated[dict[str, Any], Field(default_factory=dict)]
    reason: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


class Approval(Body):
    """Which act the approver means, so that nobody approves another by a wrong number."""

    act: Text | None = None


async def _somebody(caller: Annotated[Principal, Depends(person)], _: Annotated[Principal, needs(ACT)]) -> Person:
    return Person(caller.issuer, caller.name, caller.display)


Somebody = Annotated[Person, Depends(_somebody)]


@router.post("", status_code=201)
def propose(body: Act, request: Request, by: Somebody) -> JSONResponse:
    """Propose an act; another person must approve it."""
    return JSONResponse({"index": acts.propose(service_of(request), body.act, body.params, body.reason, by=by)}, 201)


@router.get("")
def list_acts(
    request: Request,
    _: Reads,
    act: Annotated[Text | None, Query()] = None,
    state: Annotated[Text | None, Query()] = None,
) -> JSONResponse:
    """List proposals and what became of them, oldest first."""
    service = service_of(request)
    with service.ledger.read() as reader:
        found = acts.proposals(reader, service.now(reader), act=act, state=state)
    return JSONResponse({"acts": [proposal.to_dict() for proposal in found]})


@router.get("/{index}")
def show_act(index: int, request: Request, _: Reads) -> JSONResponse:
    """Show one proposal and what became of it."""
    service = service_of(request)
    with service.ledger.read() as reader:
        return JSONResponse(acts.find_proposal(reader, index, service.now(reader)).to_dict())


@router.post("/{index}/approval", status_code=201)
def approve(index: int, body: Approval, request: Request, by: Somebody) -> JSONResponse:
    """Approve a proposal of somebody else; it takes effect at once."""
    effect = acts.approve(service_of(request), index, by=by, act=body.act)
    return JSONResponse({"index": effect.idx, "kind": effect.kind}, 201)


@router.post("/{index}/withdrawal", status_code=201)
def withdraw(index: int, request: Request, by: Somebody) -> JSONResponse:
    """Take back an open proposal of one's own, or end an approved break-glass early."""
    entry = acts.withdraw(service_of(request), index, by=by)
    return JSONResponse({"index": entry.idx, "kind": entry.kind}, 201)
