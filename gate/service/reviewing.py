"""A reviewer's answer to a blocked gate: recorded before anybody acts on it, then decided anew on what stands now.

No answer is a consent, and none lets anything pass by itself: what passes is a new decision on the ledger as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gate.domain.dataset import Dataset
from gate.domain.decision import WantedUse
from gate.domain.instants import format_instant
from gate.domain.run import TaskRun
from gate.errors import Blocked, CannotDecide, InputError, PermitRefused
from gate.ledger.store import Entry, Reader
from gate.scan.spark.cluster import Spark
from gate.service.actors import PERSON, recorded_actor
from gate.service.anchors import recording
from gate.service.answers import LABELS, MAX_NOTE, Answer, ReviewAnswer
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.decisions import checked_run, gate_of, read_outcome
from gate.service.outcome import Asking, Outcome
from gate.service.ports import DecisionService
from gate.service.subsetting import decide_on_subset

UNKNOWN = "unknown"  # no reference: what nobody ever recorded


def review_subject(answer: ReviewAnswer) -> str:
    """Return the ledger subject of an answer: one per question."""
    return f"{answer.run.key}/{answer.round}"


def record_review(service: Service, answer: ReviewAnswer, *, by: str, via: str) -> int:
    """Record an answer, once `service.confirm_review` has said that it was given; the same one again adds nothing.

    Args:
        by: the worker or token that hands it over; who answered stands in the entry itself.

    Returns:
        Its ledger index.

    Raises:
        InputError: it contradicts itself.
        PermitRefused: Airflow knows no such answer, the question was answered otherwise before, or was never asked.
        CannotDecide: Airflow or the ledger cannot be asked; nothing is recorded.
    """
    _check(answer)
    subject = review_subject(answer)
    with service.ledger.read() as reader:
        _check_question(reader, answer)
        known = reader.find("review", subject)
        if known is not None:  # it was confirmed then, and Airflow may have forgotten it since
            return _same(known, _body(answer, lambda kind, value: reader.ref(kind, value) or UNKNOWN))
    service.confirm_review(answer)
    with recording(service) as tx:
        body = _body(answer, tx.commit_ref)
        entry, _ = tx.append("review", subject, body, recorded_at=service.now(tx), by=recorded_actor(tx, by), via=via)
    return _same(entry, body)


def _check(answer: ReviewAnswer) -> None:
    if answer.round < 1 or Answer.KEEP_BLOCKED not in answer.options:
        raise InputError("is no question that a gate asks", where="review")
    by_somebody = answer.responder is not None and answer.answered_at is not None
    if by_somebody == (answer.answer is Answer.TIMED_OUT) or (answer.note and not by_somebody):
        raise InputError("an answer is by somebody, at some time; only a timeout is by nobody", where="review")
    if answer.answer in LABELS and answer.answer not in answer.options:
        raise InputError(f"{answer.answer.value} was not offered", where="review.answer")
    if answer.note is not None and not 0 < len(answer.note) <= MAX_NOTE:
        raise InputError(f"a note has 1 to {MAX_NOTE} characters", where="review.note")


def _check_question(reader: Reader, answer: ReviewAnswer) -> None:
    """Make sure that the decision is this very gate's, and blocked it."""
    entry = reader.entry(answer.decision) if answer.decision < reader.size else None
    if entry is None or entry.kind != "decision" or gate_of(TaskRun.from_dict(entry.body["run"])) != answer.run:
        raise _refused("it is about no decision of this gate")
    if read_outcome(reader, entry).passes:
        raise _refused("its decision did not block")


def _body(answer: ReviewAnswer, ref: Callable[[str, str], str]) -> dict[str, object]:
    person = answer.responder and ref("person", answer.responder)
    return {
        "run": answer.run.to_dict(),
        "decision": answer.decision,
        "round": answer.round,
        "answer": answer.answer.value,
        "options": [option.value for option in answer.options],
        "responder": person and f"{PERSON}{person}",
        "answered_at": answer.answered_at and format_instant(answer.answered_at),
        "note_ref": answer.note and ref("text", answer.note),
    }


def _same(entry: Entry, body: dict[str, object]) -> int:
    if entry.body != body:
        raise _refused("this question was answered otherwise before")
    return entry.idx


def _refused(why: str) -> PermitRefused:
    return PermitRefused(
        f"the answer does not count: {why}", hint="clear the gate's task: it asks again", reason="permit_mismatch"
    )


def decide_again(
    service: DecisionService,
    datasets: Sequence[Dataset],
    wanted: WantedUse,
    asking: Asking,
    number: int,
    spark: Spark | None = None,
) -> Outcome:
    """Decide anew after the recorded answer to a question, on the ledger and the data as they are now.

    Once more after the same question gets the recorded decision: a process that died in the middle leaves no second
    one behind.

    Args:
        asking: as for the first decision.
        number: of the question.
        spark: count there.

    Raises:
        CannotDecide: not possible now; the reviewer can be asked again.
    """
    return decide(service, datasets, wanted, _after(asking, number), spark)


def decide_subset_again(
    service: DecisionService,
    blocked: Outcome,
    wanted: WantedUse,
    asking: Asking,
    number: int,
    folder: str | None,
    spark: Spark | None = None,
) -> Outcome:
    """Decide about the consented subset of what `decide_again` blocked after the same question.

    Raises:
        CannotDecide: there is none, or not now; the reviewer can be asked again.
    """
    try:
        return decide_on_subset(service, blocked, wanted, _after(asking, number), folder, spark)
    except Blocked as error:  # something else than missing consent came up in between
        raise CannotDecide(error.message, where=error.where, hint="check again", reason="cannot_decide") from None


def _after(asking: Asking, number: int) -> Asking:
    return replace(asking, run=checked_run(asking.run, number))
