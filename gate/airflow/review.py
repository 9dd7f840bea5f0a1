"""Asks a person in Airflow what shall become of a blocked run, and reads what they answered.

The task parks in Airflow's own state `awaiting_input` and stands among *Required Actions*. Airflow keeps what the first
question of a try said, options included: later ones show the same text, so it says where the newest findings are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from gate.airflow.links import DecisionLink
from gate.domain.decision import Finding
from gate.domain.instants import checked_instant, parse_instant
from gate.domain.remedies import REMEDIES
from gate.domain.run import TaskRun
from gate.domain.words import Verdict
from gate.errors import InputError
from gate.service.answers import ISSUER, LABELS, MAX_NOTE, Answer, ReviewAnswer
from gate.service.message import explain_block

if TYPE_CHECKING:
    from gate.service.outcome import Outcome

MAX_FINDINGS = 20  # rows of the table; the tab shows all
MAX_WORD = 120  # characters of a name in the table
MAX_SUBJECT = 200
NOTE = {
    "note": {
        "value": None,
        "description": "Why, for the record. Do not name customers or people.",
        "schema": {"type": ["null", "string"], "maxLength": MAX_NOTE, "title": "Note"},
    }
}
"""The form beside the options: a note that may stay empty."""

_CHOICES = {
    Answer.CHECK_AGAIN: "decide anew, on the consents recorded by then. Choose it after what is missing was recorded.",
    Answer.SUBSET: "leave out every account without consent, and train on the rest.",
    Answer.KEEP_BLOCKED: "the task fails, and nothing trains.",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to the reviewers, as it survives while the task is parked.

    Attributes:
        run: the gate task's try.
        round: number of the question within the try, from 1.
        about: the task id of the blocked decision: the gate's own, or one with our suffixes.
        options: what the first question of this try offered; Airflow offers no others until the next try.
    """

    run: TaskRun
    round: int
    about: str
    options: tuple[Answer, ...]

    @property
    def decided(self) -> TaskRun:
        """The run under which the decision was recorded."""
        return replace(self.run, task_id=self.about)

    def next(self, about: str | None = None) -> Asked:
        """Return the question that follows, about a newer decision if there is one."""
        return replace(self, round=self.round + 1, about=about or self.about)

    def to_kwargs(self) -> dict[str, Any]:
        """Return what Airflow keeps for `execute_complete`."""
        return {"number": self.round, "about": self.about, "options": [option.value for option in self.options]}


def checked_reviewers(reviewers: Sequence[str | Mapping[str, str]], where: str) -> tuple[dict[str, str], ...]:
    """Return Airflow users as Airflow wants them named.

    Raises:
        InputError: nobody, or an entry without an id.
    """
    people = []
    for one in [reviewers] if isinstance(reviewers, str) else reviewers:
        fields = {"id": one} if isinstance(one, str) else dict(one)
        name = fields.get("name") or fields.get("id")
        if set(fields) - {"id", "name"} or not all(isinstance(text, str) and text for text in (fields.get("id"), name)):
            raise InputError(
                "a reviewer is an Airflow user", where=where, hint='an id, or {"id": …, "name": …}; one at least'
            )
        people.append({"id": fields["id"], "name": str(name)})
    if not people:
        raise InputError("names nobody", where=where, hint="leave it out, and everybody who may run the DAG can answer")
    return tuple(people)


def park(
    task: Any,
    context: Mapping[str, Any],
    asked: Asked,
    *,
    reviewers: Sequence[Mapping[str, str]],
    timeout: timedelta,
    blocked: Outcome | None,
    problem: str | None = None,
) -> NoReturn:
    """Ask, and give the worker free; Airflow resumes the task in `execute_complete`.

    Args:
        blocked: the decision that blocks; `None` when it cannot be read now.
        problem: why the last answer changed nothing, if so.

    Raises:
        TaskAwaitingInput: always.
    """
    from airflow.sdk.exceptions import TaskAwaitingInput
    from airflow.sdk.execution_time.hitl import HITLUser, upsert_hitl_detail

    link = DecisionLink().get_link(task, ti_key=context["ti"])
    upsert_hitl_detail(
        ti_id=context["ti"].id,
        options=[LABELS[option] for option in asked.options],
        subject=subject(blocked),
        body=body(blocked, asked.options, link, problem),
        params=NOTE,
        assigned_users=[HITLUser(id=user["id"], name=user["name"]) for user in reviewers],
    )
    task.log.warning(
        "%s\nParked for review until somebody answers, or for %s. Answer on the tab Required Actions of this task: %s\n"
        "The findings: %s",
        problem or (explain_block(blocked.decision) if blocked else "blocked"),
        timeout,
        ", ".join(LABELS[option] for option in asked.options),
        link,
    )
    raise TaskAwaitingInput(method_name="execute_complete", kwargs=asked.to_kwargs(), timeout=timeout)


def is_timeout(event: Mapping[str, Any]) -> bool:
    """Whether Airflow resumed the task although nobody answered."""
    return "error" in event or bool(event.get("timedout"))


def read_event(
    event: Mapping[str, Any], asked: Asked, decision: int, reviewers: Sequence[Mapping[str, str]]
) -> ReviewAnswer:
    """Return what Airflow says was answered; anything that is no answer of a reviewer is named so, and lets nothing on.

    Args:
        event: of a response `chosen_options`, `params_input`, `responded_at`, `responded_by_user`; of a timeout
            `error`.
        decision: ledger index of the decision the question was about.
        reviewers: who may answer; empty: whoever Airflow lets.
    """
    user, at = event.get("responded_by_user"), event.get("responded_at")
    if is_timeout(event) or not user or not at:
        return ReviewAnswer(asked.run, decision, asked.round, Answer.TIMED_OUT, asked.options)
    chosen = event.get("chosen_options")
    options = {LABELS[option]: option for option in asked.options}
    answer = options.get(chosen[0], Answer.INVALID) if isinstance(chosen, list) and len(chosen) == 1 else Answer.INVALID
    if reviewers and user["id"] not in {one["id"] for one in reviewers}:
        answer = Answer.NOT_ASSIGNED
    return ReviewAnswer(
        asked.run,
        decision,
        asked.round,
        answer,
        asked.options,
        responder=f"{ISSUER}|{user['id']}",
        answered_at=checked_instant(at, "responded_at") if isinstance(at, datetime) else parse_instant(at),
        note=_note(event.get("params_input")),
    )


def _note(given: Any) -> str | None:
    note = given.get("note") if isinstance(given, Mapping) else None
    return (note.replace("\0", "").strip()[:MAX_NOTE] or None) if isinstance(note, str) else None


def subject(blocked: Outcome | None) -> str:
    """Return the headline among *Required Actions*, where about 35 characters show: plain text, counts only."""
    if blocked is None:
        return "Blocked by the consent gate"
    use, accounts = blocked.decision.use, blocked.record["accounts_blocked"]
    words = f"{use.purpose.value} {use.model or 'no model'} for {use.feature or 'no feature'}"
    return _plain(f"Blocked, {_counted(accounts, 'account')}: {words}")[:MAX_SUBJECT]


def body(blocked: Outcome | None, options: Sequence[Answer], link: str, problem: str | None = None) -> str:
    """Return the Markdown that a reviewer reads beside the options: no account is named, all data is escaped."""
    parts = []
    if problem:
        parts.append(fenced(problem))
    if blocked is not None:
        decision = blocked.decision
        blocking = [finding for finding in decision.findings if finding.verdict is Verdict.BLOCK]
        at = decision.decided_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        parts += [
            fenced(
                "\n".join(line for line in explain_block(decision).split("\n") if not line.startswith("to unblock"))
            ),
            f"In all **{_counted(blocked.record['accounts_blocked'], 'account')}, "
            f"{_counted(blocked.record['rows_blocked'], 'row')}**, as of {at} (ledger entry {blocked.index}).",
            _table(blocking),
            "**What would unblock it**\n\n" + "\n".join(f"- {line}" for line in _remedies(blocking)),
        ]
    parts += [
        f"[All findings, the accounts and the next steps]({link})",
        "**Your answer**\n\n" + "\n".join(f"- **{LABELS[option]}**: {_CHOICES[option]}" for option in options),
        "No answer is a consent: only a customer's own owner or admin can consent. After *Check again* this text stays "
        "as it is; the newest findings are behind the link above.",
    ]
    return "\n\n".join(parts)


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _table(findings: Sequence[Finding]) -> str:
    worst = sorted(findings, key=lambda f: (-f.rows, -f.accounts, f.dataset, f.category))
    lines = ["| Dataset | Category | Policy row | Accounts | Rows | Why |", "| --- | --- | --- | ---: | ---: | --- |"]
    for finding in worst[:MAX_FINDINGS]:
        why = ", ".join(reason.value for reason in finding.reasons)
        name = "/".join(finding.dataset.rstrip("/").split("/")[-2:])
        words = (code(name), code(finding.category), code(finding.row or "none"))
        lines.append(f"| {' | '.join(words)} | {finding.accounts:,} | {finding.rows:,} | {code(why)} |")
    if len(worst) > MAX_FINDINGS:
        lines.append(f"| and {len(worst) - MAX_FINDINGS} more | | | | | |")
    return "\n".join(lines)


def _remedies(findings: Sequence[Finding]) -> list[str]:
    found = dict.fromkeys(REMEDIES[reason] for finding in findings for reason in finding.reasons)
    return list(found)


def code(text: str) -> str:
    """Return text as a code span in a table's cell, where nothing in it means anything to Markdown."""
    plain = _plain(text)[:MAX_WORD].replace("|", "\\|") or " "
    ticks = "`" * (_longest_run(plain) + 1)
    return f"{ticks} {plain} {ticks}" if "`" in plain else f"{ticks}{plain}{ticks}"


def fenced(text: str) -> str:
    """Return lines as a code block, where nothing in them means anything to Markdown."""
    lines = [_plain(line) for line in text.split("\n")]
    fence = "`" * max(3, _longest_run("\n".join(lines)) + 1)
    return "\n".join([f"{fence}text", *lines, fence])


def _longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest


def _plain(text: str) -> str:
    """Make characters that steer the display visible: line ends, direction marks, everything without a shape."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _STEERING else c for c in text)


_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
