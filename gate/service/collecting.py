"""Puts garbage collection off while a large answer is made: it is many small values, all of them alive.

Afterwards they count as old at once. Otherwise the next allocation would look through every one of them, which takes as
long as making a third of the answer.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Look for no garbage meanwhile; nothing here leaves cycles behind that could not wait."""
    if not gc.isenabled():  # somebody else puts it off, and on again
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # what somebody else has frozen stays so
            gc.freeze()  # together these move everything into the oldest generation, looking at nothing
            gc.unfreeze()
        gc.enable()
