"""Lets works that wait for one another share one transaction: what a commit costs is then paid once for all of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Lock
from typing import Any, TypeVar

from gate.errors import GateError
from gate.ledger.store import Transaction

_T = TypeVar("_T")


class Together:
    """Runs works one after the other, those that came meanwhile in one transaction.

    Whoever's turn it is works for everybody who waits, in the order they came; the others find their work done. Nobody
    gets an answer before the commit that keeps what it rests on.
    """

    def __init__(self) -> None:
        self._turn = Lock()
        self._list = Lock()
        self._waiting: list[_Work] = []

    def do(self, begin: Callable[[], AbstractContextManager[Transaction]], what: Callable[[Transaction], _T]) -> _T:
        """Do a work in a transaction of its own or with others.

        Args:
            begin: opens the transaction; any waiting work's will do.
            what: must append last of all: what it raises does not undo what it appended.

        Raises:
            GateError: what the work raised; or why the transaction failed, and then nothing of it was kept.
        """
        work = _Work(what)
        with self._list:
            self._waiting.append(work)
        with self._turn:
            if not work.done:
                self._do_all(begin)
        if work.error is not None:
            raise work.error
        result: _T = work.result
        return result

    def _do_all(self, begin: Callable[[], AbstractContextManager[Transaction]]) -> None:
        with self._list:
            works, self._waiting = self._waiting, []
        try:
            with begin() as tx:
                for work in works:
                    work.do(tx)
        except BaseException as error:
            for work in works:
                work.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            for work in works:
                work.done = True


class _Work:
    """One work and what came of it."""

    def __init__(self, what: Callable[[Transaction], Any]) -> None:
        self._what = what
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def do(self, tx: Transaction) -> None:
        try:
            self.result = self._what(tx)
        except GateError as error:  # about this work only; anything else is about the transaction
            self.error = error
