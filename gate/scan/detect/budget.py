"""Bounds of one examination: time, bytes and nesting. Whoever works within them asks; nobody is interrupted."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

FILE_SECONDS = 8.0  # for one file; a person waits, and adversarial files end here
FOLDER_SECONDS = 40.0  # for a folder: with listing 100,000 files it stays under a minute
NESTING = 3  # containers within containers: a tar in a gzip in a zip
TEXT_BYTES = 4 << 20  # of unpacked text parsed at once
MEMBER_BYTES = 8 << 20  # unpacked of one member of an archive


@dataclass(slots=True)
class Budget:
    """What may still be spent.

    Attributes:
        deadline: on `time.monotonic`'s clock.
        depth: containers already entered.
    """

    deadline: float = field(default_factory=lambda: time.monotonic() + FILE_SECONDS)
    depth: int = 0

    @property
    def left(self) -> float:
        """Seconds left, 0 when spent."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def spent(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.deadline

    def inner(self) -> Budget:
        """Return the budget within one more container: the same deadline."""
        return Budget(self.deadline, self.depth + 1)

    def at_most(self, seconds: float) -> Budget:
        """Return a budget that ends sooner."""
        return Budget(min(self.deadline, time.monotonic() + seconds), self.depth)
