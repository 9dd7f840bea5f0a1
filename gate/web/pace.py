"""How many pages one caller gets: a bucket of requests per caller that refills steadily, kept in this process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from time import monotonic

from fastapi import Request

from gate.errors import CannotDecide

CALLERS = 10_000  # remembered; whoever was forgotten has a full bucket


@dataclass(frozen=True, slots=True)
class Pace:
    """What a caller may ask for.

    Attributes:
        burst: requests at once.
        per_second: requests that come back each second.
    """

    burst: int = 200
    per_second: float = 20.0


ORDINARY = Pace()


class TooMany(CannotDecide):
    """The caller asks too often: 429."""

    status = 429


class Pacing:
    """Dependency of every page: refuses a caller whose bucket is empty.

    A caller is a log-in; before logging in, the address that connects.
    """

    def __init__(self, pace: Pace, clock: Callable[[], float] = monotonic) -> None:
        self._pace, self._clock = pace, clock
        self._lock = Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller -> (left, when)

    async def __call__(self, request: Request) -> None:
        """Take one request out of the caller's bucket.

        Raises:
            TooMany: there is none left.
        """
        principal = getattr(request.state, "principal", None)
        self.take(principal.actor if principal else f"address {request.client.host if request.client else '?'}")

    def take(self, caller: str) -> None:
        """Take one request out of a caller's bucket; see `__call__`."""
        now = self._clock()
        with self._lock:
            left, when = self._buckets.pop(caller, (float(self._pace.burst), now))
            left = min(self._pace.burst, left + (now - when) * self._pace.per_second)
            enough = left >= 1
            self._buckets[caller] = (left - 1 if enough else left, now)
            if len(self._buckets) > CALLERS:
                self._buckets.popitem(last=False)
        if not enough:
            raise TooMany("too many requests", hint="wait a moment, then try again", reason="cannot_decide")
