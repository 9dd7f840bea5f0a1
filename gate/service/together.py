"""Records several things in one transaction when they come at once: questions and commit are then paid once for all.

Who writes holds up everybody else, so what one transaction costs bounds what the service can do. Each work says
beforehand what it must ask; in the transaction all questions are one statement, each work judges its own answers,
and what they append is stored in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Event, Lock

from gate.errors import CannotDecide, GateError
from gate.ledger.store import Entry, NewEntry, Question, Transaction, TreeHead

MOST = 16  # works in one transaction

Judge = Callable[[Transaction, Sequence[list[Entry]]], NewEntry]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a work: its entry, whether that is new, and the ledger that holds it."""

    entry: Entry
    new: bool
    head: TreeHead


class Work:
    """An entry that is appended if the ledger, as it is in that very transaction, lets it.

    Args:
        questions: what to ask the ledger.
        judge: gets the answers in the same order and returns what to append, or raises a `GateError`. Works of one
            transaction do not see what the others append; of two with the same kind and subject the first is kept.
    """

    def __init__(self, questions: Sequence[Question], judge: Judge) -> None:
        self.questions = questions
        self.judge = judge
        self.recorded: Recorded | None = None
        self.error: Exception | None = None
        self.woken = Event()

    @property
    def done(self) -> bool:
        """Whether there is an answer."""
        return self.recorded is not None or self.error is not None

    def answer(self) -> Recorded:
        """Return what became of it.

        Raises:
            GateError: what the judge raised; or why the transaction failed, and then nothing was kept.
        """
        if self.error is not None:
            raise self.error
        assert self.recorded is not None, "it was performed"
        return self.recorded


def perform(tx: Transaction, works: Sequence[Work]) -> list[tuple[Work, Recorded]]:
    """Ask, judge and append; the answers count when the transaction is committed.

    Returns:
        The works that were let.
    """
    asked = dict.fromkeys(question for work in works for question in work.questions)
    # In one order, so that the same few statements come again and again, whoever waits together.
    questions = sorted(asked, key=lambda question: question.shape)
    answers = dict(zip(questions, tx.ask(*questions), strict=True))
    let: list[tuple[Work, NewEntry]] = []
    for work in works:
        try:
            let.append((work, work.judge(tx, [answers[question] for question in work.questions])))
        except GateError as error:  # about this work only; anything else is about the transaction
            work.error = error
    stored = tx.append_many([new for _, new in let])
    head = tx.head()
    return [(work, Recorded(entry, new, head)) for (work, _), (entry, new) in zip(let, stored, strict=True)]


class Together:
    """Performs works in as few transactions as they allow; safe to use from many threads.

    The first who comes performs for all who wait by then, in the order they came, and hands on to the next. Nobody gets
    an answer before the commit that keeps what it rests on.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: list[Work] = []
        self._busy = False

    def perform(self, begin: Callable[[], AbstractContextManager[Transaction]], work: Work) -> Recorded:
        """Perform a work, alone or with others.

        Args:
            begin: opens the transaction; any waiting work's will do.

        Raises:
            GateError: as `Work.answer`.
        """
        with self._lock:
            self._waiting.append(work)
            first, self._busy = not self._busy, True
        if not first:
            work.woken.wait()
        if not work.done:
            self._perform_some(begin)
        return work.answer()

    def _perform_some(self, begin: Callable[[], AbstractContextManager[Transaction]]) -> None:
        with self._lock:
            works, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            with begin() as tx:
                let = perform(tx, works)
        except BaseException as error:
            for work in works:
                work.error = error if isinstance(error, Exception) else CannotDecide("recording was interrupted")
            if not isinstance(error, Exception):
                raise
        else:
            for work, recorded in let:
                work.recorded = recorded
        finally:
            with self._lock:
                for work in (*works, *self._waiting[:1]):
                    work.woken.set()
                self._busy = bool(self._waiting)
