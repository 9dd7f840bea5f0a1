"""A consent source that is behind: what rests on consent blocks, with a finding of its own; the rest does not care."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gate.domain.consent import Profile, RecordedEvent, parse_consent_event
from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Decision, Facts, RowGroup, Use
from gate.domain.words import Authority, Ownership, Purpose, Reason, Verdict
from gate.errors import PolicyError
from gate.policy.cases import run_cases
from gate.policy.diff import diff
from gate.policy.evaluate import evaluate
from gate.policy.explain import explain
from gate.policy.lint import lint
from gate.policy.match import Cell
from gate.policy.table import Policy, load_policy, parse_policy, shipped_policies

NOW = datetime(2023, 9, 1, tzinfo=UTC)
TRAIN = Use(Purpose.TRAIN, "meeting_summary", "ms-1", Ownership.FIRST_PARTY)
HERE = Profile("US", "none", "2023-08-07")


@pytest.fixture
def policy() -> Policy:
    return load_policy("zoom-2023-08")


def agreed() -> AccountGroup:
    raw = {
        "account_id": "acme",
        "action": "grant",
        "toggle": "share_for_training",
        "categories": ["audio", "chat"],
        "features": ["meeting_summary"],
        "purposes": ["train"],
        "principal": {"id": "ada", "role": "admin"},
        "notice": {"terms_version": "2023-08-07", "text_sha256": "a" * 64},
        "evidence": "form",
        "withdrawal_channel": "console",
        "effective_at": "2023-08-15T00:00:00Z",
    }
    event = parse_consent_event(raw)
    return AccountGroup(AccountFacts(HERE, (RecordedEvent(event, 1, event.effective_at, Authority.ADMIN),)), {None: 1})


SILENT = AccountGroup(AccountFacts(HERE, ()), {None: 1})


def decide(policy: Policy, categories: str, *groups: AccountGroup, stale: bool = True, use: Use = TRAIN) -> Decision:
    rows = tuple(RowGroup((place,), 10) for place in range(len(groups)))
    dataset = DatasetFacts("meetings", frozenset(categories.split()), groups=groups, rows=rows, total_rows=10)
    return evaluate(policy, Facts((dataset,), ("crm",) if stale else ()), use, NOW)


def test_a_stale_feed_blocks_what_rests_on_consent_with_a_finding_of_its_own(policy: Policy) -> None:
    fresh, stale = decide(policy, "audio", agreed(), stale=False), decide(policy, "audio", agreed())
    assert fresh.verdict is Verdict.ALLOW
    assert stale.verdict is Verdict.BLOCK
    assert stale.reasons == (Reason.STALE_FEED,)
    (blocking,) = [finding for finding in stale.findings if finding.verdict is Verdict.BLOCK]
    assert (blocking.requirement, blocking.row, blocking.rows, blocking.accounts) == (None, None, 10, 1)
    # What consent itself says stays beside it, untouched: a break-glass can tell the two apart.
    assert [f for f in stale.findings if f is not blocking] == list(fresh.findings)
    assert not stale.subset_possible
    assert stale.passing == (frozenset(),)


def test_telemetry_does_not_wait_for_consent_sources(policy: Policy) -> None:
    assert decide(policy, "telemetry", SILENT).verdict is Verdict.ALLOW
    both = decide(policy, "telemetry audio", agreed())
    assert {f.category for f in both.findings if Reason.STALE_FEED in f.reasons} == {"audio"}
    assert (both.rows_blocked, both.accounts_blocked) == (10, 1)


def test_missing_consent_is_still_reported_and_no_subset_helps(policy: Policy) -> None:
    found = decide(policy, "audio", agreed(), SILENT)
    assert found.reasons == (Reason.NO_CONSENT, Reason.STALE_FEED)
    assert decide(policy, "audio", agreed(), SILENT, stale=False).subset_possible
    assert not found.subset_possible


def test_a_denial_stays_a_denial(policy: Policy) -> None:
    third = replace(TRAIN, ownership=Ownership.THIRD_PARTY)
    found = decide(policy, "audio", agreed(), use=third)
    assert {Reason.POLICY_DENIED, Reason.THIRD_PARTY_MODEL} <= set(found.reasons)


def test_rows_of_several_accounts_count_once(policy: Policy) -> None:
    dataset = DatasetFacts(
        "meetings", frozenset({"audio"}), groups=(agreed(), agreed()), rows=(RowGroup((0, 1), 7),), total_rows=7
    )
    found = evaluate(policy, Facts((dataset,), ("crm",)), TRAIN, NOW)
    (blocking,) = [finding for finding in found.findings if Reason.STALE_FEED in finding.reasons]
    assert (blocking.rows, blocking.accounts, found.rows_blocked) == (7, 2, 7)


@pytest.mark.parametrize("name", shipped_policies())
def test_shipped_policies_bound_every_source_that_ever_reported(name: str) -> None:
    policy = load_policy(name)
    assert policy.feeds is not None
    assert (policy.feeds.max_age, policy.feeds.required) == (timedelta(hours=24), ())
    assert policy.on_withdrawal == "stop"


HEAD = """\
name: tiny
version: "1"
sources: {S: {title: a source, statements: []}}
"""
ROW = """\
rows:
  - {id: all, categories: any, purposes: any, ownership: any, requirement: REQUIREMENT, effective: {from: 2023-03-01},
     status: stated, citations: [{source: S, authority: terms, quote: words}]}
"""
DENY = ROW.replace("REQUIREMENT", "deny")
CONSENT = ROW.replace("REQUIREMENT", "consent, toggle: share_for_training")


def made(extra: str = "", rows: str = CONSENT) -> Policy:
    return parse_policy(HEAD + extra + rows)


def test_without_a_bound_nothing_is_asked() -> None:
    assert made().feeds is None
    assert made().on_withdrawal == "stop"
    assert made("on_withdrawal: continue\n").on_withdrawal == "continue"
    found = made("feeds: {max_age_hours: 2, required: [crm, console]}\n").feeds
    assert found is not None
    assert (found.max_age, found.required) == (timedelta(hours=2), ("crm", "console"))


@pytest.mark.parametrize(
    "wrong",
    [
        "feeds: {}",
        "feeds: {max_age_hours: 0}",
        "feeds: {max_age_hours: soon}",
        "feeds: {max_age_hours: 3, required: [A b]}",
        "feeds: {max_age_hours: 3, required: [a, a]}",
        "feeds: {max_age_hours: 3, maximum: 4}",
        "on_withdrawal: pause",
    ],
)
def test_malformed_bounds_are_refused_where_they_stand(wrong: str) -> None:
    with pytest.raises(PolicyError) as refused:
        made(wrong + "\n")
    assert ":4:" in str(refused.value.where)


def test_lint_reports_a_bound_that_never_matters() -> None:
    bound = "feeds: {max_age_hours: 2}\n"
    assert [p.message for p in lint(made(bound, DENY)).problems if "feeds" in p.message]
    assert not [p for p in lint(made(bound)).problems if "feeds" in p.message]


def test_explain_and_diff_tell_of_the_bound() -> None:
    cell = Cell("audio", Purpose.TRAIN, Ownership.FIRST_PARTY, None, "US", "none", None)  # type: ignore[arg-type]
    policy = made("feeds: {max_age_hours: 2, required: [crm]}\n")
    said = explain(policy, cell, NOW)
    assert any("more than 2 hours ago, or one of crm never did (stale_feed)" in line for line in said.lines())
    assert said.to_dict()["feeds"] == {"max_age_hours": 2, "required": ["crm"]}
    assert not any("stale_feed" in line for line in explain(made(), cell, NOW).lines())
    assert diff(made(), policy).settings == ("feeds",)


def test_cases_name_the_sources_that_are_behind(tmp_path: Path, policy: Policy) -> None:
    case: dict[str, Any] = {
        "id": "behind",
        "given": {
            "categories": ["telemetry", "audio"],
            "account_id": "acme",
            "region": "US",
            "segment": None,
            "terms_version": "2023-08-07",
            "consents": [],
            "stale_feeds": ["crm"],
        },
        "use": {"purpose": "train", "feature": "meeting_summary", "model": "ms-1", "ownership": "first_party"},
        "at": "2023-09-01T00:00:00Z",
        "expect": {"verdict": "block", "reasons": ["stale_feed", "no_consent"]},
    }
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(case) + "\n", "utf-8")
    assert all(result.ok for result in run_cases(policy, path))
