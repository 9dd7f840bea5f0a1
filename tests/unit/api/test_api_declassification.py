"""Declassifying over HTTP: two people who log in, a method, evidence that both can read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gate.domain.instants import format_instant
from gate.service.core import Service
from gate.service.tagging import tag_dataset
from gate.service.tags import read_tags
from support.anonymity import VOUCHED, alike, measured, table_file
from support.world import Clock

Calls = Any  # of the conftest


@pytest.fixture
def proposal(service: Service, clock: Clock, tmp_path: Path) -> dict[str, Any]:
    data = table_file(tmp_path, alike(6, 9))
    version = tag_dataset(service, data, ["telemetry"], by="eve", via="cli").version
    until = format_instant(clock.now + timedelta(days=90))
    params = {"uri": data.uri, "digest": version.digest, "removes": ["telemetry"], "expires_at": until}
    return {"act": "declassification", "params": {**params, **measured(data)}, "reason": "ticket 17"}


def test_two_people_declassify_what_was_measured(
    calls: Calls, service: Service, clock: Clock, tmp_path: Path, proposal: dict[str, Any]
) -> None:
    ada, bob = calls(person="ada admin"), calls(person="bob reviewer")
    index = ada.post("/api/v1/acts", json=proposal).json()["index"]
    assert ada.post(f"/api/v1/acts/{index}/approval", json={}).status_code == 403
    assert bob.get(f"/api/v1/acts/{index}").json()["params"] == proposal["params"]
    assert [act["params"] for act in bob.get("/api/v1/acts").json()["acts"]] == [proposal["params"]]
    done = bob.post(f"/api/v1/acts/{index}/approval", json={"act": "declassification"})
    assert (done.status_code, done.json()["kind"]) == (201, "declassification")

    def categories(rows: list[tuple[str, str]]) -> set[str]:
        version = tag_dataset(service, table_file(tmp_path, rows), ["telemetry"], by="eve", via="cli").version
        with service.ledger.read() as reader:
            return {str(word) for word in read_tags(reader, version, clock.now).categories}

    assert categories(alike(6, 9)) == {"aggregated_anonymous"}
    assert categories(alike(6, 9, 1)) == {"telemetry"}
    clock.forward(days=90)
    assert categories(alike(6, 9)) == {"telemetry"}


def test_a_document_that_somebody_vouches_with(calls: Calls, proposal: dict[str, Any]) -> None:
    ada, bob = calls(person="ada admin"), calls(person="bob reviewer")
    vouched = {**proposal, "params": {**proposal["params"], **VOUCHED}}
    index = ada.post("/api/v1/acts", json=vouched).json()["index"]
    assert bob.get(f"/api/v1/acts/{index}").json()["params"]["evidence"] == VOUCHED["evidence"]
    assert bob.post(f"/api/v1/acts/{index}/approval", json={}).status_code == 201


def test_without_method_or_evidence_it_is_refused(calls: Calls, service: Service, proposal: dict[str, Any]) -> None:
    before, ada = service.ledger_size(), calls(person="ada admin")
    for name in ("method", "evidence"):
        without = {key: value for key, value in proposal["params"].items() if key != name}
        assert ada.post("/api/v1/acts", json={**proposal, "params": without}).status_code == 422
    evidence = {**proposal["params"]["evidence"], "k_measured": 4}
    refused = ada.post("/api/v1/acts", json={**proposal, "params": {**proposal["params"], "evidence": evidence}})
    assert (refused.status_code, refused.json()["where"]) == (422, "evidence")
    assert "fewer than 5" in refused.json()["message"]
    assert service.ledger_size() == before
