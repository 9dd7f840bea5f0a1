"""What a withdrawal concerns, and what is owed because of it, over HTTP: the answers of the command line."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from gate.api.auth import ACCOUNTS, Principal, needs
from gate.api.bodies import Body, Text
from gate.api.health import service_of
from gate.api.problems import NotAllowed
from gate.api.wire import API
from gate.errors import InputError
from gate.service.access import record_access
from gate.service.account_history import account_name
from gate.service.impact import REF, impact, read_moment, subject_of
from gate.service.lineage_store import open_lineage
from gate.service.obligation_outcomes import Filter, Said, listed, record_outcome

router = APIRouter(prefix=API, tags=["impact"])

Sees = Annotated[Principal, needs(ACCOUNTS)]
Records = Annotated[Principal, needs("consent")]
Word = Annotated[str | None, Query(max_length=4000)]


class ImpactQuestion(Body):
    """One thing to ask about; an account's name stands in a body, for addresses are logged."""

    account: Text | None = None
    dataset: Text | None = None
    consent: Text | None = None
    policy_row: Text | None = None
    as_of: Text | None = None


class OutcomeStatement(Body):
    """What was done about an obligation."""

    outcome: Text
    evidence: Text | None = None
    sha256: Text | None = None
    note: Text | None = None


@router.get("/lineage/impact")
def get_impact(
    request: Request,
    caller: Sees,
    account: Word = None,
    dataset: Word = None,
    consent: Word = None,
    policy_row: Word = None,
    as_of: Word = None,
) -> dict[str, Any]:
    """Show what something concerns; an account by its reference, for addresses are logged."""
    if account and not REF.fullmatch(account):
        raise InputError("is no account's reference", where="account", hint="send a name in the body of a POST")
    asked = {"account": account, "dataset": dataset, "consent": consent, "policy_row": policy_row}
    return answered(request, caller, asked, as_of, via="api")


@router.post("/lineage/impact")
def post_impact(body: ImpactQuestion, request: Request, caller: Sees) -> dict[str, Any]:
    """Show what an account, a dataset, a consent or a policy row concerns. Each question is an entry of the ledger."""
    asked = {name: getattr(body, name) for name in ("account", "dataset", "consent", "policy_row")}
    return answered(request, caller, asked, body.as_of, via="api")


@router.get("/obligations")
def get_obligations(request: Request, caller: Sees, which: Filter = Filter.OPEN) -> dict[str, Any]:
    """List obligations, overdue first. Each look is an entry of the ledger."""
    service = service_of(request)
    record_access(service, by=caller.actor, what={"page": "api/obligations", "which": which.value}, via="api")
    with open_lineage(service.settings) as store:
        return listed(service, store, which=which, sees=caller.sees)


@router.post("/obligations/{obligation}/outcome", status_code=201)
def post_outcome(obligation: str, body: OutcomeStatement, request: Request, caller: Records) -> JSONResponse:
    """Record what was done about an obligation; only people who logged in may, and nothing is taken back."""
    index, new = resolved(
        request, caller, obligation, Said(body.outcome, body.evidence, body.sha256, body.note), via="api"
    )
    return JSONResponse({"obligation": obligation, "index": index, "new": new}, 201)


def answered(
    request: Request, caller: Principal, asked: dict[str, str | None], as_of: str | None, *, via: str
) -> dict[str, Any]:
    """Answer a question, after it was recorded who asks."""
    service, subject, moment = service_of(request), subject_of(**asked), read_moment(as_of)
    what: dict[str, Any] = {"page": "impact", "about": subject.kind, "as_of": as_of}
    account = None
    if subject.kind == "account":
        account = (account_name(service, subject.name) if REF.fullmatch(subject.name) else None) or subject.name
    elif subject.kind != "dataset":  # whose address may tell more than a ledger should keep
        what["name"] = subject.name[:100]
    record_access(service, by=caller.actor, what=what, account_id=account, via=via)
    with open_lineage(service.settings) as store:
        return impact(service, store, subject, as_of=moment, sees=caller.sees)


def resolved(request: Request, caller: Principal, obligation: str, said: Said, *, via: str) -> tuple[int, bool]:
    """Record an outcome.

    Raises:
        NotAllowed: the caller is a service, or may not see accounts.
    """
    if caller.kind != "person" or ACCOUNTS not in caller.scopes:
        raise NotAllowed(
            "only people who logged in, and may see accounts, may do this",
            hint="log in; a service token is no person",
            reason="cannot_decide",
        )
    service = service_of(request)
    with open_lineage(service.settings) as store:
        return record_outcome(service, store, obligation, said, by=caller.actor, via=via, sees=caller.sees)
