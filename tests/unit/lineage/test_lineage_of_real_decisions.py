from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Facts, RowGroup
from gate.lineage.events import decision_event
from gate.policy.evaluate import evaluate
from gate.policy.table import load_policy, shipped_policies
from support.decisions import MEETINGS, REF, USE
from support.events import JOB
from support.openlineage_spec import errors_of

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize("policy", shipped_policies())
@pytest.mark.parametrize("words", [{"audio", "chat"}, {"telemetry"}, {"phi"}, {"audio", "a word"}, {"none"}, set()])
def test_what_the_policy_decides_makes_a_valid_event(policy, words):
    group = AccountGroup(AccountFacts(), {None: 3})
    facts = DatasetFacts(
        MEETINGS.dataset.name,
        frozenset(words),
        MEETINGS.digest,
        (group,),
        (RowGroup((0,), 10),),
        {None: 2},
        declared_none=words == {"none"},
        total_rows=12,
    )
    decision = evaluate(load_policy(policy), Facts((facts,)), USE, NOW)
    event = decision_event(
        decision,
        [MEETINGS],
        **JOB,
        job="j",
        decision_index=REF.index,
        decision_digest=REF.digest,
        checkpoint=REF.checkpoint,
    )
    assert errors_of(event) == []
    facet = event["run"]["facets"]["gate_decision"]
    assert (facet["verdict"], facet["reasons"]) == (decision.verdict, list(decision.reasons))
    assert (facet["rows_blocked"], facet["accounts_blocked"]) == (decision.rows_blocked, decision.accounts_blocked)
    statuses = {test["status"] for test in event["run"]["facets"]["test"]["tests"]}
    assert ("fail" in statuses) == (decision.verdict == "block")
