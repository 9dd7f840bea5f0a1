"""The consent snapshot: every account's group in Parquet, with an example's facts per group; kept and kept up to date.

Made from the mirror (`gate.ledger.mirror`) when there is none that fits, and from the accounts that were touched since
when there is one. It holds until the next instant at which an event of any account takes effect or expires.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate.domain.canonical import sha256_hex
from gate.domain.decision import AccountFacts
from gate.errors import LedgerUnavailable
from gate.ledger.mirror import files
from gate.ledger.mirror.accounts import Coder
from gate.ledger.mirror.coding import NEVER, Codes, instant_of, microseconds
from gate.ledger.mirror.files import Layer, Unusable
from gate.ledger.mirror.grouping import Groups
from gate.ledger.mirror.mirror import DAMAGED, continues, current_mirror, state_of, table_of, touched_accounts
from gate.ledger.reading import Reader
from gate.ledger.records import ACCOUNT

if TYPE_CHECKING:
    import pyarrow as pa

_LARGE, _SMALL = 20, 20_000  # a delta of more than one in so many accounts, and of more than so many, is made anew


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Who stands where at one state of the ledger and one instant.

    Attributes:
        paths: Parquet with `account_id` (string), `group` (int32) and `changes_at` (timestamp, null: never), when an
            event of the account next takes effect or expires. A file takes the place of accounts of those before it;
            accounts in none are in group 0, that of the unknown account.
        size, root: the state of the ledger.
        as_of: the instant.
        valid_until: the next instant at which some event takes effect or expires; `None` if there is none.
        count: how many groups there are.
    """

    paths: tuple[Path, ...]
    size: int
    root: bytes
    as_of: datetime
    valid_until: datetime | None
    _groups: Groups

    @property
    def count(self) -> int:
        """How many groups there are."""
        return len(self._groups.groups)

    def facts(self, group: int) -> AccountFacts:
        """Return facts that no policy with these boundaries can tell from those of the group's accounts."""
        return self._groups.codes.facts(*self._groups.groups[group])


def current_snapshot(
    reader: Reader, now: datetime, boundaries: Collection[datetime], folder: Path, scratch: Path | None = None
) -> Snapshot:
    """Return the snapshot of the ledger as `reader` sees it.

    Args:
        reader: the ledger.
        now: the instant to decide for.
        boundaries: the instants a policy compares `effective_at` with (when terms came into force).
        folder: where snapshots are kept, readable by the owner only; what is there is used as far as it is whole and
            belongs to this ledger, and may be removed at any time.
        scratch: where to make one if `folder` cannot be written.

    Raises:
        LedgerUnavailable: it can be written nowhere.
    """
    periods = tuple(sorted({microseconds(boundary) for boundary in boundaries}))
    try:
        return _current(reader, now, periods, folder)
    except OSError as error:
        if scratch is None or scratch == folder:
            raise LedgerUnavailable(
                f"the consent snapshot cannot be written: {error.strerror or error}",
                where=str(folder),
                hint="check the folder and its free space",
                reason="cannot_decide",
            ) from None
    return current_snapshot(reader, now, boundaries, scratch)


def next_change(snapshot: Snapshot, accounts: Collection[str]) -> datetime | None:
    """Return when an event of one of these accounts next takes effect or expires, as of the snapshot's instant."""
    if snapshot.valid_until is None:
        return None
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(list(accounts), pa.string())
    changes = [
        pc.min(table["changes_at"].filter(pc.is_in(table["account_id"], value_set=wanted))).as_py()
        for table in _tables(snapshot.paths, ["account_id", "changes_at"])
    ]
    return min((change for change in changes if change is not None), default=None)


def read_groups(snapshot: Snapshot) -> dict[str, int]:
    """Return the group of every account; for small ledgers."""
    tables = _tables(snapshot.paths, ["account_id", "group"])
    return {
        account: group
        for table in tables
        for account, group in zip(table["account_id"].to_pylist(), table["group"].to_pylist(), strict=True)
    }


def _current(reader: Reader, now: datetime, periods: tuple[int, ...], folder: Path) -> Snapshot:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = "snapshot-" + sha256_hex(json.dumps(periods).encode()).removeprefix("sha256:")[:16]
    for _, said in files.manifests(folder, name):
        try:
            if continues(reader, said) and said["as_of"] <= microseconds(now) < said["valid_until"]:
                extended = _extended(reader, now, periods, folder, name, said)
                if extended is None:
                    break  # an older one is further behind
                return extended
        except (Unusable, *DAMAGED):
            continue
    mirror = current_mirror(reader, folder)
    groups = Groups(mirror.codes, microseconds(now), periods)
    until = [NEVER]
    base = files.write_layer(
        folder, name, _schema(), _numbered(mirror.batches(), groups, until), lambda: _said(groups, (0, 0, 0))
    )
    return _kept(reader, now, folder, name, (base,), groups, until[0])


def _extended(
    reader: Reader, now: datetime, periods: tuple[int, ...], folder: Path, name: str, said: dict[str, Any]
) -> Snapshot | None:
    """Bring a kept snapshot up to date; what it says of other accounts holds, for none of their events changed.

    Returns:
        It; `None` when so much changed that it is better made anew.

    Raises:
        Unusable: its files are damaged.
    """
    layers = tuple(Layer(**layer) for layer in said["layers"])
    paths = [files.checked(folder, layer) for layer in layers]
    groups, before = _read_groups(paths, microseconds(now), periods)
    if said["size"] == reader.size:
        return _made(reader, now, folder, layers, groups, said["valid_until"])
    refs = touched_accounts(reader, said["size"], _strangers(reader, paths))
    if not refs:
        return _kept(reader, now, folder, name, layers, groups, said["valid_until"])
    most = max(_SMALL, layers[0].rows // _LARGE)
    if len(refs) > most:
        return None
    rows = table_of(Coder(reader, groups.codes).these(refs))
    until = [int(said["valid_until"])]
    tables = list(_numbered(iter(rows.to_batches()), groups, until))
    tables += _rest_of_delta(paths, rows["account_id"])
    if sum(table.num_rows for table in tables) > most:
        return None
    delta = files.write_layer(folder, name, _schema(), tables, lambda: _said(groups, before))
    return _kept(reader, now, folder, name, (layers[0], delta), groups, until[0])


def _rest_of_delta(paths: Sequence[Path], replaced: pa.ChunkedArray) -> Iterator[pa.Table]:
    from pyarrow import parquet

    for path in paths[1:]:
        yield files.without(parquet.read_table(path, schema=_schema()), "account_id", replaced)


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        {
            "account_id": pa.string(),
            "group": pa.int32(),
            "changes_at": pa.timestamp("us", tz="UTC"),
            "strangers": pa.list_(pa.string()),
        }
    )


def _numbered(batches: Iterator[pa.RecordBatch], groups: Groups, until: list[int]) -> Iterator[pa.Table]:
    """Yield the snapshot's rows; `until` becomes the first of all changes."""
    import numpy as np
    import pyarrow as pa

    for batch in batches:
        numbers, changes = groups.number(batch["shape"], batch["starts"], batch["ends"])
        until[0] = min(until[0], int(changes.min(initial=NEVER)))
        instants = pa.array(np.where(changes == NEVER, 0, changes), mask=changes == NEVER)
        columns = [batch["account_id"], pa.array(numbers), instants, batch["strangers"]]
        yield pa.table([column.cast(kind) for column, kind in zip(columns, _schema().types, strict=True)], _schema())


def _said(groups: Groups, before: tuple[int, int, int]) -> bytes:
    """Write down what came to terms, shapes and groups since there were so many of each."""
    terms, shapes, some = before
    return json.dumps({"codes": groups.codes.to_json(terms, shapes).decode(), "groups": groups.groups[some:]}).encode()


def _read_groups(paths: Sequence[Path], now: int, periods: tuple[int, ...]) -> tuple[Groups, tuple[int, int, int]]:
    """Return the groups, and how many terms, shapes and groups the base says."""
    codes, examples, before = Codes(), list[Any](), (0, 0, 0)
    for place, path in enumerate(paths):
        said = json.loads(files.said_in(path))
        codes.add_json(said["codes"].encode())
        examples += [(shape, tuple(starts), tuple(ends)) for shape, starts, ends in said["groups"]]
        if place == 0:
            before = (len(codes.terms), len(codes.shapes), len(examples))
    return Groups(codes, now, periods, examples), before


def _strangers(reader: Reader, paths: Sequence[Path]) -> Iterator[tuple[str, list[str]]]:
    import pyarrow.compute as pc

    for table in _tables(paths, ["account_id", "strangers"]):
        some = table.filter(pc.greater(pc.list_value_length(table["strangers"]), 0))
        for account, people in zip(some["account_id"].to_pylist(), some["strangers"].to_pylist(), strict=True):
            ref = reader.ref(ACCOUNT, account)
            if ref is not None:
                yield ref, people


def _tables(paths: Sequence[Path], columns: list[str]) -> Iterator[pa.Table]:
    """Yield base and delta, of the base only what the delta does not replace."""
    from pyarrow import parquet

    tables = [parquet.read_table(path, columns=columns, partitioning=None) for path in paths]
    for place, table in enumerate(tables):
        newer = tables[place + 1]["account_id"] if place + 1 < len(tables) else None
        yield table if newer is None else files.without(table, "account_id", newer)


def _kept(
    reader: Reader,
    now: datetime,
    folder: Path,
    name: str,
    layers: tuple[Layer, ...],
    groups: Groups,
    until: int,
) -> Snapshot:
    said = {"as_of": microseconds(now), "valid_until": until, "layers": [asdict(layer) for layer in layers]}
    files.write_manifest(folder, name, reader.size, {**state_of(reader), **said})
    return _made(reader, now, folder, layers, groups, until)


def _made(
    reader: Reader, now: datetime, folder: Path, layers: tuple[Layer, ...], groups: Groups, until: int
) -> Snapshot:
    head = reader.head()
    paths = tuple(folder / layer.name for layer in layers)
    return Snapshot(paths, head.size, head.root, now, None if until == NEVER else instant_of(until), groups)
