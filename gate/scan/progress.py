"""How far a long scan has come, for whoever wants to be told: the command line's bar, a task's log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

EVERY = 0.25  # seconds between two looks at a query


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of one thing is done.

    Attributes:
        doing: `hashing`, `counting` or `writing`.
        done, total: in `unit`.
    """

    doing: str
    done: int
    total: int
    unit: Literal["bytes", "rows"]

    def rate(self, seconds: float) -> str:
        """Return how much was done in a second, as people write it: `1.9 GB/s`, `12 M rows/s`."""
        each = self.done / max(seconds, 0.001)
        step = next((step for step in (1e9, 1e6, 1e3) if each >= step), 1.0)
        letter = {1e9: "G", 1e6: "M", 1e3: "k", 1.0: ""}[step]
        return f"{each / step:.3g} {letter}{'B' if self.unit == 'bytes' else ' rows'}/s".replace("  ", " ")


Listener = Callable[[Progress], None]
"""Is told, also from other threads."""

_listener: ContextVar[Listener | None] = ContextVar("gate_scan_listener", default=None)


@contextmanager
def told(listener: Listener) -> Iterator[None]:
    """Have a listener told of what is scanned meanwhile."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def counter(doing: str, total: int, unit: Literal["bytes", "rows"] = "bytes") -> Callable[[int], None]:
    """Return a function to be told, from any thread, how much more is done."""
    listener, lock, done = _listener.get(), threading.Lock(), 0
    if listener is None:
        return lambda _more: None

    def add(more: int) -> None:
        nonlocal done
        with lock:
            done += more
            listener(Progress(doing, done, total, unit))

    return add


@contextmanager
def of_query(con: Backend, doing: str, total: Callable[[], int], unit: Literal["bytes", "rows"]) -> Iterator[None]:
    """Tell how far the query that DuckDB runs meanwhile has come, by its own estimate.

    Args:
        con: the connection that runs it.
        doing: see `Progress`.
        total: works out how much there is; asked only when somebody wants to know.
        unit: of the total.
    """
    listener = _listener.get()
    if listener is None:
        yield
        return
    con.raw_sql("SET enable_progress_bar = true")  # without it, DuckDB does not estimate; it prints nothing
    con.raw_sql("SET progress_bar_time = 0")
    amount, over = total(), threading.Event()

    def watch() -> None:
        while not over.wait(EVERY):
            if (percent := con.con.query_progress()) >= 0:
                listener(Progress(doing, int(amount * min(percent, 100.0) / 100), amount, unit))

    watching = threading.Thread(target=watch, name="gate-progress", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
