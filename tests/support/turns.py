"""Takes several actors through their transactions one at a time, in an order that the test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any

from gate.ledger.store import Ledger, Reader, Transaction

WAIT = 60.0  # seconds after which a turn that does not come back is a failure of the test


class _Actor(threading.Thread):
    def __init__(self, turns: Turns, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.turns = turns
        self.work = work
        self.go = threading.Semaphore(0)
        self.depth = 0
        self.done = False
        self.result: Any = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        self.go.acquire()
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001  handed to the test, which raises it
            self.failure = error
        self.done = True
        self.turns.back.release()

    def pause(self) -> None:
        self.turns.back.release()
        self.go.acquire()


class Turns:
    """Runs actors in threads of which exactly one moves at any time: from one transaction's start to the next."""

    def __init__(self) -> None:
        self.back = threading.Semaphore(0)

    def play(self, works: Sequence[Callable[[], Any]], schedule: Sequence[int]) -> list[Any]:
        """Run every work to its end and return their results; `schedule` says who moves next, then in given order.

        Raises:
            BaseException: what the first work that failed raised.
        """
        actors = [_Actor(self, work) for work in works]
        for actor in actors:
            actor.start()
        waiting = list(actors)
        for number in chain(schedule, repeat(0)):
            actor = waiting[number % len(waiting)]
            actor.go.release()
            if not self.back.acquire(timeout=WAIT):
                raise AssertionError("an actor does not come back: it waits for a lock that another one holds")
            if actor.done:
                actor.join()
                waiting.remove(actor)
            if not waiting:
                break
        for actor in actors:
            if actor.failure is not None:
                raise actor.failure
        return [actor.result for actor in actors]


class SteppedLedger(Ledger):
    """A ledger whose every transaction of an actor begins only when it is that actor's turn."""

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """See `Ledger.write`."""
        with _turn(), super().write() as tx:
            yield tx

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """See `Ledger.read`."""
        with _turn(), super().read() as reader:
            yield reader


@contextmanager
def _turn() -> Iterator[None]:
    """Give way before a transaction begins; one within another belongs to it."""
    actor = threading.current_thread()
    if not isinstance(actor, _Actor):
        yield
        return
    if actor.depth == 0:
        actor.pause()
    actor.depth += 1
    try:
        yield
    finally:
        actor.depth -= 1
