"""The policy as people read it, a what-if form, and the difference between two versions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from gate.api.health import service_of
from gate.domain.instants import format_instant
from gate.domain.words import Action, Category, Instrument, Ownership, Purpose, Role, Toggle
from gate.errors import InputError
from gate.policy.explain import cite, describe, describe_feeds, scope
from gate.policy.matrix import LEGEND
from gate.policy.rows import Policy
from gate.service import policies
from gate.service.what_if import what_if
from gate.web.access import SeesRuns
from gate.web.pages import HEADERS, page

router = APIRouter()

Version = Annotated[str, Query(max_length=200)]
At = Annotated[str, Query(max_length=100)]

_TELLING = {"scope": scope, "describe": describe, "cite": cite, "feeds": describe_feeds}
_WORDS = {
    "categories": Category,
    "purposes": Purpose,
    "ownerships": Ownership,
    "toggles": Toggle,
    "roles": Role,
    "instruments": Instrument,
    "actions": Action,
}
_STANDS = {"evidence": "1", "notice": "1", "channel": "1"}
_ASKED: Mapping[str, Any] = {
    "categories": ["audio"],
    "purpose": "train",
    "feature": "meeting_summary",
    "model": "ms-1",
    "ownership": "first_party",
    "region": "US",
    "segment": "none",
}
_GRANT: Mapping[str, Any] = {
    "consent": "grant",
    "toggle": "share_for_training",
    "c_categories": ["audio"],
    "c_features": "meeting_summary",
    "c_purposes": ["train"],
    "c_ownership": ["first_party"],
    "role": "admin",
    "instrument": "admin_toggle",
    **_STANDS,
}


@router.get("/policy")
def show(request: Request, _: SeesRuns, at: At = "", version: Version = "") -> Response:
    """Show a policy: who asks for what, on whose authority, and since when."""
    service, wrong = service_of(request), None
    try:
        instant = policies.instant_from(at, "at") if at.strip() else None
    except InputError as error:
        instant, wrong = None, error
    viewed = policies.view_policy(service, version.strip(), instant)
    return page(
        request,
        "policy.html",
        422 if wrong else 200,
        section="policy",
        wrong=wrong,
        typed=at,
        viewed=viewed,
        policy=viewed.policy,
        sheets=policies.sheets(viewed.policy, viewed.at),
        history=policies.activations(service),
        version=version,
        legend=LEGEND,
        **_TELLING,
    )


@router.get("/policy/table")
def table(request: Request, _: SeesRuns, version: Version = "") -> Response:
    """Give a policy's whole table as a file that `gate policy` commands take."""
    policy = policies.view_policy(service_of(request), version.strip()).policy
    text = json.dumps(policy.table, ensure_ascii=False, indent=1)
    named = {"Content-Disposition": 'attachment; filename="policy.json"'}
    return Response(text, media_type="application/json", headers=HEADERS | named)


@router.get("/policy/what-if")
def ask(request: Request, _: SeesRuns, version: Version = "") -> Response:
    """Answer a made-up case; everything asked stands in the address, and nothing is recorded."""
    service = service_of(request)
    viewed = policies.view_policy(service, version.strip())
    query = request.query_params
    asked = {name: query.getlist(name) for name in query if name != "version"}
    answer, wrong = None, None
    try:
        answer = what_if(viewed.policy, asked, viewed.at) if "purpose" in asked else None
    except InputError as error:
        wrong = error
    return page(
        request,
        "policy_what_if.html",
        422 if wrong else 200,
        section="policy",
        viewed=viewed,
        policy=viewed.policy,
        version=version,
        offered=policies.choices(service),
        answer=answer,
        wrong=wrong,
        asked=asked or _starting(viewed.policy),
        examples=_examples(viewed.policy),
        **_named(viewed.policy),
        **_WORDS,
        **_TELLING,
    )


@router.get("/policy/diff")
def compare(
    request: Request,
    _: SeesRuns,
    before: Annotated[str, Query(alias="from", max_length=200)] = "",
    after: Annotated[str, Query(alias="to", max_length=200)] = "",
) -> Response:
    """Show what changes from one policy to another."""
    service = service_of(request)
    offered = policies.choices(service)
    first, second = policies.default_pair(offered)
    before, after = before.strip() or first, after.strip() or second
    old, new = policies.find_policy(service, before), policies.find_policy(service, after)
    return page(
        request,
        "policy_diff.html",
        section="policy",
        offered=offered,
        before=before,
        after=after,
        found=policies.compare(old, new),
        names=(policies.shipped_name(old), policies.shipped_name(new)),
        **_TELLING,
    )


def _starting(policy: Policy) -> dict[str, list[str]]:
    """Return what the form holds before anybody filled it in."""
    terms = [one.version for one in policy.terms_versions][-1:]
    return {name: value if isinstance(value, list) else [value] for name, value in _ASKED.items()} | {"terms": terms}


def _examples(policy: Policy) -> list[tuple[str, dict[str, Any]]]:
    """Return cases worth a look, as words and the form's fields."""
    since = policy.terms_versions[-1].since if policy.terms_versions else None
    terms = policy.terms_versions[-1].version if policy.terms_versions else ""
    begin = format_instant(since) if since else "2023-08-07T00:00:00Z"
    use = {**_ASKED, "terms": terms}
    grant = {**use, **_GRANT, "notice_terms": terms, "effective": begin}
    return [
        ("nobody was asked", {**use, "consent": "none"}),
        ("an admin agreed", grant),
        ("a member agreed", {**grant, "role": "member"}),
        ("the consent expired", {**grant, "expires": f"{int(begin[:4]) + 1}{begin[4:]}"}),
        ("an admin withdrew", {**use, "consent": "withdraw", "role": "admin", "effective": begin}),
        ("agreed to chat, not audio", {**grant, "c_categories": ["chat"]}),
        ("a third party's model", {**grant, "ownership": "third_party", "model": "vendor-llm"}),
        ("telemetry only", {**use, "categories": ["telemetry"], "consent": "none"}),
    ]


def _named(policy: Policy) -> dict[str, list[str]]:
    """Return the words this policy's rows know, to choose from."""
    rows = policy.rows
    return {
        "features": sorted({word for row in rows for word in row.features or ()} | {"meeting_summary"}),
        "regions": sorted({word for row in rows for word in row.regions or ()} | {"US"}),
        "segments": ["none", *sorted({word for row in rows for word in row.segments or ()})],
        "terms_versions": [one.version for one in policy.terms_versions],
    }
