"""Sorts the lines of an import by time with flat memory: sorted runs in a nameless file, merged block by block."""

from __future__ import annotations

import marshal
import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from typing import IO

from gate.errors import LedgerUnavailable
from gate.ledger.lines import Line

RUN = 50_000  # lines sorted in memory; fewer never touch the disk
BLOCK = 100  # lines read back at once: memory holds one block per run
PAGE = 10_000  # lines handed on at once, about


class Spool:
    """Takes lines in any order, and gives them back in the order of time, then of their places.

    The file is in the system's temporary folder (`TMPDIR`), readable by us only and gone with us: it has no name.
    """

    def __init__(self, run: int = RUN) -> None:
        self.count = 0
        self._size = run
        self._run: list[Line] = []
        self._file: IO[bytes] | None = None
        self._blocks: list[tuple[str, int, int, int]] = []  # first line's order and place, where it is, its bytes

    def add(self, line: Line) -> None:
        """Take a line.

        Raises:
            LedgerUnavailable: there is no space to sort so many.
        """
        self.count += 1
        self._run.append(line)
        if len(self._run) >= self._size:
            self._spill()

    def pages(self) -> Iterator[list[Line]]:
        """Give all lines back, some thousands at a time; as often as asked.

        Raises:
            LedgerUnavailable: the file cannot be read.
        """
        self._run.sort()
        if self._file is None:
            for start in range(0, len(self._run), PAGE):
                yield self._run[start : start + PAGE]
            return
        if self._run:
            self._spill()
        yield from self._merged()

    def close(self) -> None:
        """Forget everything."""
        self._run = []
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        self._run.sort()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="gate-import-")  # noqa: SIM115  lives as long as the spool
            self._file.seek(0, 2)
            for start in range(0, len(self._run), BLOCK):
                block = self._run[start : start + BLOCK]
                place, size = self._file.tell(), self._file.write(marshal.dumps(block))
                self._blocks.append((block[0][0], block[0][1], place, size))
            self._file.flush()
        except OSError as error:
            raise _no_space(error) from None
        self._run = []

    def _merged(self) -> Iterator[list[Line]]:
        """Read blocks in the order of their first lines: what sorts before the next block's first line is complete."""
        pool, carried = list[Line](), 0
        for order, place, offset, size in sorted(self._blocks):
            if len(pool) >= carried + PAGE:
                pool.sort()  # runs, each of them sorted: this merges them
                cut = bisect_left(pool, (order, place))
                yield pool[:cut]
                del pool[:cut]
                carried = len(pool)
            pool += self._read(offset, size)
        pool.sort()
        yield pool

    def _read(self, offset: int, size: int) -> list[Line]:
        assert self._file is not None, "there are blocks"
        try:
            self._file.seek(offset)
            block: list[Line] = marshal.loads(self._file.read(size))  # noqa: S302  a nameless file that only we have written
        except OSError as error:
            raise _no_space(error) from None
        return block


def _no_space(error: OSError) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"the lines of the import cannot be sorted on disk: {error.strerror}",
        where=tempfile.gettempdir(),
        hint="free disk space there, or let TMPDIR name a folder that has some",
        reason="cannot_decide",
    )
