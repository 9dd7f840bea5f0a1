"""Data contracts in OpenLineage: one assertion per rule and column, valid by the standard's own schema."""

import json
from datetime import UTC, datetime

from openlineage.client.event_v2 import InputDataset
from openlineage.client.serde import Serde

from gate.domain.contract import ContractOutcome, Outcome, RuleOutcome, Severity
from gate.lineage.facets import contract_assertions
from support.openlineage_spec import errors_of

NOW = datetime(2026, 11, 30, tzinfo=UTC)
ERROR, WARNING = Severity.ERROR, Severity.WARNING
FOUND = ContractOutcome(
    ("chat",),
    (
        RuleOutcome("chat", "account", "It is named.", ERROR, "account", "account_id", Outcome.PASSED, 9, 0, 0),
        RuleOutcome("chat", "sender", "It is there.", WARNING, "filled", "sender", Outcome.FAILED, 9, 5, 0),
        RuleOutcome("chat", "shape", "It is so.", WARNING, "format", "text", Outcome.ERRORED, error="KeyError"),
    ),
    9,
    NOW,
    "sha256:" + "a" * 64,
    "1.24.1",
)


def assertions() -> list[dict]:
    return json.loads(Serde.to_json(contract_assertions(FOUND)))["assertions"]


def test_every_rule_is_an_assertion() -> None:
    account, sender, shape = assertions()
    assert account == {
        "assertion": "contract.account",
        "success": True,
        "column": "account_id",
        "severity": "error",
        "name": "chat/account",
        "description": "It is named.",
        "expected": "passed",
        "actual": "passed",
        "params": {"values": 9, "empty": 0, "unexpected": 0},
    }
    assert (sender["success"], sender["severity"], sender["actual"]) == (False, "warn", "failed")
    assert (shape["success"], shape["severity"], shape["actual"]) == (False, "error", "errored")


def test_the_facet_is_what_the_standard_describes() -> None:
    facets = {"dataQualityAssertions": contract_assertions(FOUND)}
    tagged = json.loads(Serde.to_json(InputDataset("file", "/lake/chat", inputFacets=facets)))
    event = {
        "eventTime": "2026-11-30T00:00:00Z",
        "producer": "https://consent-gate.dev",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "eventType": "COMPLETE",
        "run": {"runId": "01890000-0000-7000-8000-000000000000"},
        "job": {"namespace": "airflow", "name": "tag"},
        "inputs": [tagged],
        "outputs": [],
    }
    assert errors_of(event) == []
