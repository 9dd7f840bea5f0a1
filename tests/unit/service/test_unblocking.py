"""Every reason a run can be blocked for leads to something a person can do, spelt so that a shell takes it."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from gate.domain.dataset import DatasetVersion, dataset
from gate.domain.decision import Coverage, Decision, Finding, Use
from gate.domain.run import TaskRun
from gate.domain.words import CONSENT_REASONS, Category, Ownership, Purpose, Reason, Requirement, Verdict
from gate.service.steps import Case, Concerned
from gate.service.unblocking import DENIED, SUBSET_EDIT, steps
from support.world import RUN, START

DATA = DatasetVersion(dataset("/lake/it's here/chat.jsonl", "account_id"), "sha256:" + "0" * 64, 1, 10)


def decided(*reasons: Reason, requirement: Requirement | None = None, subset: bool = False, **use: object) -> Decision:
    finding = Finding(
        DATA.dataset.name, Category.CHAT, Verdict.BLOCK, requirement, "a-row", tuple(sorted(reasons)), 2, 20
    )
    allowed = not reasons
    return Decision(
        Verdict.ALLOW if allowed else Verdict.BLOCK,
        Use(**({"purpose": Purpose.TRAIN, "feature": "f", "model": "ms-1", "ownership": Ownership.FIRST_PARTY} | use)),  # type: ignore[arg-type]
        () if allowed else (finding,),
        (Coverage(DATA.dataset.name, "chat", 30, 20, 3, 2, 0),),
        (),
        subset,
        "p",
        "sha256:" + "1" * 64,
        START,
        "2023-08-07",
    )


def case(decision: Decision, *accounts: Concerned, **more: object) -> Case:
    return Case(decision, RUN, (DATA,), accounts, max(2, len(accounts)), **more)  # type: ignore[arg-type]


def account(name: str | None, *reasons: Reason) -> Concerned:
    return Concerned("ab" * 32, name, frozenset(reasons))


def titles(one: Case) -> str:
    return "\n".join(f"{step.title}: {step.text} {step.command or ''}" for step in steps(one))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_step(reason: Reason) -> None:
    requirement = Requirement.CONSENT if reason in CONSENT_REASONS else None
    for accounts in ((), (account("acme", reason), account(None, reason))):
        found = steps(case(decided(reason, requirement=requirement), *accounts))
        assert found
        assert all(step.title and step.text for step in found)
        told = {told for step in found for told, _ in step.reasons}
        assert reason in told


@pytest.mark.parametrize("reason", Reason)
def test_a_training_that_was_refused_has_a_step_for_every_reason(reason: Reason) -> None:
    found = steps(case(decided(), refusal=reason))
    assert found[-1].link == "gate_task"
    assert len(found) <= 2


def test_nothing_lifts_a_denial() -> None:
    for reason in DENIED:
        found = steps(case(decided(reason, requirement=Requirement.DENY)))
        assert found[0].title.startswith("Nothing lifts this")
        assert found[0].target == "a-row"
        assert not any(step.link == "gate_task" for step in found)  # clearing it changes nothing


@pytest.mark.parametrize("unknown", [Reason.UNCLASSIFIED_DATA, Reason.UNKNOWN_MODEL_OWNER])
def test_a_denial_for_want_of_knowledge_is_lifted_by_knowing(unknown: Reason) -> None:
    found = steps(case(decided(Reason.POLICY_DENIED, unknown, requirement=Requirement.DENY)))
    assert not found[0].title.startswith("Nothing lifts")
    assert found[-1].link == "gate_task"


def test_counts_are_not_guessed_beyond_what_was_looked_at() -> None:
    decision = decided(Reason.NO_CONSENT, requirement=Requirement.CONSENT)
    ask = steps(replace(case(decision, account("acme", Reason.NO_CONSENT)), accounts_blocked=900))[0]
    assert ask.title == "Ask the accounts to agree (of the 1 with the most rows, 1)"


def test_a_denial_is_never_said_to_have_changed() -> None:
    assert "recorded since" not in titles(case(decided(Reason.POLICY_DENIED), changed=True))


def test_accounts_are_asked_or_left_out_by_what_they_said() -> None:
    decision = decided(Reason.NO_CONSENT, Reason.CONSENT_REFUSED, requirement=Requirement.CONSENT, subset=True)
    who = account("acme", Reason.NO_CONSENT), account("zeta", Reason.CONSENT_REFUSED, Reason.NO_CONSENT)
    ask, leave, clear = steps(case(decision, *who))
    assert ask.title == "Ask 1 account to agree"
    assert [one.name for one in ask.accounts] == ["acme"]
    assert [one.name for one in leave.accounts] == ["zeta"]
    assert leave.command == SUBSET_EDIT
    assert "10 of 30 rows" in leave.text
    assert clear.link == "gate_task"


def test_the_consented_part_is_offered_as_another_way() -> None:
    decision = decided(Reason.NO_CONSENT, requirement=Requirement.CONSENT, subset=True)
    found = steps(case(decision, account("acme", Reason.NO_CONSENT)))
    assert [step.instead for step in found] == [False, False, True]
    assert found[-1].command == SUBSET_EDIT


def test_no_part_is_offered_where_none_can_be_cut() -> None:
    for reason in (Reason.CONSENT_REFUSED, Reason.NO_CONSENT, Reason.POLICY_DENIED):
        assert SUBSET_EDIT not in titles(case(decided(reason, requirement=Requirement.CONSENT)))


def test_what_is_not_shown_of_accounts_stays_out_of_commands() -> None:
    decision = decided(Reason.NO_CONSENT, requirement=Requirement.CONSENT)
    ask = steps(case(decision, account(None, Reason.NO_CONSENT)))[0]
    assert ask.command is not None
    assert ask.command.endswith(" ACCOUNT")


@pytest.mark.parametrize("name", ["a b", "$(reboot)", "'; rm -rf / #", "--json", "-x", "two\nlines", "`id`"])
def test_commands_take_hostile_names_as_one_word(name: str) -> None:
    run = TaskRun(name, name, "gate")
    decision = decided(Reason.POLICY_UNDECIDED, Reason.UNKNOWN_MODEL_OWNER, model=name, feature=name)
    one = Case(decision, run, (DATA,), (account(name, Reason.TERMS_UNKNOWN),), 1)
    consent = decided(Reason.NO_CONSENT, Reason.TERMS_UNKNOWN, requirement=Requirement.CONSENT, feature=name)
    two = Case(consent, run, (DATA,), (account(name, Reason.NO_CONSENT, Reason.TERMS_UNKNOWN),), 1)
    commands = [step.command for made in (one, two) for step in steps(made) if step.command]
    assert len(commands) >= 3
    for command in commands:
        words = shlex.split(command)
        assert name in words or command == SUBSET_EDIT
        if name.startswith("-") and words[-1] == name:
            assert "--" in words


def test_a_model_registered_for_other_features_is_no_matter_of_consent() -> None:
    found = steps(case(decided(Reason.WRONG_FEATURE, requirement=None)))
    assert "registered for" in found[0].title
    assert not any(step.link == "requests" for step in found)


def test_what_changed_since_comes_first() -> None:
    decision = decided(Reason.NO_CONSENT, requirement=Requirement.CONSENT)
    found = steps(case(decision, account("acme", Reason.NO_CONSENT), changed=True))
    assert [step.link for step in found] == ["gate_task", "requests"]


def test_break_glass_is_offered_only_where_it_would_be_granted() -> None:
    assert "break-glass" not in titles(case(decided(Reason.POLICY_UNDECIDED, requirement=Requirement.UNDECIDED)))
    assert "break-glass" not in titles(case(decided(Reason.NO_CONSENT, requirement=Requirement.CONSENT)))
