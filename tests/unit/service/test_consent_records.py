"""Consent records: valid, readable without a network, and without names unless somebody opens them on the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gate.domain.words import Category, Purpose
from gate.errors import InputError
from gate.ledger import merkle
from gate.resources import shipped
from gate.service.consent_records import consent_records
from gate.service.core import Service
from support.jsonld import expand
from support.world import add_account, event, new_service, say

DPV = "https://w3id.org/dpv#"
SCHEMA = json.loads((shipped("schemas") / "consent-record-27560.schema.json").read_text("utf-8"))


@pytest.fixture
def service(tmp_path: Path, ledger_url: str) -> Iterator[Service]:
    with new_service(tmp_path / "home", url=ledger_url) as opened:
        add_account(opened, "acme")
        add_account(opened, "bolt")
        everything = {"purposes": [p.value for p in Purpose], "categories": [c.value for c in Category]}
        say(
            opened,
            event("acme", expires_at="2027-01-01T00:00:00Z", jurisdiction="US-CA", instrument="contract"),
            event("bolt", **everything, features="*", ownership=["third_party"]),
            event("bolt", "withdraw", effective_at="2023-10-01T00:00:00Z"),
            event("bolt", "refuse", purposes=["train"], effective_at="2023-11-01T00:00:00Z"),
        )
        yield opened


def faults(document: dict[str, Any]) -> list[str]:
    Draft202012Validator.check_schema(SCHEMA)
    checker = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(document)]


def test_every_event_is_a_valid_record(service: Service) -> None:
    document = consent_records(service)
    assert faults(document) == []
    records = expand(document)
    assert [record[f"{DPV}hasConsentStatus"][0]["@type"] for record in records] == [
        [f"{DPV}ConsentGiven"],
        [f"{DPV}ConsentGiven"],
        [f"{DPV}ConsentWithdrawn"],
        [f"{DPV}ConsentRefused"],
    ]
    grant, _, withdrawal, refusal = (record[f"{DPV}hasProcess"][0] for record in records)
    assert [term["@id"] for term in grant[f"{DPV}hasPurpose"]] == ["https://consent-gate.dev/ns#purpose/train"]
    assert grant[f"{DPV}hasPurpose"][0]["@type"] == [f"{DPV}ResearchAndDevelopment"]
    assert [term["@id"] for term in withdrawal[f"{DPV}hasPurpose"]] == ["https://consent-gate.dev/ns#any/purpose"]
    assert [term["@id"] for term in refusal[f"{DPV}hasPersonalData"]] == ["https://consent-gate.dev/ns#any/category"]
    until = records[0][f"{DPV}hasConsentStatus"][0][f"{DPV}hasDuration"][0]
    assert until["http://www.w3.org/1999/02/22-rdf-syntax-ns#value"][0]["@value"] == "2027-01-01T00:00:00Z"


def test_a_record_leads_to_the_bytes_it_rests_on(service: Service) -> None:
    for record in consent_records(service)["@graph"]:
        with service.ledger.read() as reader:
            entry = reader.entry(record["gate:ledgerEntry"])
        assert merkle.leaf_hash(entry.payload).hex() == record["gate:leafHash"]
        assert entry.subject == record["dct:identifier"]


def test_names_are_references_until_somebody_opens_them(service: Service) -> None:
    before = service.ledger_size()
    closed = json.dumps(consent_records(service))
    assert not any(name in closed for name in ("acme", "bolt", "admin@", "form 12", "admin console"))
    assert service.ledger_size() == before
    document = consent_records(service, account="acme", opened_by="eve")
    assert faults(document) == []
    [record] = document["@graph"]
    assert record["dpv:hasDataSubject"]["dct:identifier"] == "acme"
    assert record["dpv:hasConsentStatus"]["dpv:isIndicatedBy"]["dct:identifier"] == "admin@acme"
    assert (record["gate:evidence"], record["gate:authority"]) == ("form 12", "admin")
    assert record["dpv:hasConsentControl"]["dpv:isExercisedAt"] == "admin console"
    with service.ledger.read() as reader:
        access = reader.newest()
    assert access is not None
    assert (access.kind, access.body["page"]) == ("access", "consent_export")


def test_erased_names_stay_references(service: Service) -> None:
    with service.ledger.write() as tx:
        tx.erase([tx.ref("account", "acme")])
    [record, *_] = consent_records(service, opened_by="eve")["@graph"]
    assert len(record["dpv:hasDataSubject"]["dct:identifier"]) == 64
    assert record["gate:authority"] == "not_admin"  # a grant of which anything was erased does not count


def test_an_unknown_account_is_told(service: Service) -> None:
    with pytest.raises(InputError, match="no such account"):
        consent_records(service, account="nobody")


def test_the_schema_sees_what_is_wrong(service: Service) -> None:
    document = consent_records(service)
    for change in ({"account": "acme"}, {"@type": "dpv:ConsentReceipt"}, {"dct:created": "yesterday"}):
        assert faults({**document, "@graph": [{**document["@graph"][0], **change}]})
