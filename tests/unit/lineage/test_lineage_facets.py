from __future__ import annotations

import json
from dataclasses import replace

import pytest
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.serde import Serde

from gate.domain.dataset import DatasetVersion, dataset
from gate.domain.decision import Citation, Coverage, Decision, Finding
from gate.domain.words import Reason, Requirement, Verdict
from gate.lineage.facets import Tagging, decision_facets, read_inputs, subset_output, tag_facets
from gate.lineage.training import training_facets
from support.decisions import MEETINGS, REF, TAGGING, TELEMETRY, USE, allowed, blocked

MODEL = DatasetVersion(dataset("file:///models/ms-1"), "sha256:" + "c" * 64, 1, 99)
BOTH = [MEETINGS, TELEMETRY]


def plain(value) -> dict:
    return json.loads(Serde.to_json(value))


def decided(decision: Decision, **options) -> tuple[dict, list[dict]]:
    run_facets, inputs = decision_facets(decision.to_dict(), BOTH, REF, **options)
    assert all(type(dataset) is InputDataset for dataset in inputs)
    return {key: plain(facet) for key, facet in run_facets.items()}, [plain(dataset) for dataset in inputs]


def test_the_run_says_the_verdict_and_where_it_is_recorded():
    facet = decided(blocked())[0]["gate_decision"]
    assert facet["verdict"] == "block"
    assert facet["reasons"] == ["consent_withdrawn", "no_consent"]
    assert facet["policy"] == {"name": "zoom-2023-08", "digest": "sha256:" + "3" * 64}
    assert facet["ledger"] == {
        "index": 41,
        "digest": "sha256:" + "1" * 64,
        "checkpoint": {"size": 40, "root": "2" * 64},
        "origin": "consent-gate",
    }
    assert (facet["rows_blocked"], facet["accounts_blocked"]) == (blocked().rows_blocked, blocked().accounts_blocked)
    assert (facet["decided_at"], facet["terms_version"], facet["content_owner"]) == (
        "2026-11-21T12:00:00Z",
        "2023-08-07",
        "customer",
    )
    assert facet["subset_possible"] is True


def test_permits_are_named_only_when_there_are_any():
    ids = ("0e8dfa5c-6a0f-4f0a-9a3c-0f6a3b6d1f10",)
    facets, _ = decision_facets(allowed().to_dict(), BOTH, replace(REF, permit_ids=ids))
    assert facets["gate_decision"].permits == list(ids)
    assert decided(blocked())[0]["gate_decision"]["permits"] == []


def test_a_consumer_without_our_facets_still_sees_the_block():
    run, (meetings, telemetry) = decided(blocked())
    overall, *each = run["test"]["tests"]
    assert (overall["status"], overall["severity"]) == ("fail", "error")
    assert overall["actual"] == "block, consent_withdrawn, no_consent"
    assert [test["status"] for test in each] == ["fail", "pass", "pass"]
    audio, chat = meetings["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (audio["success"], audio["severity"], audio["column"]) == (False, "error", "account_id")
    assert (audio["name"], audio["actual"]) == ("audio/Z-07", "30 rows blocked")
    assert chat["success"] is True
    assert [a["success"] for a in telemetry["inputFacets"]["dataQualityAssertions"]["assertions"]] == [True]
    assert {tag["key"]: tag["value"] for tag in run["tags"]["tags"]}["gate.verdict"] == "block"
    assert [tag["key"] for tag in meetings["facets"]["tags"]["tags"]] == ["data_category.audio", "data_category.chat"]


def test_an_allowed_decision_fails_no_test_and_names_no_reason():
    run, inputs = decided(allowed())
    assert {test["status"] for test in run["test"]["tests"]} == {"pass"}
    assert run["gate_decision"]["reasons"] == []
    assertions = [a for d in inputs for a in d["inputFacets"]["dataQualityAssertions"]["assertions"]]
    assert all(assertion["success"] for assertion in assertions)
    assert not any("reason" in tag["key"] for tag in run["tags"]["tags"])


def test_coverage_tells_each_category_once_with_its_clause():
    facet = decided(blocked())[1][0]["inputFacets"]["gate_consentCoverage"]
    audio, chat = facet["coverage"]
    assert facet["decision_index"] == 41
    assert audio == {
        "category": "audio",
        "verdict": "block",
        "rows": 80,
        "rows_blocked": 30,
        "accounts": 5,
        "accounts_blocked": 2,
        "rows_unattributed": 0,
        "policy_rows": ["Z-07"],
        "reasons": ["consent_withdrawn", "no_consent"],
        "citations": [
            {
                "source": "S0",
                "authority": "terms",
                "section": "10.4",
                "quote": "we will not use audio, video or chat without your consent",
            }
        ],
    }
    assert (chat["verdict"], chat["reasons"]) == ("allow", [])


def test_several_rows_of_one_category_are_told_together():
    name = MEETINGS.dataset.name
    region = Citation("GDPR", "law", "6", "lawful")
    more = Finding(name, "audio", Verdict.BLOCK, Requirement.DENY, "Z-02", (Reason.REGION_RULE,), 1, 5, (1,), (region,))
    decision = blocked(findings=(*blocked().findings, more))
    audio = decided(decision)[1][0]["inputFacets"]["gate_consentCoverage"]["coverage"][0]
    assert audio["policy_rows"] == ["Z-02", "Z-07"]
    assert audio["reasons"] == ["consent_withdrawn", "no_consent", "region_rule"]
    assert [c["source"] for c in audio["citations"]] == ["S0", "GDPR"]
    assert audio["rows_blocked"] == 30


def test_a_finding_without_row_or_counts_is_told_as_a_block():
    name = MEETINGS.dataset.name
    finding = Finding(name, "unclassified", Verdict.BLOCK, None, None, (Reason.UNCLASSIFIED_DATA,), 0, 80)
    run, (meetings, _) = decided(blocked(findings=(finding,), coverage=()))
    assert meetings["inputFacets"]["gate_consentCoverage"]["coverage"][0]["verdict"] == "block"
    assert meetings["inputFacets"]["dataQualityAssertions"]["assertions"][0]["name"] == "unclassified/no_row"
    assert run["test"]["tests"][1]["status"] == "fail"


def test_a_version_is_named_by_its_digest():
    for version, input_dataset in zip(BOTH, decided(blocked())[1], strict=True):
        assert (input_dataset["namespace"], input_dataset["name"]) == (version.dataset.namespace, version.dataset.name)
        assert input_dataset["facets"]["version"]["datasetVersion"] == version.digest
        assert input_dataset["facets"]["datasetType"]["datasetType"] == "FILE"
        assert input_dataset["facets"]["ownership"]["owners"] == [{"name": "customer", "type": "CONTENT_OWNER"}]


def test_tags_say_where_a_category_is_known_from():
    _, (meetings, telemetry) = decided(blocked(), taggings={MEETINGS.key: TAGGING})
    assert meetings["facets"] | {"ownership": None} == plain(tag_facets(MEETINGS, TAGGING))["facets"] | {
        "ownership": None
    }
    facet = meetings["facets"]["gate_dataCategory"]
    assert facet["categories"] == [
        {"category": "audio", "source": "declared"},
        {"category": "audio", "source": "detected", "signals": ["stream"]},
        {"category": "chat", "source": "declared"},
    ]
    assert (facet["digest"], facet["tag_entries"]) == (MEETINGS.digest, [7, 9])
    tags = {tag["key"]: tag["value"] for tag in meetings["facets"]["tags"]["tags"]}
    assert tags == {"data_category.audio": "declared,detected", "data_category.chat": "declared"}
    assert "gate_dataCategory" not in telemetry["facets"]


def test_a_category_column_is_the_field_of_its_tags():
    rows_differ = replace(MEETINGS, dataset=replace(MEETINGS.dataset, category_column="kind"))
    tags = plain(tag_facets(rows_differ, TAGGING))["facets"]["tags"]["tags"]
    assert {tag["field"] for tag in tags} == {"kind"}


def test_training_names_its_model_and_what_it_rests_on():
    run, inputs, (output,) = training_facets(BOTH, [MODEL], use=USE, permit_id="p-1", decision_index=41)
    assert type(output) is OutputDataset
    facets = plain(output)["facets"]
    assert facets["datasetType"]["datasetType"] == "MODEL"
    assert facets["version"]["datasetVersion"] == MODEL.digest
    assert [(i["namespace"], i["name"], i["type"]) for i in facets["lineage"]["inputs"]] == [
        ("file", "/lake/meetings", "DATASET"),
        ("s3://lake", "telemetry", "DATASET"),
    ]
    assert [plain(i)["facets"]["version"]["datasetVersion"] for i in inputs] == [MEETINGS.digest, TELEMETRY.digest]
    tags = {tag["key"]: tag["value"] for tag in plain(run["tags"])["tags"]}
    assert tags == {"gate.purpose": "train", "gate.model": "ms-1", "gate.permit": "p-1", "gate.decision": "41"}
    assert plain(run["test"])["tests"][0]["status"] == "pass"


def test_refused_training_has_no_model_and_fails_its_test():
    run, inputs, outputs = training_facets([MEETINGS.dataset], [MODEL], use=USE, refused=["permit_missing"])
    assert outputs == []
    test = plain(run["test"])["tests"][0]
    assert (test["status"], test["severity"], test["actual"]) == ("fail", "error", "refused, permit_missing")
    assert "version" not in plain(inputs[0])["facets"]


def test_a_start_names_digests_only_where_they_are_known():
    known, unknown = (plain(item) for item in read_inputs([MEETINGS, TELEMETRY.dataset]))
    assert (known["name"], known["facets"]["version"]["datasetVersion"]) == ("/lake/meetings", MEETINGS.digest)
    assert (unknown["namespace"], set(unknown["facets"])) == ("s3://lake", {"datasetType"})


def test_a_subset_comes_from_the_whole():
    subset = replace(MEETINGS, digest="sha256:" + "d" * 64, subset_of=MEETINGS.dataset.uri)
    facet = plain(subset_output(subset, MEETINGS))["facets"]["lineage"]
    assert facet["inputs"][0]["name"] == MEETINGS.dataset.name
    assert facet["inputs"][0]["transformations"][0]["subtype"] == "FILTER"


HOSTILE = ["mallory@acme.example", "Robert'); DROP TABLE", "ACCOUNT-4711", "Jane Q. Doe"]


@pytest.mark.parametrize("secret", HOSTILE)
def test_no_facet_names_an_account_or_a_person(secret):
    constant = replace(MEETINGS, dataset=dataset("file:///lake/meetings", f"constant:{secret}"))
    name = constant.dataset.name
    findings = (
        Finding(name, secret, Verdict.BLOCK, None, None, (Reason.UNCLASSIFIED_DATA,), 1, 2, (0,)),
        Finding(name, "audio", Verdict.ALLOW, Requirement.CONSENT, "Z-07", (), 1, 2, (0,), (CONSENT,), (secret,)),
    )
    decision = blocked(findings=findings, coverage=(Coverage(name, secret, 2, 2, 1, 1, 0),))
    tagging = Tagging(((secret, "declared"),), (7,))
    run, inputs = decision_facets(decision.to_dict(), [constant], REF, {constant.key: tagging})
    training = training_facets([constant], [MODEL], use=USE, permit_id="p-1")
    everything = [*run.values(), *inputs, *training[0].values(), *training[1], *training[2]]
    text = " ".join(json.dumps(plain(item)) for item in everything)
    assert json.dumps(secret)[1:-1] not in text
    assert "data_category.unclassified" in text


CONSENT = Citation("S0", "terms", "10.4", "words")
