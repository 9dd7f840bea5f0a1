"""Keeps events that the store cannot take now: whole lines in a file, each of them safe once it is written."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gate.errors import InputError
from gate.lineage.observed import Observed, observe
from gate.lineage.store.database import LineageStore
from gate.lineage.store.ingest import store_events
from gate.lineage.store.locks import locked

FILE = "spool.jsonl"
UNREADABLE = "unreadable.jsonl"  # lines that are no events: kept for people, never tried again
ROUNDS = 3  # times that one who takes in looks again
RETRY = 10.0  # seconds after a failure in which tasks do not try the store again
SMALL = 4 * 2**20  # bytes that a task takes in by the way, about a second's work; more is for the relay

_log = logging.getLogger(__name__)


class Spool:
    """A folder's spool. Writers and takers may be many processes of one machine.

    Events that wait stand in `spool.jsonl`; while they are being taken in, in a file of another name beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / FILE
        self._lock = folder / "spool.lock"

    def holds(self) -> bool:
        """Say whether any event waits here."""
        return bool(self._waiting())

    def rest(self) -> None:
        """Note that the store cannot be written now: who accepts events need not try for a while."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.touch(0o600)

    def rests(self) -> bool:
        """Say whether the store could not be written just now."""
        try:
            return 0 <= time.time() - self._lock.stat().st_mtime < RETRY
        except FileNotFoundError:
            return False

    def append(self, raw: str) -> None:
        """Add an event, JSON without line breaks, as one whole line or not at all.

        Raises:
            OSError: it could not be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            with _opened(self._file) as descriptor:
                if _is_still(self._file, descriptor):  # else a taker has just carried it away
                    _write_line(descriptor, raw.encode())
                    return

    def take_in_small(self, store: LineageStore) -> None:
        """Take in what waits, if it is only a little.

        Raises:
            LineageUnavailable: the store cannot be written.
        """
        size = sum(path.stat().st_size for path in self._waiting())
        if size <= SMALL:
            self.take_in(store)
        else:
            _log.warning("%s holds %d MiB of events: gate lineage relay takes them in", self.folder, size >> 20)

    def take_in(self, store: LineageStore) -> int:
        """Move every event that waits now into the store, in the order in which they came.

        Returns:
            How many; 0 while another process does it.

        Raises:
            LineageUnavailable: the store cannot be written; nothing is lost.
        """
        if not self.holds():
            return 0
        taken = 0
        with locked(self._lock) as alone:
            if not alone:
                return 0
            for _ in range(ROUNDS):  # meanwhile others add
                if self._file.exists():
                    self._set_aside()
                for path in self._waiting():
                    if path != self._file:
                        taken += sum(store_events(store, self._events(path)))
                        path.unlink()
            os.utime(self._lock, (0, 0))
        return taken

    def _waiting(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.match("spool*.jsonl"))
        except FileNotFoundError:
            return []

    def _set_aside(self) -> None:
        """Give the file another name, while nobody is writing into it; names sort in the order of time."""
        with _opened(self._file):
            self._file.rename(self.folder / f"spool-{time.time_ns():020}.jsonl")

    def _events(self, path: Path) -> Iterator[Observed]:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield observe(json.loads(line))
                except (ValueError, RecursionError, InputError):
                    _log.error("line %d of the spool is no event; see %s", number, self.folder / UNREADABLE)
                    with _opened(self.folder / UNREADABLE) as descriptor:
                        _write_line(descriptor, line.rstrip(b"\n"))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a file, made if needed, and hold it for ourselves; the lock ends with the process."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write_line(descriptor: int, line: bytes) -> None:
    """Write a whole line, or nothing; what somebody who was killed left behind does not spoil it."""
    size = os.fstat(descriptor).st_size
    begun = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    whole = (b"\n" if begun else b"") + line + b"\n"
    if os.write(descriptor, whole) != len(whole):
        os.ftruncate(descriptor, size)
        raise OSError("the disk took only a part of the event, which was taken back")
