"""Groups accounts that no policy can tell apart at one instant, many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log2
from typing import TYPE_CHECKING

from gate.domain.consent import UNKNOWN_PROFILE
from gate.ledger.mirror.coding import NEVER, Codes

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

_BEGUN, _EXPIRED = 2, 1  # how an event's digit says that it took effect, and that it expired

Group = tuple[int, tuple[int, ...], tuple[int, ...]]  # shape, starts and ends of one of its accounts


@dataclass
class Groups:
    """Numbers the groups as they appear.

    Two accounts are in one group when their shapes are the same and each event of one took effect in the same of the
    policy's periods as that of the other, began or did not, expired or did not.

    Attributes:
        now: the instant, in microseconds since 1970.
        boundaries: the instants a policy compares `effective_at` with, ascending, in microseconds since 1970.
        groups: per number one of its accounts; group 0 is the unknown account.
    """

    codes: Codes
    now: int
    boundaries: tuple[int, ...]
    groups: list[Group] = field(default_factory=list)
    _numbers: dict[tuple[int, bytes], int] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Number what is known already; group 0 comes first."""
        if not self.groups:
            self.groups.append((self.codes.shape(UNKNOWN_PROFILE, (), ()), (), ()))
        import numpy as np

        for number, (shape, starts, ends) in enumerate(self.groups):
            digits = self._digits(np.array(starts, np.int64), np.array(ends, np.int64))
            self._numbers[shape, digits.tobytes()] = number

    def number(self, shapes: pa.Array, starts: pa.ListArray, ends: pa.ListArray) -> tuple[Numbers, Numbers]:
        """Return, per account, the number of its group, and when that changes next (`NEVER`: it does not).

        Args:
            shapes: per account the number of its shape.
            starts, ends: per account, per event: microseconds since 1970.
        """
        import numpy as np

        shape = shapes.to_numpy(zero_copy_only=False).astype(np.int64)
        offsets = starts.offsets.to_numpy().astype(np.int64)
        began, end = (_values(some) for some in (starts, ends))
        offsets = offsets - offsets[0]
        digits = self._digits(began, end)
        numbers = np.empty(len(shape), np.int64)
        for rows, keys in self._keyed(shape, digits, offsets):
            encoded = keys.dictionary_encode()
            place, known = encoded.indices.to_numpy(), np.empty(len(encoded.dictionary), np.int64)
            example = np.empty(len(known), np.int64)
            example[place[::-1]] = rows[::-1]  # the last one written is the first of its group
            for number, row in enumerate(example):
                events = slice(offsets[row], offsets[row + 1])
                known[number] = self._numbered(int(shape[row]), digits[events], began[events], end[events])
            numbers[rows] = known[place]
        return numbers, self._changes(began, end, offsets)

    def _digits(self, starts: Numbers, ends: Numbers) -> Numbers:
        import numpy as np

        period = np.searchsorted(np.array(self.boundaries, np.int64), starts, side="right")
        digits: Numbers = 4 * period.astype(np.int64) + _BEGUN * (starts <= self.now) + _EXPIRED * (ends <= self.now)
        return digits

    def _keyed(self, shape: Numbers, digits: Numbers, offsets: Numbers) -> Iterator[tuple[Numbers, pa.Array]]:
        """Yield accounts with a key each that tells their groups apart: one number where that holds all digits."""
        import numpy as np
        import pyarrow as pa

        count, base = np.diff(offsets), 4 * (len(self.boundaries) + 1)
        fits = int((62 - log2(max(int(shape.max(initial=0)), 1) + 1)) / log2(base))
        short = count <= fits
        place = np.arange(len(digits)) - np.repeat(offsets[:-1], count)
        weighed = np.where(place < fits, digits * base ** np.minimum(place, max(fits, 0)), 0)
        sums = np.concatenate(([0], np.cumsum(weighed)))  # wraps around and back: differences are exact
        code = sums[offsets[1:]] - sums[offsets[:-1]]
        rows = np.flatnonzero(short)
        if len(rows):
            yield rows, pa.array(shape[rows] * base**fits + code[rows])
        rows = np.flatnonzero(~short)
        if len(rows):
            keys = [shape[row].tobytes() + digits[offsets[row] : offsets[row + 1]].tobytes() for row in rows]
            yield rows, pa.array(keys, pa.large_binary())

    def _numbered(self, shape: int, digits: Numbers, starts: Numbers, ends: Numbers) -> int:
        number = self._numbers.setdefault((shape, digits.tobytes()), len(self.groups))
        if number == len(self.groups):
            self.groups.append((shape, tuple(starts.tolist()), tuple(ends.tolist())))
        return number

    def _changes(self, starts: Numbers, ends: Numbers, offsets: Numbers) -> Numbers:
        """Return when an event of each account next takes effect or expires."""
        import numpy as np

        coming = np.minimum(np.where(starts > self.now, starts, NEVER), np.where(ends > self.now, ends, NEVER))
        changes = np.full(len(offsets) - 1, NEVER, np.int64)
        some = np.flatnonzero(np.diff(offsets))
        if len(some):
            changes[some] = np.minimum.reduceat(coming, offsets[some])
        return changes


def _values(lists: pa.ListArray) -> Numbers:
    import numpy as np

    found: Numbers = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    return found
