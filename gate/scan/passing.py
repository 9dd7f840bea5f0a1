"""Says of each row whether all its accounts pass: what may stay in a consented subset."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gate.scan.coverage import UNKNOWN_GROUP
from gate.scan.snapshot import SnapshotFiles, read_snapshot

if TYPE_CHECKING:
    import pyarrow as pa

_BLANK = " \t\n\r\v\f"


@dataclass(frozen=True, slots=True)
class Passing:
    """Accounts that pass: those in `named`, or all but those when `inverted`."""

    named: pa.Array
    inverted: bool

    def mask(self, accounts: pa.Array) -> pa.Array:
        """Return, per row, whether it names an account and all it names pass.

        Args:
            accounts: text, integers, or lists of them.
        """
        import pyarrow.compute as pc
        from pyarrow import types

        kind = accounts.type
        if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
            return self._each(accounts)
        fails = pc.unique(pc.list_parent_indices(accounts).filter(pc.invert(self._each(pc.list_flatten(accounts)))))
        rows = _numbers(len(accounts), fails.type)
        some = pc.fill_null(pc.greater(pc.list_value_length(accounts), 0), False)
        return pc.and_(some, pc.invert(pc.is_in(rows, value_set=fails)))

    def _each(self, accounts: pa.Array) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        text = accounts.cast(pa.string())
        member = pc.is_in(text, value_set=self.named)
        passes = pc.invert(member) if self.inverted else member
        return pc.and_(passes, has_text(text))


def has_text(values: pa.Array) -> pa.Array:
    """Return, per value, whether it is neither null nor blank."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim(values.cast(pa.string()), characters=_BLANK)
    return pc.fill_null(pc.not_equal(trimmed, ""), False)


def read_passing(snapshot: SnapshotFiles, groups: Collection[int]) -> Passing:
    """Read from a consent snapshot who passes; an account in a passing group and in another one does not.

    Raises:
        CannotDecide: the snapshot cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    inverted = UNKNOWN_GROUP in groups
    table = read_snapshot(snapshot)
    accounts = table["account_id"].combine_chunks()
    passes = pc.is_in(table["group"].combine_chunks(), value_set=pa.array(sorted(groups), pa.int64()))
    blocked = accounts.filter(pc.invert(passes))
    if inverted:
        return Passing(blocked, inverted)
    named = accounts.filter(passes)
    return Passing(named.filter(pc.invert(pc.is_in(named, value_set=blocked))), inverted)


def _numbers(count: int, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    return pa.array(range(count), kind)
