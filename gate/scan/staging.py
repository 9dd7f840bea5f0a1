"""Writes a file or folder aside and shows it under its name only when it is whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gate.errors import CannotDecide, DatasetError

_T = TypeVar("_T")


def publish(target: Path, write: Callable[[Path], _T], same: Callable[[Path, Path], bool]) -> _T:
    """Let `write` make a file or folder, then give it the name `target` in one step.

    Args:
        target: must not exist, unless what is there is the `same`: then it stays (a run that was killed is repeated).
        write: given a path in a private folder beside `target`; what it returns is returned.
        same: given what is there and what was made.

    Raises:
        DatasetError: something else is at `target`.
        CannotDecide: it cannot be written there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.unfinished-", dir=target.parent))
    except OSError as error:
        raise CannotDecide(f"cannot be written: {error.strerror}", where=str(target)) from None
    made = aside / target.name
    try:
        result = write(made)
        if not os.path.lexists(target):
            _rename(made, target)
        elif not same(target, made):
            raise DatasetError("exists and holds other data", where=str(target), hint="name another target")
    except OSError as error:
        raise CannotDecide(f"cannot be written: {error.strerror}", where=str(target)) from None
    else:
        return result
    finally:
        shutil.rmtree(aside)


def _rename(made: Path, target: Path) -> None:
    """Move without ever replacing data: renaming a folder needs an empty place, linking a file a free one."""
    if made.is_dir():
        made.rename(target)
    else:
        target.hardlink_to(made)
