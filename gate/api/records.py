"""What consoles and directories report, and what auditors read, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field, WithJsonSchema

from gate.api.auth import ACCOUNTS, Anybody, Principal, Reads, needs
from gate.api.bodies import Body, Text
from gate.api.health import service_of
from gate.api.problems import Gone
from gate.api.wire import API
from gate.domain.consent import Profile, parse_consent_event
from gate.domain.instants import format_instant, parse_instant
from gate.errors import InputError
from gate.ledger.store import Reader
from gate.resources import shipped
from gate.service import consents, feeds
from gate.service.access import record_access
from gate.service.consents import Recorded
from gate.service.entry_view import entry_proof
from gate.service.imports import parse_appointment
from gate.service.keyring import keyring, statements
from gate.service.publishing import sign_checkpoint

router = APIRouter(prefix=API, tags=["records"])

MAX_BATCH = 1000  # statements in one request

_T = TypeVar("_T")


def _schema(name: str) -> dict[str, Any]:
    """Return a shipped JSON Schema with its definitions put in place, for the OpenAPI document."""
    schema = json.loads((shipped("schemas") / name).read_text("utf-8"))
    definitions = schema.pop("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolved(definitions[node["$ref"].rpartition("/")[2]])
            return {key: resolved(value) for key, value in node.items() if key not in ("$schema", "$id")}
        return [resolved(item) for item in node] if isinstance(node, list) else node

    document: dict[str, Any] = resolved(schema)
    return document


Event = Annotated[dict[str, Any], WithJsonSchema(_schema("consent-event.schema.json"))]


class Consents(Body):
    """Consent events that are happening now, as `gate consent import` reads them."""

    events: Annotated[list[Event], Field(min_length=1, max_length=MAX_BATCH)]


class AppointmentStatement(Body):
    """The directory's statement that a person became, or ceased to be, owner or admin of an account."""

    account_id: Text
    person_id: Text
    action: Annotated[str, Field(json_schema_extra={"enum": ["appoint", "remove"]})]
    role: Annotated[str, Field(json_schema_extra={"enum": ["owner", "admin"]})]
    effective_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Appointments(Body):
    """What the directory says of owners and admins."""

    appointments: Annotated[list[AppointmentStatement], Field(min_length=1, max_length=MAX_BATCH)]


class ProfileStatement(Body):
    """What the directory says of an account; fields left out keep what is on record."""

    account_id: Text
    region: Text | None = None
    segment: Text | None = None
    terms_version: Text | None = None


class Watermark(Body):
    """A consent source's word that it has handed over everything up to an instant."""

    source: Text
    watermark: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class AccountQuestion(Body):
    """Which account, effective at an instant, as known when the ledger held so many entries."""

    account_id: Text
    as_of: Annotated[str | None, Field(json_schema_extra={"format": "date-time"})] = None
    known_at: Annotated[int | None, Field(ge=0, le=2**53 - 1)] = None


@router.post("/consents", status_code=201, response_model=Recorded)
def record_consents(body: Consents, request: Request, caller: Annotated[Principal, needs("consent")]) -> JSONResponse:
    """Record consent events that happen now, all or none; an event recorded before adds nothing.

    The person must have authority when it takes effect and now; `without_authority` counts those who have not.
    """
    events = _each(body.events, parse_consent_event, "events")
    return _recorded(consents.record_consent_events(service_of(request), events, by=caller.actor, via="api"))


@router.post("/appointments", status_code=201, response_model=Recorded)
def record_appointments(
    body: Appointments, request: Request, caller: Annotated[Principal, needs("directory")]
) -> JSONResponse:
    """Record who became, or ceased to be, owner or admin of an account, all or none."""
    said = _each([one.model_dump() for one in body.appointments], parse_appointment, "appointments")
    return _recorded(consents.record_appointments(service_of(request), said, by=caller.actor, via="api"))


@router.post("/profiles", status_code=201, response_model=Recorded)
def record_profile(
    body: ProfileStatement, request: Request, caller: Annotated[Principal, needs("directory")]
) -> JSONResponse:
    """Record region, segment and accepted terms of an account."""
    profile = Profile(body.region, body.segment, body.terms_version)
    service = service_of(request)
    return _recorded(consents.record_profile(service, body.account_id, profile, by=caller.actor, via="api"))


@router.post("/feeds", status_code=201)
def report_watermark(
    body: Watermark, request: Request, caller: Annotated[Principal, needs("consent", "directory")]
) -> JSONResponse:
    """Record how far a consent source, or the directory, has handed over what it knows."""
    watermark = parse_instant(body.watermark, "watermark")
    feed, moved = feeds.report_watermark(service_of(request), body.source, watermark, by=caller.actor, via="api")
    return JSONResponse(
        {"source": feed.source, "watermark": format_instant(feed.watermark), "index": feed.index, "moved": moved}, 201
    )


@router.get("/feeds")
def list_feeds(request: Request, _: Reads) -> dict[str, Any]:
    """List consent sources with their watermarks, and which of them the active policy finds stale."""
    return {"feeds": feeds.list_feeds(service_of(request))}


@router.post("/accounts/view")
def view_account(
    body: AccountQuestion, request: Request, caller: Annotated[Principal, needs(ACCOUNTS)]
) -> dict[str, Any]:
    """Show an account's profile, admins and consent events. The account stands in the body: addresses are logged.

    Each view is an entry of the ledger.
    """
    as_of = None if body.as_of is None else parse_instant(body.as_of, "as_of")
    service = service_of(request)
    what = {"page": "api/accounts/view", "as_of": body.as_of, "known_at": body.known_at}
    record_access(service, by=caller.actor, what=what, account_id=body.account_id, via="api")
    return consents.account_view(service, body.account_id, as_of=as_of, known_at=body.known_at)


@router.get("/models")
def list_models(request: Request, _: Reads) -> dict[str, Any]:
    """List registered models."""
    return {"models": consents.registered_models(service_of(request))}


@router.get("/policy")
def active_policy(request: Request, _: Reads) -> dict[str, Any]:
    """Show the active policy, exactly as it was activated."""
    service = service_of(request)
    with service.ledger.read() as reader:
        policy, entry = service.policy(reader), _newest_activation(reader)
    return {
        "name": policy.name,
        "version": policy.version,
        "digest": policy.digest,
        "index": entry,
        "table": policy.table,
    }


@router.get("/keys")
def keys(request: Request, _: Anybody) -> dict[str, Any]:
    """Show the ledger's keys, and what each said of its successor: who pins an old one learns to trust the next."""
    with service_of(request).ledger.read() as reader:
        return {
            "ledger_origin": reader.origin,
            "keys": [key.to_dict() for key in keyring(reader)],
            "statements": statements(reader),
        }


@router.get("/ledger")
def ledger_head(request: Request, _: Anybody) -> dict[str, Any]:
    """Show the ledger's name, how many entries it holds, and its root."""
    with service_of(request).ledger.read() as reader:
        head, origin = reader.head(), reader.origin
    return {"origin": origin, "size": head.size, "root": head.root.hex()}


@router.get("/ledger/checkpoint")
def checkpoint(request: Request, _: Reads) -> dict[str, Any]:
    """Sign the present size and root, if the ledger is what was published of it; keep it elsewhere."""
    signed = sign_checkpoint(service_of(request))
    return {"checkpoint": signed.note, "size": signed.size, "root": signed.root.hex()}


@router.get("/ledger/entries/{index}/proof")
def prove_entry(index: int, request: Request, caller: Reads) -> dict[str, Any]:
    """Prove that an entry stands in the ledger; one about a run of a DAG the caller may not see is not there."""
    proof = entry_proof(service_of(request), index, caller.sees)
    if proof is None:
        raise Gone("there is no such entry", where="index")
    return proof


def _newest_activation(reader: Reader) -> int | None:
    entry = reader.latest("policy_activation")
    return None if entry is None else entry.idx


def _each(raw: Sequence[Mapping[str, Any]], parse: Callable[[Mapping[str, Any]], _T], where: str) -> list[_T]:
    """Read every statement, or name the first that is wrong."""
    read = []
    for number, statement in enumerate(raw):
        try:
            read.append(parse(statement))
        except InputError as error:
            place = f"{where}[{number}]" + (f".{error.where}" if error.where else "")
            raise type(error)(error.message, where=place, hint=error.hint, reason=error.reason) from None
    return read


def _recorded(recorded: Recorded) -> JSONResponse:
    return JSONResponse(recorded.to_dict(), 201)
