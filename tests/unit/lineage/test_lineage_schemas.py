from __future__ import annotations

import copy
import json

import attr
import pytest
from jsonschema import Draft202012Validator

from gate.lineage import custom
from gate.resources import shipped
from support.events import EVENTS
from support.openlineage_spec import errors_of

OURS = {
    "GateDecisionRunFacet": "gate_decision",
    "GateDataCategoryDatasetFacet": "gate_dataCategory",
    "GateConsentCoverageInputDatasetFacet": "gate_consentCoverage",
}


def schema(name: str) -> dict:
    return json.loads((shipped("schemas") / "openlineage" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", OURS)
def test_each_facet_has_its_schema_and_says_so(name):
    document = schema(name)
    Draft202012Validator.check_schema(document)
    version = "1-0-1" if name == "GateDecisionRunFacet" else "1-0-0"
    assert document["$id"] == f"https://consent-gate.dev/spec/facets/{version}/{name}.json"
    assert list(document["properties"]) == [OURS[name]]
    facet = getattr(custom, name)
    assert facet._get_schema() == f"{document['$id']}#/$defs/{name}"
    described = set(document["$defs"][name]["allOf"][1]["properties"])
    assert described == {field.name for field in attr.fields(facet) if not field.name.startswith("_")}


def corrupted(event: dict, path: tuple, value) -> dict:
    event = copy.deepcopy(event)
    target = event
    for step in path[:-1]:
        target = target[step]
    if value is ...:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return event


DECISION = ("run", "facets", "gate_decision")
INPUT = ("inputs", 0, "inputFacets")
FACETS = ("inputs", 0, "facets")
WRONG = {
    "a verdict of its own": (*DECISION, "verdict"),
    "a reason that is a sentence": (*DECISION, "reasons", 0),
    "a checkpoint without root": (*DECISION, "ledger", "checkpoint", "root"),
    "a time without zone": (*DECISION, "decided_at"),
    "an unknown category": (*FACETS, "gate_dataCategory", "categories", 0, "category"),
    "an account list": (*INPUT, "gate_consentCoverage", "coverage", 0, "account_ids"),
    "a standard facet without key": (*FACETS, "tags", "tags", 0, "key"),
    "no facet schema": (*FACETS, "version", "_schemaURL"),
    "no run id": ("run", "runId"),
}
VALUES = {
    "a checkpoint without root": ...,
    "a time without zone": "2026-11-21",
    "an account list": ["acme"],
    "a standard facet without key": ...,
    "no facet schema": ...,
    "no run id": "not-a-uuid",
}


@pytest.mark.parametrize("what", WRONG)
def test_the_oracle_sees_what_is_wrong(what):
    path = WRONG[what]
    errors = errors_of(corrupted(EVENTS["decision_block"](), path, VALUES.get(what, "Something Else")))
    assert len(errors) >= 1, what


def test_the_oracle_reports_unknown_and_misplaced_facets():
    event = EVENTS["decision_block"]()
    facet = event["run"]["facets"]["gate_decision"]
    event["run"]["facets"]["other"] = facet
    event["run"]["facets"]["foreign"] = {"_producer": "https://x.example", "_schemaURL": "https://x.example/F.json"}
    event["inputs"][0]["facets"]["dataQualityAssertions"] = event["inputs"][0]["inputFacets"]["dataQualityAssertions"]
    errors = errors_of(event)
    assert len(errors) == 3
    assert any(error.startswith("run.other: unknown facet") for error in errors)
    assert any(error.startswith("run.foreign: unknown facet") for error in errors)
    assert any("does not describe a DatasetFacet" in error for error in errors)


def test_the_oracle_knows_the_later_metrics_facet():
    event = EVENTS["tag"]()
    event["inputs"][0]["facets"]["dataQualityMetrics"] = {
        "_producer": "https://x.example",
        "_schemaURL": "https://openlineage.io/spec/facets/1-0-1/DataQualityMetricsDatasetFacet.json"
        "#/$defs/DataQualityMetricsDatasetFacet",
        "columnMetrics": {},
    }
    assert errors_of(event) == []
    del event["inputs"][0]["facets"]["dataQualityMetrics"]["columnMetrics"]
    assert len(errors_of(event)) == 1
