"""Consent events as ISO/IEC TS 27560:2023 consent records: JSON-LD in the terms of the Data Privacy Vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gate.domain.consent import ANY_FEATURE
from gate.domain.instants import format_instant
from gate.domain.words import Action, Authority, Category, Ownership, Purpose
from gate.errors import InputError
from gate.ledger.reading import Entry, Reader
from gate.ledger.state import appointment_of, recorded_event, refs_of
from gate.service.access import record_access
from gate.service.core import Service

OURS = "https://consent-gate.dev/ns#"
CONFORMS_TO = "https://w3id.org/dpv/schema/dpv-27560#record"

CONTEXT: dict[str, Any] = {
    "dpv": "https://w3id.org/dpv#",
    "dct": "http://purl.org/dc/terms/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "gate": OURS,
    "dct:conformsTo": {"@type": "@id"},
    "dct:created": {"@type": "xsd:dateTime"},
    "dpv:isIndicatedAtTime": {"@type": "xsd:dateTime"},
    "dpv:hasLegalBasis": {"@type": "@id"},
    "gate:notRecorded": {"@container": "@set"},
}

# What 27560 asks for and a ledger of consent does not know; the controller adds it where a complete record is needed.
NOT_RECORDED = ("pii_controllers", "party_fields", "storage_locations", "retention_period", "recipient_third_parties")

STATUS = {
    Action.GRANT: "dpv:ConsentGiven",
    Action.REFUSE: "dpv:ConsentRefused",
    Action.WITHDRAW: "dpv:ConsentWithdrawn",
}
PURPOSES = {
    Purpose.PROVIDE_SERVICE: "dpv:ServiceProvision",
    Purpose.INFER: "dpv:ServiceProvision",
    Purpose.PROTECT_SERVICE: "dpv:EnforceSecurity",
    Purpose.IMPROVE_PRODUCT: "dpv:ImproveExistingProductsAndServices",
    Purpose.TRAIN: "dpv:ResearchAndDevelopment",
    Purpose.TUNE: "dpv:ResearchAndDevelopment",
    Purpose.TEST: "dpv:ResearchAndDevelopment",
    Purpose.DISCLOSE: "dpv:Purpose",
}
_PERSONAL = {
    Category.PHI: "dpv:SpecialCategoryPersonalData",
    Category.EDUCATION_RECORD: "dpv:SensitivePersonalData",
    Category.AGGREGATED_ANONYMOUS: "dpv:AnonymisedData",
}


def consent_records(service: Service, *, account: str | None = None, opened_by: str | None = None) -> dict[str, Any]:
    """Write one record per consent event, in the ledger's order.

    Args:
        account: only this account's.
        opened_by: who wants ids and texts in place of references: recorded as an access before anything is opened.

    Returns:
        A JSON-LD document whose context is inline: nothing has to be fetched to read it.

    Raises:
        InputError: the ledger does not know the account.
        LedgerUnavailable: the access cannot be recorded; then nothing is opened.
    """
    if opened_by is not None:
        what = {"page": "consent_export", "of": "account" if account else "all"}
        record_access(service, by=opened_by, what=what, account_id=account, via="cli")
    with service.ledger.read() as reader:
        ref = None if account is None else _known(reader, account)
        entries = list(reader.entries("consent", account_ref=ref))
        held: dict[str, list[Any]] = {}
        for entry in reader.entries("appointment"):
            held.setdefault(entry.body["person_ref"], []).append(appointment_of(entry))
        opened = reader.open_refs(found for entry in entries for found in refs_of(entry))
        shown = opened if opened_by is not None else {}
        base = f"{OURS.rstrip('#')}/ledger/{reader.origin}"
        records = [_record(entry, base, recorded_event(entry, held, opened).authority, shown) for entry in entries]
    return {"@context": CONTEXT, "@graph": records}


def _known(reader: Reader, account: str) -> str:
    ref = reader.ref("account", account)
    if ref is None:
        raise InputError("the ledger knows no such account", where="--account")
    return ref


def _record(entry: Entry, base: str, authority: Authority, opened: Mapping[str, Any]) -> dict[str, Any]:
    body, action = entry.body, Action(entry.body["action"])
    account = str(entry.account_ref)
    record = {
        "@id": f"{base}/entry/{entry.idx}",
        "@type": "dpv:ConsentRecord",
        "dct:identifier": entry.subject,
        "dct:conformsTo": CONFORMS_TO,
        "dct:created": format_instant(entry.recorded_at),
        "dpv:hasDataSubject": _party(base, "dpv:DataSubject", account, opened),
        "dpv:hasProcess": _process(body, action),
        "dpv:hasNotice": _notice(body.get("notice") or {}),
        "dpv:hasConsentControl": _control(body, opened),
        "dpv:hasConsentStatus": _status(body, action, base, opened),
        "gate:ledgerEntry": entry.idx,
        "gate:leafHash": entry.leaf_hash.hex(),
        "gate:toggle": body.get("toggle", "any"),
        "gate:authority": authority.value,
        "gate:bundledWithService": body.get("bundled_with_service", False),
        "gate:notRecorded": list(NOT_RECORDED),
    }
    if jurisdiction := body.get("jurisdiction"):
        record["dpv:hasJurisdiction"] = {"@type": "dpv:Location", "dct:title": jurisdiction}
    if evidence := body.get("evidence_ref"):
        record["gate:evidence"] = _value(evidence, opened)
    return record


def _party(base: str, kind: str, ref: str, opened: Mapping[str, Any]) -> dict[str, Any]:
    return {"@id": f"{base}/ref/{ref}", "@type": kind, "dct:identifier": _value(ref, opened)}


def _value(ref: str, opened: Mapping[str, Any]) -> str:
    """Return what a reference stands for, if that was opened and is not erased; else the reference."""
    return str(opened.get(ref, ref))


def _process(body: Mapping[str, Any], action: Action) -> dict[str, Any]:
    """Say what the event is about. A field left out means everything, but in a grant nothing (ownership: ours)."""
    grants = action is Action.GRANT
    features = body.get("features")
    named = [features] if isinstance(features, str) else features
    ownership = body.get("ownership") or ([Ownership.FIRST_PARTY.value] if grants else None)
    return {
        "@type": "dpv:Process",
        "dpv:hasLegalBasis": "dpv:ExplicitlyExpressedConsent",
        "dpv:hasPurpose": list(_terms("purpose", body.get("purposes"), grants, PURPOSES, "dpv:Purpose")),
        "dpv:hasPersonalData": list(_terms("category", body.get("categories"), grants, _PERSONAL, "dpv:PersonalData")),
        "dpv:hasService": list(_terms("feature", named, grants, {}, "dpv:Service")),
        "gate:modelOwnership": list(_terms("ownership", ownership, grants, {}, "gate:Ownership")),
    }


def _terms(of: str, words: Any, grants: bool, known: Mapping[Any, str], otherwise: str) -> Iterator[dict[str, Any]]:
    """Yield one node per word, typed with the vocabulary's term; one for "any" where nothing was named."""
    for word in words if words is not None else [] if grants else [ANY_FEATURE]:
        if word == ANY_FEATURE:
            yield {"@id": f"gate:any/{of}", "@type": otherwise, "dct:title": "any"}
        else:
            place = {} if of == "feature" else {"@id": f"gate:{of}/{word}"}
            yield {**place, "@type": known.get(word, otherwise), "dct:title": word}


def _notice(notice: Mapping[str, Any]) -> dict[str, Any]:
    said = {
        "dct:identifier": notice.get("terms_version"),
        "gate:textSha256": notice.get("text_sha256"),
        "dct:language": notice.get("language"),
    }
    return {"@type": "dpv:ConsentNotice", **{name: value for name, value in said.items() if value is not None}}


def _control(body: Mapping[str, Any], opened: Mapping[str, Any]) -> dict[str, Any]:
    channel = body.get("withdrawal_channel_ref")
    place = {} if channel is None else {"dpv:isExercisedAt": _value(channel, opened)}
    return {"@type": "dpv:WithdrawConsent", **place}


def _status(body: Mapping[str, Any], action: Action, base: str, opened: Mapping[str, Any]) -> dict[str, Any]:
    principal = body["principal"]
    who = _party(base, "dpv:Entity", principal["person_ref"], opened) | {"gate:claimedRole": principal["role"]}
    how = body.get("instrument") or body.get("channel")
    return {
        "@type": STATUS[action],
        "dpv:isIndicatedAtTime": body["effective_at"],
        "dpv:hasDuration": _duration(body, action),
        "dpv:isIndicatedBy": who,
        **({"dpv:hasIndicationMethod": how} if how else {}),
    }


def _duration(body: Mapping[str, Any], action: Action) -> dict[str, Any]:
    if until := body.get("expires_at"):
        return {"@type": "dpv:UntilTimeDuration", "rdf:value": {"@type": "xsd:dateTime", "@value": until}}
    ends = "withdrawal" if action is Action.GRANT else "a later grant"
    return {"@type": "dpv:UntilEventDuration", "rdf:value": ends}
