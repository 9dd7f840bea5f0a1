from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gate.lineage.custom import PRODUCER
from gate.lineage.events import decision_event, run_event
from gate.lineage.facets import decision_facets
from support.decisions import MEETINGS, REF, RUN_ID, TAGGING, allowed, blocked
from support.events import EVENTS, JOB, event
from support.openlineage_spec import errors_of

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_valid_facet_by_facet(name):
    assert errors_of(EVENTS[name]()) == []


@pytest.mark.parametrize("name", ["decision_block", "decision_allow", "training", "training_refused"])
def test_events_are_frozen(name):
    golden = (GOLDEN / f"events_{name}.json").read_text().replace("PRODUCER", PRODUCER)
    assert EVENTS[name]() == json.loads(golden)


def test_equal_inputs_give_equal_events():
    assert json.dumps(event(blocked())) == json.dumps(event(blocked()))
    assert decision_event(
        blocked().to_dict(), [MEETINGS], **JOB, job="j", decision_index=1, decision_digest="", checkpoint=(0, "")
    ) == decision_event(blocked(), [MEETINGS], **JOB, job="j", decision_index=1, decision_digest="", checkpoint=(0, ""))


def test_a_decision_is_an_event_of_its_own_at_its_own_time():
    made = event(blocked())
    assert (made["eventType"], made["eventTime"]) == ("OTHER", "2026-11-21T12:00:00Z")
    assert made["run"]["runId"] == RUN_ID
    assert made["job"]["name"] == "train_meeting_summary.consent_gate"
    assert made["outputs"] == []


@pytest.mark.parametrize("decision", [blocked(), allowed()])
def test_the_airflow_provider_carries_our_facets_unchanged(decision):
    base = pytest.importorskip("airflow.providers.openlineage.extractors.base")
    adapter = pytest.importorskip("airflow.providers.openlineage.plugins.adapter")

    def made(inputs, run_facets) -> dict:
        return run_event("FAIL", "2026-11-21T12:00:00Z", **JOB, job="j", run_facets=run_facets, inputs=inputs)

    facets, inputs = decision_facets(decision.to_dict(), [MEETINGS], REF, {MEETINGS.key: TAGGING})
    before = made(inputs, facets)
    lineage = base.OperatorLineage(inputs=inputs, run_facets=facets).merge(base.OperatorLineage())
    redactor = adapter.OpenLineageAdapter()._redacter
    assert (
        made(redactor.redact(lineage.inputs, max_depth=20), redactor.redact(lineage.run_facets, max_depth=20)) == before
    )
    assert set(before["inputs"][0]["inputFacets"]) == {"dataQualityAssertions", "gate_consentCoverage"}


def test_the_service_can_import_events_without_the_client():
    code = "import sys, gate.lineage.events, gate.lineage.relay; print('openlineage' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
