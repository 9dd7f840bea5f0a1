"""What would unblock a run: exact steps a person can take, made from the findings. Pure: values in, values out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from gate.domain.decision import Decision, Finding
from gate.domain.remedies import REMEDIES
from gate.domain.words import CONSENT_REASONS, Ownership, Purpose, Reason, Requirement, Toggle, Verdict
from gate.service.overrides import overridable
from gate.service.step_commands import account_word, flag, positional, tag_command
from gate.service.steps import Case, Concerned, Step

ACCOUNT_REASONS = CONSENT_REASONS | {Reason.REGION_RULE, Reason.SEGMENT_RULE, Reason.TERMS_UNKNOWN}
"""Reasons that differ from account to account; all others are the same for everybody in the data."""
REFUSED = frozenset({Reason.CONSENT_REFUSED, Reason.CONSENT_WITHDRAWN})
WAITING = frozenset({Reason.CONSENT_NOT_YET_EFFECTIVE})
DENIED = frozenset({Reason.POLICY_DENIED, Reason.THIRD_PARTY_MODEL})
CURABLE = frozenset({Reason.UNCLASSIFIED_DATA, Reason.UNKNOWN_MODEL_OWNER})
"""Beside a denial: it is denied because something is not known, and knowing it lifts that."""
DATA = frozenset({Reason.UNCLASSIFIED_DATA, Reason.STALE_TAG, Reason.TAG_CONFLICT, Reason.CONTRACT_ERRORED})
PROFILE = frozenset({Reason.REGION_RULE, Reason.SEGMENT_RULE, Reason.TERMS_UNKNOWN})
OPEN = frozenset({Reason.POLICY_UNDECIDED, Reason.NO_MATCHING_ROW})
AGAIN = frozenset(
    {
        Reason.STALE_SNAPSHOT,
        Reason.DATASET_CHANGED,
        Reason.PERMIT_MISSING,
        Reason.PERMIT_EXPIRED,
        Reason.PERMIT_MISMATCH,
    }
)
SUBSET_EDIT = 'on_block="subset"'


def denials(decision: Decision) -> list[Finding]:
    """Return the findings that nothing lifts: denied for what is known, not for what is unknown."""
    return [
        finding
        for finding in decision.findings
        if finding.verdict is Verdict.BLOCK
        and DENIED.intersection(finding.reasons)
        and (Reason.THIRD_PARTY_MODEL in finding.reasons or not CURABLE.intersection(finding.reasons))
    ]


def steps(case: Case) -> tuple[Step, ...]:
    """Return what would unblock a case, in the order to do it; ways around it come last."""
    reasons = _reasons(case)
    if case.refusal is not None and case.decision.verdict is Verdict.ALLOW:
        return _after_refusal(case, case.refusal)
    found = [step for lifted, make in _ACTS if (mine := reasons & lifted) for step in make(case, mine)]
    if case.decision.subset_possible and not any(step.command == SUBSET_EDIT for step in found):
        text = f"Keep only the rows of accounts that agreed: {_rest(case)}. Set this on the gate in the DAG."
        found.append(Step("Train on the rest now", text, SUBSET_EDIT, instead=True))
    hopeless = bool(denials(case.decision))
    if case.changed and not hopeless:
        return (_changed(case), *(step for step in found if step.link != "gate_task"))
    if any(step.link != "gate_task" and not step.instead for step in found):
        found = [step for step in found if step.link != "gate_task"]
        if not hopeless:
            found.insert(next((i for i, step in enumerate(found) if step.instead), len(found)), _clear(case))
    return tuple(found)


def _reasons(case: Case) -> frozenset[Reason]:
    own = frozenset() if case.refusal is None else frozenset({case.refusal})
    return own | frozenset(case.decision.reasons)


def _changed(case: Case) -> Step:
    text = "What the decision rests on has changed. Clear it in Airflow with its downstream tasks: it decides again, "
    text += "on what the ledger holds now. What follows is what was missing before."
    title = f"Clear the task {case.run.task_id}: something was recorded since"
    return replace(_clear(case), title=title, text=text)


def _after_refusal(case: Case, reason: Reason) -> tuple[Step, ...]:
    """The gate let the run through, and training was refused: something happened in between."""
    text = f"It decides again, on what stands now. {_sentence(REMEDIES[reason])}"
    again = replace(_clear(case), text=text, reasons=_counted(case, frozenset({reason})))
    if reason not in REFUSED:
        return (replace(again, title=f"Clear the task {case.run.task_id} in Airflow"),)
    edit = "A refusal or withdrawal stands until the account changes it. Set this on the gate in the DAG: it trains "
    edit += "only on the rows of accounts that agree by then."
    return (Step("Leave out the accounts that refused or withdrew", edit, SUBSET_EDIT), replace(again, text=text))


def _denied(case: Case, reasons: frozenset[Reason]) -> list[Step]:
    cells = denials(case.decision)
    if not cells:
        return []  # denied for want of knowledge: other steps bring it
    row = next((finding.row for finding in cells if finding.row), "")
    model = case.decision.use.model or "this model"
    text = "No consent, override or setting changes a denial. "
    if Reason.THIRD_PARTY_MODEL in reasons:
        text += f"{model} belongs to a third party: train a first-party model instead. "
    names = {finding.dataset for finding in cells}
    if names and names != {version.dataset.name for version in case.datasets}:
        text += f"Or take these out of the gate's datasets: {', '.join(sorted(names))}. "
    text += "If you think the policy is wrong, talk to its owner."
    return [
        Step(
            "Nothing lifts this: the policy forbids it",
            text,
            link="policy",
            target=row,
            reasons=_counted(case, reasons),
        )
    ]


def _tag_again(case: Case, reasons: frozenset[Reason]) -> list[Step]:
    names = {finding.dataset for finding in _blocking(case, reasons)}
    versions = [version for version in case.datasets if version.dataset.name in names] or list(case.datasets)
    only = len(reasons) == 1
    titles = {
        Reason.UNCLASSIFIED_DATA: "Say what the data is: tag it",
        Reason.STALE_TAG: "Tag the data again: it changed",
        Reason.TAG_CONFLICT: "Correct what is declared of the data",
        Reason.CONTRACT_ERRORED: "Mend the data contract, then tag again",
    }
    title = titles[next(iter(reasons))] if only else "Mend the tags of the data"
    text = "Run the tag task of the DAG, or tag by hand; name every category the data bears. "
    text += " ".join(sorted(_sentence(REMEDIES[reason]) for reason in reasons))
    commands = [tag_command(version) for version in versions]
    if Reason.UNCLASSIFIED_DATA in reasons:
        text += " Where detection asks a question, the notes of the dataset tell it: a person answers with --resolve."
        commands += [tag_command(version, "--resolve") for version in versions]
    return [Step(title, text, "\n".join(commands), reasons=_counted(case, reasons))]


def _register(case: Case, reasons: frozenset[Reason]) -> list[Step]:
    use = case.decision.use
    feature = use.feature or "FEATURE"
    words = ["gate", "models", "register", *flag("--ownership", "first_party"), *flag("--feature", feature)]
    command = " ".join([*words, "--evidence", "WHERE_IT_IS_SHOWN", positional(use.model or "MODEL")])
    text = "Nobody has recorded who owns it, so it counts as unknown. Say first_party only if it is your own."
    title = f"Register who owns the model {use.model or '(the gate names none)'}"
    return [
        Step(title, text, command, link="model", target=use.model or "", reasons=_counted(case, reasons)),
    ]


def _serves(case: Case, reasons: frozenset[Reason]) -> list[Step]:
    """Tell a model that is registered for other features from a consent that names others."""
    if all(finding.requirement is Requirement.CONSENT for finding in _blocking(case, reasons)):
        return []
    use = case.decision.use
    words = ["gate", "models", "register", *flag("--ownership", use.ownership.value)]
    words += [*flag("--feature", use.feature or "FEATURE"), "--evidence", "WHERE_IT_IS_SHOWN"]
    command = " ".join([*words, positional(use.model or "MODEL")])
    text = f"It is registered for other features than {use.feature or 'the gate names'}. If it does serve this one, "
    text += "register it anew and name every feature it serves; else correct the gate's use in the DAG."
    return [Step(f"Check what the model {use.model or ''} is registered for", text, command, link="model")]


def _open_policy(case: Case, reasons: frozenset[Reason]) -> list[Step]:
    cells = _blocking(case, reasons)
    row = next((finding.row for finding in cells if finding.row), "")
    undecided = Reason.POLICY_UNDECIDED in reasons
    title = (
        "Ask the policy's owner to decide this"
        if undecided
        else "Ask the policy's owner for a row that covers this use"
    )
    categories = ", ".join(sorted({finding.category for finding in cells})) or "this data"
    use = case.decision.use
    model = f" with a {use.ownership.value.replace('_', ' ')} model"
    text = f"The policy says nothing final about {use.purpose.value} on {categories}{model}; until it does, it blocks."
    found = [Step(title, text, link="policy", target=row, reasons=_counted(case, reasons))]
    if overridable(case.decision):
        words = ["gate", "break-glass", "request", "--reason", "'WHY IT CANNOT WAIT'", "--hours", "4"]
        command = " ".join([*words, positional(case.run.dag_id), positional(case.run.run_id)])
        text = "Two people may let this one run through for some hours; another person approves what you request."
        found.append(Step("Break the glass", text, command, instead=True))
    return found


def _profiles(case: Case, reasons: frozenset[Reason]) -> list[Step]:
    concerned = _with(case, reasons)
    flags = {Reason.REGION_RULE: ("--region", "REGION"), Reason.SEGMENT_RULE: ("--segment", "SEGMENT_OR_none")}
    words = ["gate", "accounts", "profile"]
    for reason, option in flags.items():
        words += option if reason in reasons else ()
    if Reason.TERMS_UNKNOWN in reasons:
        words += flag("--terms-version", case.decision.terms_version or "VERSION")
    command = " ".join([*words, account_word(concerned)])
    missing = {Reason.REGION_RULE: "region", Reason.SEGMENT_RULE: "segment", Reason.TERMS_UNKNOWN: "accepted terms"}
    what = " and ".join(missing[reason] for reason in missing if reason in reasons)
    text = f"An unknown {what} blocks. Record it as the contract says; where it is known, the policy has a rule for it."
    title = f"Record the {what} of {_accounts(len(concerned)) if concerned else 'the accounts'}"
    return [
        Step(title, text, command, "record it for each account", "accounts", "", concerned, _counted(case, reasons))
    ]


def _feeds(case: Case, reasons: frozenset[Reason]) -> list[Step]:
    return [
        Step(
            "Bring the consent feed up to date",
            "A source of consents is further behind than the policy accepts: a withdrawal may be missing. See which "
            "one it is, import what it holds and say how far it is complete.",
            "gate consent feeds\ngate consent import --source SOURCE --watermark INSTANT FILE",
            reasons=_counted(case, reasons),
        )
    ]


def _attribute(case: Case, reasons: frozenset[Reason]) -> list[Step]:
    rows = sum(row.rows_unattributed for row in case.decision.coverage)
    found = f"{rows:,} rows name" if rows else "Rows name"
    return [
        Step(
            "Give every row its account",
            f"{found} no account, so nobody can have agreed for them. Mend the data or the account locator of the "
            "dataset in the DAG, then tag it again.",
            reasons=_counted(case, reasons),
        )
    ]


def _consents(case: Case, reasons: frozenset[Reason]) -> list[Step]:
    """Ask, leave out, wait: per account what is possible; without details, what the reasons of all say."""
    if not any(f.requirement is Requirement.CONSENT for f in _blocking(case, reasons)):
        return []  # about the model's registration
    known = [account for account in case.accounts if account.reasons & CONSENT_REASONS]
    gone = [account for account in known if account.reasons & REFUSED]
    later = [a for a in known if a not in gone and a.reasons & CONSENT_REASONS == WAITING]
    asked = [a for a in known if a not in gone and a not in later]
    more = case.accounts_blocked - len(case.accounts)  # beyond what is kept in detail
    found = []
    if asked or (reasons - REFUSED - WAITING and (more > 0 or not known)):
        found.append(_ask(case, reasons - REFUSED - WAITING, asked))
    if later or (reasons & WAITING and not known):
        found.append(_wait(case, later))
    if gone or (reasons & REFUSED and not known):
        found.append(_leave_out(case, reasons & REFUSED, gone))
    return found


def _cut(case: Case, some: list[Concerned]) -> str:
    """Say which part of the accounts was looked at, where it is not all of them."""
    looked = len(case.accounts)
    return f" (of the {looked} with the most rows, {len(some)})" if some and case.accounts_blocked > looked else ""


def _ask(case: Case, reasons: frozenset[Reason], asked: list[Concerned]) -> Step:
    cut = _cut(case, asked)
    use = case.decision.use
    toggle = _toggle(use.purpose).value.replace("_", " ")
    text = f"An owner or admin of each must switch on “{toggle}” for {_cell_words(case)}. "
    text += "Nobody else can agree for them."
    title = f"Ask {_accounts(len(asked))} to agree" if asked and not cut else f"Ask the accounts to agree{cut}"
    return Step(
        title,
        text,
        _grant_command(case, asked),
        "record an answer (only what their admin really said)",
        "requests",
        "",
        tuple(asked),
        _counted(case, reasons, asked),
    )


def _leave_out(case: Case, reasons: frozenset[Reason], gone: list[Concerned]) -> Step:
    cut = _cut(case, gone)
    who = f"the {_accounts(len(gone))}" if gone and not cut else "the accounts"
    title = f"Leave out {who} that refused or withdrew{cut}"
    told = _counted(case, reasons, gone)
    if not case.decision.subset_possible:
        text = "Only they can change their answer. Take their rows out of the dataset, or use data without them."
        return Step(title, text, None, "", None, "", tuple(gone), told)
    text = f"A refusal stands until they change it. Set this on the gate in the DAG: it trains on {_rest(case)} only."
    return Step(title, text, SUBSET_EDIT, "", None, "", tuple(gone), told)


def _wait(case: Case, later: list[Concerned]) -> Step:
    return Step(
        "Wait until the consent takes effect",
        "It is recorded and begins later; the account's page says when. Then run the gate again.",
        None,
        "",
        "accounts",
        "",
        tuple(later),
        _counted(case, WAITING, later),
    )


def _look(case: Case, reasons: frozenset[Reason]) -> list[Step]:
    return [
        Step(
            "Find out what was missing",
            "The gate could not decide: something it needs was not there. The task's log names it; mend that, "
            "then clear the task.",
            link="log",
            reasons=_counted(case, reasons),
        )
    ]


def _again(case: Case, reasons: frozenset[Reason]) -> list[Step]:
    text = " ".join(sorted(_sentence(REMEDIES[reason]) for reason in reasons))
    title = f"Clear the task {case.run.task_id} in Airflow"
    return [replace(_clear(case), title=title, text=text, reasons=_counted(case, reasons))]


def _clear(case: Case) -> Step:
    return Step(
        f"Then clear the task {case.run.task_id} in Airflow",
        "With its downstream tasks: it decides again. Marking it successful does not help, only a passing decision "
        "issues the permit that training needs.",
        link="gate_task",
    )


_ACTS: tuple[tuple[frozenset[Reason], Callable[[Case, frozenset[Reason]], list[Step]]], ...] = (
    (DENIED, _denied),
    (frozenset({Reason.CANNOT_DECIDE}), _look),
    (frozenset({Reason.UNKNOWN_MODEL_OWNER}), _register),
    (frozenset({Reason.WRONG_FEATURE}), _serves),
    (DATA, _tag_again),
    (frozenset({Reason.UNATTRIBUTED_ROWS}), _attribute),
    (OPEN, _open_policy),
    (PROFILE, _profiles),
    (frozenset({Reason.STALE_FEED}), _feeds),
    (CONSENT_REASONS, _consents),
    (AGAIN, _again),
)
"""What to do about which reasons, in the order to do it."""


def _blocking(case: Case, reasons: frozenset[Reason]) -> list[Finding]:
    return [f for f in case.decision.findings if f.verdict is Verdict.BLOCK and reasons.intersection(f.reasons)]


def _with(case: Case, reasons: frozenset[Reason]) -> tuple[Concerned, ...]:
    return tuple(account for account in case.accounts if account.reasons & reasons)


def _counted(
    case: Case, reasons: frozenset[Reason], accounts: Sequence[Concerned] | None = None
) -> tuple[tuple[Reason, int], ...]:
    counts = Counter(reason for one in (case.accounts if accounts is None else accounts) for reason in one.reasons)
    told = reasons if not accounts else {reason for reason in counts if reason in CONSENT_REASONS}
    return tuple(sorted(((reason, counts[reason]) for reason in told), key=lambda pair: (-pair[1], pair[0].value)))


def _accounts(count: int) -> str:
    return f"{count:,} account{'' if count == 1 else 's'}"


def _rest(case: Case) -> str:
    rows = {c.dataset: 0 for c in case.decision.coverage}
    for one in case.decision.coverage:
        rows[one.dataset] = max(rows[one.dataset], one.rows)
    total = sum(rows.values())
    return f"{total - case.decision.rows_blocked:,} of {total:,} rows"


def _toggle(purpose: Purpose) -> Toggle:
    return Toggle.ENABLE_FEATURE if purpose is Purpose.INFER else Toggle.SHARE_FOR_TRAINING


def _asked_categories(case: Case) -> list[str]:
    consent = Requirement.CONSENT
    cells = [f for f in case.decision.findings if f.verdict is Verdict.BLOCK and f.requirement is consent]
    return sorted({finding.category for finding in cells})


def _cell_words(case: Case) -> str:
    use = case.decision.use
    categories = _asked_categories(case)
    words = [", ".join(categories).replace("_", " ") or "this data"]
    words += [f"feature {use.feature}"] if use.feature else []
    return f"{' · '.join(words)} · purpose {use.purpose.value.replace('_', ' ')}"


def _grant_command(case: Case, accounts: Sequence[Concerned]) -> str:
    use = case.decision.use
    words = ["gate", "consent", "grant", "--by", "ADMIN", "--toggle", _toggle(use.purpose).value]
    for category in _asked_categories(case):
        words += flag("--category", category)
    words += flag("--feature", use.feature) if use.feature else []
    words += flag("--purpose", use.purpose.value)
    words += flag("--ownership", use.ownership.value) if use.ownership is not Ownership.FIRST_PARTY else []
    words += flag("--notice-terms", case.decision.terms_version or "VERSION")
    words += ["--notice-sha256", "SHA256_OF_THE_NOTICE", "--withdrawal-channel", "HOW_TO_WITHDRAW"]
    words += ["--instrument", "INSTRUMENT"] if Reason.INSTRUMENT_REQUIRED in _reasons(case) else []
    return " ".join([*words, "--evidence", "WHERE_THE_FORM_IS", account_word(accounts)])


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
