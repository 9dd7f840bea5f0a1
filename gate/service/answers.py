"""What a reviewer can answer to a blocked gate: the words, their labels in Airflow, and one answer as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from gate.domain.instants import format_instant, parse_instant
from gate.domain.run import TaskRun

if TYPE_CHECKING:
    from gate.domain.decision import Decision


class Answer(StrEnum):
    """What came of one question to a reviewer; none of them is a consent."""

    CHECK_AGAIN = "check_again"
    SUBSET = "subset"
    KEEP_BLOCKED = "keep_blocked"
    TIMED_OUT = "timed_out"  # nobody answered
    NOT_ASSIGNED = "not_assigned"  # somebody answered who is no reviewer of this gate
    INVALID = "invalid"  # no option, or none that was offered


LABELS = {
    Answer.CHECK_AGAIN: "Check again",
    Answer.SUBSET: "Train on the consented subset",
    Answer.KEEP_BLOCKED: "Keep blocked",
}
"""What the options are called in Airflow."""

DECIDING = frozenset({Answer.CHECK_AGAIN, Answer.SUBSET})
"""The answers after which the gate decides anew, on the ledger as it is then."""

ISSUER = "airflow"  # whose log-ins answer, as pages and API name them
MAX_NOTE = 2000  # characters of a reviewer's note


def offered(decision: Decision) -> list[Answer]:
    """Return the answers a blocked decision leaves open; a subset only where missing consent is all that blocks."""
    return [answer for answer in LABELS if answer is not Answer.SUBSET or decision.subset_possible]


@dataclass(frozen=True, slots=True)
class ReviewAnswer:
    """One answer to one question about one blocked decision.

    Attributes:
        run: the gate task's try.
        decision: ledger index of the decision the question was about.
        round: number of the question within the try, from 1.
        options: what was offered.
        responder: `ISSUER`, `|` and the id of the Airflow user who answered; `None` when nobody did.
        answered_at: when, as Airflow says; `None` when nobody did.
        note: what they wrote beside it.
    """

    run: TaskRun
    decision: int
    round: int
    answer: Answer
    options: tuple[Answer, ...]
    responder: str | None = None
    answered_at: datetime | None = None
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "run": self.run.to_dict(),
            "decision": self.decision,
            "round": self.round,
            "answer": self.answer.value,
            "options": [option.value for option in self.options],
            "responder": self.responder,
            "answered_at": self.answered_at and format_instant(self.answered_at),
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ReviewAnswer:
        """Read what `to_dict` wrote."""
        at = data["answered_at"]
        return cls(
            TaskRun.from_dict(data["run"]),
            data["decision"],
            data["round"],
            Answer(data["answer"]),
            tuple(Answer(option) for option in data["options"]),
            data["responder"],
            None if at is None else parse_instant(at),
            data["note"],
        )
