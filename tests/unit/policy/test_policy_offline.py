"""Offline use is a row's to allow, and only when every row that decided allows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gate.domain.consent import Profile
from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Decision, Facts, Finding, RowGroup, Use
from gate.domain.words import Category, Ownership, Purpose, Verdict
from gate.policy.evaluate import evaluate
from gate.policy.explain import describe
from gate.policy.lint import lint
from gate.policy.offline import may_run_offline
from gate.policy.rows import Policy
from gate.policy.table import load_policy, parse_policy, shipped_policies

NOW = datetime(2024, 1, 1, tzinfo=UTC)
USE = Use(Purpose.TRAIN, "meeting_summary", "ms-1", Ownership.FIRST_PARTY)
CONTENT = {Category.AUDIO, Category.VIDEO, Category.CHAT, Category.EDUCATION_RECORD, Category.PHI}
HEAD = """\
name: tiny
version: "1"
sources: {S: {title: a source, statements: []}}
terms_versions: [{version: "1", from: 2023-03-01}]
rows:
"""


def table(*rows: tuple[str, str, str, str]) -> Policy:
    """Build a policy of (id, category, region, offline); every row allows."""
    text = HEAD
    for name, category, region, offline in rows:
        text += (
            f"  - {{id: {name}, categories: [{category}], purposes: [train], ownership: [first_party], "
            f"regions: {region}, requirement: allow, {offline} effective: {{from: 2023-03-01}}, status: stated, "
            "citations: [{source: S, authority: terms, quote: words}]}\n"
        )
    return parse_policy(text)


def decided(policy: Policy, *categories: str, region: str | None = "US") -> Decision:
    account = AccountFacts(Profile(region=region, segment="none", terms_version="1"))
    groups = (AccountGroup(account, {None: 1}),)
    facts = [
        DatasetFacts(f"data-{name}", frozenset({name}), groups=groups, rows=(RowGroup((0,), 3),), total_rows=3)
        for name in categories
    ]
    return evaluate(policy, Facts(tuple(facts)), USE, NOW)


def test_a_row_that_says_so_allows_it() -> None:
    policy = table(("one", "telemetry", "any", "offline: true,"))
    assert may_run_offline(policy, decided(policy, "telemetry"))


@pytest.mark.parametrize("said", ["", "offline: false,"])
def test_a_row_that_does_not_say_so_does_not(said: str) -> None:
    policy = table(("one", "telemetry", "any", said))
    assert decided(policy, "telemetry").verdict is Verdict.ALLOW
    assert not may_run_offline(policy, decided(policy, "telemetry"))


def test_every_row_of_every_dataset_must_say_so() -> None:
    policy = table(("one", "telemetry", "any", "offline: true,"), ("two", "chat", "any", ""))
    assert may_run_offline(policy, decided(policy, "telemetry"))
    assert decided(policy, "telemetry", "chat").verdict is Verdict.ALLOW
    assert not may_run_offline(policy, decided(policy, "telemetry", "chat"))


def test_every_row_of_one_cell_must_say_so() -> None:
    policy = table(("one", "telemetry", "any", "offline: true,"), ("two", "telemetry", "[US]", ""))
    assert not may_run_offline(policy, decided(policy, "telemetry", region="US"))
    assert may_run_offline(policy, decided(policy, "telemetry", region="CA"))


def test_a_block_never_runs_offline() -> None:
    policy = table(("one", "telemetry", "any", "offline: true,"))
    blocked = decided(policy, "telemetry", "chat")
    assert blocked.verdict is Verdict.BLOCK
    assert not may_run_offline(policy, blocked)


def test_in_doubt_it_does_not() -> None:
    policy = table(("one", "telemetry", "any", "offline: true,"))
    allowed = decided(policy, "telemetry")
    assert not may_run_offline(table(("one", "telemetry", "any", "")), allowed)
    assert not may_run_offline(policy, replace(allowed, policy_digest="sha256:" + "0" * 64))
    rowless = Finding("data", "telemetry", Verdict.ALLOW, None, None, (), 1, 1)
    assert not may_run_offline(policy, replace(allowed, findings=(*allowed.findings, rowless)))


@pytest.mark.parametrize("name", shipped_policies())
def test_no_shipped_policy_lets_content_train_offline(name: str) -> None:
    offline = [row for row in load_policy(name).rows if row.offline]
    for row in offline:
        assert row.categories is not None
        assert not row.categories & CONTENT
        assert "offline" in describe(row)
    assert [row.id for row in offline] == (["telemetry-training"] if name == "zoom-2023-08" else [])


def test_lint_sees_an_offline_row_that_never_matters() -> None:
    useless = table(("one", "telemetry", "any", "offline: true,"), ("two", "telemetry", "any", ""))
    [problem] = [problem for problem in lint(useless).problems if problem.kind == "shadowed"]
    assert problem.rows == ("one", "two")
    exception = table(("one", "telemetry", "any", "offline: true,"), ("two", "telemetry", "[US]", ""))
    assert not [problem for problem in lint(exception).problems if problem.kind == "shadowed"]
