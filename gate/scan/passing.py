"""Says of each row whether all its accounts pass: what may stay in a consented subset."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from gate.scan.coverage import UNKNOWN_GROUP
from gate.scan.pseudonyms import hashed, sql_hashed
from gate.scan.snapshot import SnapshotFiles, read_snapshot, snapshot_query

if TYPE_CHECKING:
    import pyarrow as pa

_BLANK = " \t\n\r\v\f"


@dataclass
class Passing:
    """Accounts that pass, as a consent snapshot says: those in `named`, or all but those when `inverted`.

    An account that the snapshot has in a passing group and in another one does not pass.

    Attributes:
        snapshot: see `gate.scan.snapshot`.
        groups: those that pass; 0 is the accounts that are not in the snapshot.
        key: the snapshot names accounts by their `pseudonyms.hashed` under it.
    """

    snapshot: SnapshotFiles
    groups: Collection[int]
    key: bytes | None = None

    @property
    def inverted(self) -> bool:
        """Whether those pass who are not named."""
        return UNKNOWN_GROUP in self.groups

    @cached_property
    def named(self) -> pa.Array:
        """The accounts that are named, as text.

        Raises:
            CannotDecide: the snapshot cannot be read.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        table = read_snapshot(self.snapshot)
        accounts, group = table["account_id"].combine_chunks(), table["group"].combine_chunks()
        passes = pc.is_in(group, value_set=pa.array(sorted(self.groups), pa.int64()))
        blocked = accounts.filter(pc.invert(passes))
        if self.inverted:
            return blocked
        named = accounts.filter(passes)
        return named.filter(pc.invert(pc.is_in(named, value_set=blocked)))

    def query(self) -> str:
        """Return SQL for what `named` says: one column, `name`, without blank ones."""
        groups = ", ".join(map(str, sorted({*map(int, self.groups)}))) or "NULL"
        passes = f'coalesce("group" IN ({groups}), false)'
        told = (
            f"SELECT account_id AS name, bool_and({passes}) AS passes FROM ({snapshot_query(self.snapshot)}) GROUP BY 1"  # noqa: S608
        )
        return f"SELECT name FROM ({told}) WHERE {'NOT ' if self.inverted else ''}passes AND {sql_text('name')}"  # noqa: S608

    def sql_name(self, account: str) -> str:
        """Return SQL for the name that an account (SQL for a text) has among `named`."""
        return account if self.key is None else sql_hashed(account, self.key)

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
        member = pc.is_in(text if self.key is None else hashed(text, self.key), value_set=self.named)
        passes = pc.invert(member) if self.inverted else member
        return pc.and_(passes, has_text(text))


def has_text(values: pa.Array) -> pa.Array:
    """Return, per value, whether it is neither null nor blank."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim(values.cast(pa.string()), characters=_BLANK)
    return pc.fill_null(pc.not_equal(trimmed, ""), False)


def sql_text(expression: str) -> str:
    """Return the SQL condition that a text is neither null nor blank; only what sorts before `!` is trimmed to see."""
    blank = " || ".join(f"chr({ord(character)})" for character in _BLANK)
    return f"coalesce({expression} >= '!' OR trim({expression}, {blank}) <> '', false)"


def _numbers(count: int, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    return pa.array(range(count), kind)
