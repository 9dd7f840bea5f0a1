"""Lets other packages recognise what we do not know: functions behind the entry point `consent_gate.recognisers`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib.metadata import entry_points

from gate.domain.words import Category
from gate.errors import GateError
from gate.scan.detect.model import Content, Evidence

GROUP = "consent_gate.recognisers"

Recogniser = Callable[[Content], Iterable[Evidence]]
"""Takes what was found at one place, returns evidence; must not quote values of the data."""


class RecogniserError(GateError):
    """A recogniser of another package cannot be loaded or gives no evidence: detection does not go on without it."""

    exit_code = 4


@lru_cache(maxsize=1)
def installed() -> tuple[tuple[str, Recogniser], ...]:
    """Return the recognisers that are installed, by name.

    Raises:
        RecogniserError: one cannot be imported.
    """
    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        try:
            found.append((point.name, point.load()))
        except (ImportError, AttributeError):
            raise RecogniserError("cannot be imported", where=f"recogniser {point.name}") from None
    return tuple(found)


def recognised(content: Content) -> Iterator[Evidence]:
    """Yield the evidence of all recognisers.

    Raises:
        RecogniserError: one gives something else than evidence of a category.
    """
    for name, recogniser in installed():
        for one in recogniser(content):
            if not isinstance(one, Evidence) or one.category not in set(Category) or not 0 <= one.weight <= 1:
                raise RecogniserError("returned something that is no evidence", where=f"recogniser {name}")
            yield one
