"""The sentence at the top of a page: what happened to a run, said plainly. Pure: values in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gate.domain.dataset import DatasetVersion
from gate.domain.decision import Decision
from gate.domain.words import CONSENT_REASONS, Reason, Requirement, Verdict
from gate.ledger.store import Entry
from gate.service.run_view import RunView
from gate.service.unblocking import DENIED, denials

Tone = Literal["good", "bad", "warn", "open", "info"]
_DOING = {
    "train": "train",
    "tune": "tune",
    "test": "test",
    "infer": "run",
    "improve_product": "improve the product with",
    "provide_service": "provide the service with",
    "protect_service": "protect the service with",
    "disclose": "disclose data to",
}

_ENDED = {
    "not_assigned": "Somebody answered the review who is no reviewer of this gate.",
    "invalid": "The review got an answer that does not count.",
    "keep_blocked": "A reviewer kept it blocked.",
    "timed_out": "It waited for a reviewer; nobody answered in time.",
}


@dataclass(frozen=True, slots=True)
class Headline:
    """What happened.

    Attributes:
        word: one word for the badge.
        sentence: the whole.
        more: what a reader must know beside it; may be empty.
    """

    tone: Tone
    word: str
    sentence: str
    more: str = ""


def headline(view: RunView, decision: Decision | None, versions: tuple[DatasetVersion, ...]) -> Headline:
    """Say what happened to the run or task a page is about."""
    if view.role == "tag" and view.tags:
        return _tagged(view)
    if decision is None or view.decision is None:
        return _training(view, None) if view.role == "training" else _unknown(view)
    if view.role == "training":
        return _training(view, decision)
    told = _decided(view, view.decision, decision, versions)
    late = view.refusal
    if late is not None and not _observed(late) and (view.redemption is None or late.idx > view.redemption.idx):
        return _turned_away(late, told, decision)
    return told


def _about(dag_id: str, decision: Decision, sets: int) -> tuple[str, str]:
    """Return who may do what, and who may not."""
    use = decision.use
    doing = f"{_DOING[use.purpose.value]} {use.model or 'a model it does not name'} on {_plural(sets, 'dataset')}"
    return f"{dag_id} may {doing}", f"{dag_id} may not {doing}"


def _decided(view: RunView, entry: Entry, decision: Decision, versions: tuple[DatasetVersion, ...]) -> Headline:
    body = entry.body
    yes, no = _about(body["run"]["dag_id"], decision, len(versions))
    if decision.verdict is Verdict.ALLOW:
        if any(version.subset_of for version in versions):
            text = "The whole was blocked; this is the part of the accounts that agreed."
            return Headline("good", "Subset allowed", f"{yes}, on the consented rows only: {_kept(decision)}.", text)
        observed = "The mode is observe: no permit is issued, and the model will count as unpermitted."
        more = observed if body.get("mode") == "observe" else _next(view)
        return Headline("good", "Allowed", f"{yes}: {_kept(decision)}, nothing is missing.", more)
    why = _why(decision, body["accounts_blocked"])
    if body.get("override") is not None:
        more = "Two people took responsibility for this one run, for some hours. What was missing is still missing."
        return Headline("warn", "Let through", f"Break-glass: the gate blocked, and was overridden: {why}.", more)
    if body.get("observed"):
        more = "The mode is observe: the run goes on without a permit. Enforced, it stops here."
        return Headline("warn", "Observed only", f"{no}, once enforced: {why}.", more)
    more = "A reviewer's answer is expected in Airflow." if view.waits else _ENDED.get(view.ended, "")
    return Headline("bad", "Waiting for a review" if view.waits else "Blocked", f"{no}: {why}.", more)


_PLAINLY: tuple[tuple[Reason, str], ...] = (  # the hardest first; {data} is what kind of data
    (Reason.THIRD_PARTY_MODEL, "the policy forbids third-party models on {data} data"),
    (Reason.POLICY_DENIED, "the policy forbids this use of {data} data"),
    (Reason.CANNOT_DECIDE, "something the decision needs was not there"),
    (Reason.UNKNOWN_MODEL_OWNER, "nobody has recorded who owns the model"),
    (Reason.UNCLASSIFIED_DATA, "nobody has said what kind of data it is"),
    (Reason.STALE_TAG, "the data changed after it was tagged"),
    (Reason.TAG_CONFLICT, "what is declared of the data and what it shows contradict each other"),
    (Reason.CONTRACT_ERRORED, "a check of the data could not be made"),
    (Reason.POLICY_UNDECIDED, "the policy leaves this use of {data} data open"),
    (Reason.NO_MATCHING_ROW, "the policy has no row for this use of {data} data"),
    (Reason.STALE_FEED, "a source of consents is behind, so a withdrawal may be missing"),
)


def _why(decision: Decision, accounts: int) -> str:
    """Say what is in the way, the hardest first."""
    reasons = frozenset(decision.reasons)
    blocking = [finding for finding in decision.findings if finding.verdict is Verdict.BLOCK]
    data = ", ".join(sorted({finding.category.replace("_", " ") for finding in blocking}))
    final = bool(denials(decision))
    hard = next((words for reason, words in _PLAINLY if reason in reasons and (final or reason not in DENIED)), None)
    if hard is not None:
        return hard.replace("{data}", data)
    if reasons & CONSENT_REASONS and any(finding.requirement is Requirement.CONSENT for finding in blocking):
        return f"{_people(decision, accounts)} not agreed ({_rows(decision)})"
    if Reason.UNATTRIBUTED_ROWS in reasons:
        return f"rows name no account ({_rows(decision)})"
    if accounts:
        return f"{_plural(accounts, 'account')} cannot be cleared ({_rows(decision)}): {_words(reasons)}"
    return _words(reasons)


def _people(decision: Decision, accounts: int) -> str:
    one = {row.dataset for row in decision.coverage}
    total = max((row.accounts for row in decision.coverage), default=0)
    known = f"{accounts:,} of {_plural(total, 'account')}" if len(one) == 1 else _plural(accounts, "account")
    return f"{known} {'has' if accounts == 1 else 'have'}"


def _rows(decision: Decision) -> str:
    return f"{decision.rows_blocked:,} of {_plural(_total(decision), 'row')}"


def _kept(decision: Decision) -> str:
    return _plural(_total(decision), "row")


def _total(decision: Decision) -> int:
    most: dict[str, int] = {}
    for row in decision.coverage:
        most[row.dataset] = max(most.get(row.dataset, 0), row.rows)
    return sum(most.values())


def _next(view: RunView) -> str:
    if view.redemption is not None:
        return f"Training started with its permit (ledger entry {view.redemption.idx})."
    if not view.permits:
        return "No training task was waiting for a permit." if view.role != "training" else ""
    count = len(view.permits)
    return f"{_plural(count, 'permit')} issued; training has not started yet."


def _observed(refusal: Entry) -> bool:
    return bool(refusal.body.get("observed"))


def _turned_away(refusal: Entry, told: Headline, decision: Decision) -> Headline:
    task, message = refusal.body["run"]["task_id"], refusal.body["message"]
    if decision.verdict is Verdict.ALLOW:
        more = "The gate had allowed it before; what counts is what stands when training starts."
        return Headline("bad", "Training refused", f"The task {task} was not let in: {message}.", more)
    more = f"The task {task} tried to train all the same and was refused: {message}."
    return Headline(told.tone, told.word, told.sentence, more)


def _training(view: RunView, decision: Decision | None) -> Headline:
    """Say whether a training task started, by its newest redemption or refusal."""
    started, refused = view.redemption, view.refusal
    task = view.asked.task_id or ""
    last = max((e for e in (started, refused) if e is not None), key=lambda entry: entry.idx, default=None)
    rests = " The decision it rests on is about a DAG that you may not see." if view.hidden else ""
    if last is None:
        if decision is None:
            return Headline("info", "Not started", f"The task {task} has not asked to train yet.{rests}")
        word = "there is no permit for it: the gate did not let it through"
        if view.decision is not None and view.decision.body.get("observed"):
            word = "it may start without a permit, for the mode is observe"
        elif view.permits:
            word = "a permit waits for it"
        return Headline("info", "Not started", f"The task {task} has not asked to train yet; {word}.")
    if last is refused and not _observed(last):
        told = f"The task {task} was refused: {last.body['message']}."
        return Headline("bad", "Refused", told, f"It did not train.{rests}")
    if last is refused:
        text = f"The task {task} trained without a permit: the mode is observe."
        return Headline("warn", "Unpermitted", text, "Its model counts as unpermitted.")
    return Headline("good", "Permitted", f"The task {task} trained with a permit (ledger entry {last.idx}).{rests}")


def _tagged(view: RunView) -> Headline:
    newest = view.tags[-1].body
    sets = {entry.body["dataset"]["name"] for entry in view.tags}
    words = sorted({category for entry in view.tags for category, _ in entry.body["statements"]})
    categories = ", ".join(words).replace("_", " ")
    text = f"The task {view.asked.task_id} tagged {_plural(len(sets), 'dataset')}: {categories or 'nothing known'}."
    if newest["contradictions"]:
        return Headline(
            "warn", "More than declared", text, f"It was {newest['contradictions'][0]}. It is tagged as both."
        )
    if newest.get("questions") and not newest.get("answers"):
        return Headline("warn", "A person must answer", text, " ".join(newest["questions"]))
    return Headline("info", "Tagged", text)


def _unknown(view: RunView) -> Headline:
    if view.hidden:
        return Headline("info", "Not yours", "This rests on a decision about a DAG that you may not see.")
    if view.asked.task_id is None:
        text = "Nothing is recorded of this run."
        more = "Its gate task has not run yet, or the DAG has no gate. Without a gate's permit no training task starts."
    else:
        text = f"Nothing is recorded of the task {view.asked.task_id} in this run."
        more = "It has not run yet, or it is none of ours: only tag, gate and training tasks leave a record here."
    return Headline("info", "Nothing recorded", text, more)


def _words(reasons: frozenset[Reason]) -> str:
    return ", ".join(sorted(reason.value.replace("_", " ") for reason in reasons))


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
