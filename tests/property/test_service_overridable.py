"""Whatever a decision found: break-glass lifts nothing but its own reasons, and observe lets no denial pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from gate.domain.decision import Decision, Finding, Use
from gate.domain.words import CONSENT_REASONS, Category, Ownership, Purpose, Reason, Requirement, Verdict
from gate.service.modes import observable
from gate.service.overrides import OVERRIDABLE, overridable

NOW = datetime(2024, 1, 1, tzinfo=UTC)
MANY = settings(max_examples=500, deadline=None)

# Reasons break-glass is for come up often enough that some decisions are overridable.
reasons = st.one_of(
    st.sets(st.sampled_from(sorted(OVERRIDABLE)), min_size=1), st.sets(st.sampled_from(list(Reason)), max_size=3)
)


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    verdict = draw(st.sampled_from(Verdict))
    requirement = draw(st.sampled_from([None, *Requirement, Requirement.UNDECIDED, Requirement.CONSENT]))
    return Finding(
        dataset=draw(st.sampled_from(["one", "two"])),
        category=draw(st.sampled_from(["chat", "audio", "telemetry", "unclassified"])),
        verdict=verdict,
        requirement=requirement,
        row=None if requirement is None else "R",
        reasons=tuple(sorted(draw(reasons))),
        accounts=1,
        rows=1,
        groups=tuple(sorted(draw(st.sets(st.integers(0, 2))))),
    )


@st.composite
def open_questions(draw: st.DrawFn) -> tuple[Finding, ...]:
    """What break-glass is for: some account groups consented, and the policy or a feed leaves the rest open."""
    passed = draw(st.sets(st.integers(0, 2), min_size=1))
    concerned = draw(st.sets(st.sampled_from(sorted(passed)), min_size=1))
    why = tuple(sorted(draw(st.sets(st.sampled_from(sorted(OVERRIDABLE)), min_size=1))))
    row = draw(st.sampled_from([None, Requirement.UNDECIDED]))
    consent = Finding("one", "chat", Verdict.ALLOW, Requirement.CONSENT, "C", (), 1, 1, tuple(sorted(passed)))
    return consent, Finding("one", "chat", Verdict.BLOCK, row, row and "U", why, 1, 1, tuple(sorted(concerned)))


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    found = tuple(draw(st.lists(findings(), max_size=5)))
    if draw(st.booleans()):
        found = (*draw(open_questions()), *found[: draw(st.integers(0, 1))])
    blocks = any(finding.verdict is Verdict.BLOCK for finding in found)
    return Decision(
        verdict=Verdict.BLOCK if blocks else Verdict.ALLOW,
        use=Use(Purpose.TRAIN, "f", "m", Ownership.FIRST_PARTY),
        findings=found,
        coverage=(),
        passing=(),
        subset_possible=False,
        policy_name="p",
        policy_digest="sha256:" + "0" * 64,
        decided_at=NOW,
        terms_version=None,
    )


def blocking(decision: Decision) -> list[Finding]:
    return [finding for finding in decision.findings if finding.verdict is Verdict.BLOCK]


@MANY
@given(decisions())
def test_break_glass_lifts_only_what_it_is_for(decision: Decision) -> None:
    if not overridable(decision):
        return
    assert blocking(decision)
    for finding in blocking(decision):
        assert finding.reasons
        assert set(finding.reasons) <= {Reason.POLICY_UNDECIDED, Reason.STALE_FEED, Reason.CANNOT_DECIDE}
        assert finding.requirement not in (Requirement.DENY, Requirement.CONSENT)
        assert not CONSENT_REASONS & set(finding.reasons)
        if finding.category != Category.TELEMETRY:
            here = [f for f in decision.findings if (f.dataset, f.category) == (finding.dataset, finding.category)]
            passed = {g for f in here if f.verdict is Verdict.ALLOW for g in f.groups}
            assert finding.groups
            assert set(finding.groups) <= passed


@MANY
@given(decisions(), findings())
def test_one_more_block_of_another_kind_is_never_lifted(decision: Decision, more: Finding) -> None:
    worse = replace(more, verdict=Verdict.BLOCK)
    if set(worse.reasons) <= OVERRIDABLE and worse.requirement in (None, Requirement.UNDECIDED) and worse.reasons:
        return
    assert not overridable(replace(decision, verdict=Verdict.BLOCK, findings=(*decision.findings, worse)))


@MANY
@given(decisions())
def test_observe_lets_no_denial_and_nothing_unknown_pass(decision: Decision) -> None:
    if not observable(decision):
        return
    assert decision.verdict is Verdict.BLOCK
    for finding in blocking(decision):
        assert finding.requirement is not Requirement.DENY
        assert not {Reason.POLICY_DENIED, Reason.UNCLASSIFIED_DATA, Reason.CANNOT_DECIDE} & set(finding.reasons)
