"""The event of a published checkpoint says what its schema says, and the same each time."""

from __future__ import annotations

import json

import attr
from jsonschema import Draft202012Validator

from gate.lineage.checkpoint import KEY, GateCheckpointJobFacet, checkpoint_event
from gate.lineage.observed import observe
from gate.resources import shipped
from support.openlineage_spec import errors_of

ROOT = bytes(range(32))
NOTE = "example/ledger\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n\N{EM DASH} gate.example AAAA\n"
TOLD = "2026-01-01T00:00:00Z"


def test_the_facet_has_its_schema_and_says_so() -> None:
    document = json.loads((shipped("schemas") / "openlineage" / "GateCheckpointJobFacet.json").read_text("utf-8"))
    Draft202012Validator.check_schema(document)
    assert list(document["properties"]) == [KEY]
    assert GateCheckpointJobFacet._get_schema() == f"{document['$id']}#/$defs/GateCheckpointJobFacet"
    described = document["$defs"]["GateCheckpointJobFacet"]["allOf"][1]
    fields = {field.name for field in attr.fields(GateCheckpointJobFacet) if not field.name.startswith("_")}
    assert set(described["properties"]) == set(described["required"]) == fields


def test_equal_inputs_give_equal_and_valid_events() -> None:
    event = checkpoint_event(NOTE, "example/ledger", 7, ROOT, TOLD)
    assert event == checkpoint_event(NOTE, "example/ledger", 7, ROOT, TOLD)
    assert observe(event).job == ("consent-gate", "checkpoint")
    assert event["job"]["facets"][KEY]["root"] == ROOT.hex()
    assert errors_of(event) == []
