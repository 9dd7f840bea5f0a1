"""The mirror: one row per account of the ledger in Parquet, brought up to date by the accounts that were touched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate.errors import InputError
from gate.ledger.mirror import files
from gate.ledger.mirror.accounts import Coder, Row
from gate.ledger.mirror.coding import Codes
from gate.ledger.mirror.files import Layer, Unusable
from gate.ledger.reading import Reader, TreeHead
from gate.ledger.state import touched_since

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "mirror"
_BATCH = 100_000  # accounts in memory at once while they are read from the ledger
_READ = 500_000  # accounts in memory at once while they are read from the mirror
_LARGE = 20  # a delta of more than one in so many accounts becomes part of a new base …
_SMALL = 20_000  # … unless it is smaller than this


@dataclass(frozen=True, slots=True)
class Mirror:
    """Accounts at one state of the ledger.

    Attributes:
        head: the state.
        layers: base and, after it, what takes the place of some of its accounts; checked files of `folder`.
        codes: what the shapes stand for.
    """

    folder: Path
    head: TreeHead
    layers: tuple[Layer, ...]
    codes: Codes

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield account_id, shape, starts, ends and strangers of every account once."""
        from pyarrow import parquet

        names = ["account_id", "shape", "starts", "ends", "strangers"]
        base, *newer = [self.folder / layer.name for layer in self.layers]
        deltas = [parquet.read_table(path, columns=names) for path in newer]
        for delta in deltas:
            yield from delta.combine_chunks().to_batches()
        with parquet.ParquetFile(base) as file:
            for batch in file.iter_batches(_READ, columns=names):
                kept = batch
                for delta in deltas:
                    kept = files.without(kept, "account_id", delta["account_id"])
                if kept.num_rows:
                    yield kept


def current_mirror(reader: Reader, folder: Path) -> Mirror:
    """Return the mirror of the ledger as `reader` sees it: the kept one, brought up to date, or a new one.

    Args:
        reader: the ledger.
        folder: where it is kept; created if it is not there.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for _, said in files.manifests(folder, NAME):
        try:
            if continues(reader, said):
                return _extended(reader, _opened(folder, said))
        except (Unusable, *DAMAGED):
            continue
    codes = Codes()
    layer = _written(folder, codes, Coder(reader, codes).everybody(), (0, 0))
    return _kept(reader, folder, (layer,), codes)


DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, InputError)  # what a damaged file may lead to


def continues(reader: Reader, said: dict[str, Any]) -> bool:
    """Whether the ledger is the one a manifest was made from, nothing was erased since, and it only grew."""
    head = TreeHead(said["size"], bytes.fromhex(said["root"]))
    same = (said["origin"], said["erased"]) == (reader.origin, reader.erased())
    return same and head.size <= reader.size and (head.size == 0 or reader.had(head))


def state_of(reader: Reader) -> dict[str, Any]:
    """Return what `continues` compares."""
    head = reader.head()
    return {"origin": reader.origin, "size": head.size, "root": head.root.hex(), "erased": reader.erased()}


def touched_accounts(reader: Reader, size: int, strangers: Iterable[tuple[str, Collection[str]]]) -> set[str]:
    """Return references of the accounts of which something else is known since the ledger held `size` entries.

    Args:
        strangers: account and people who spoke for it without being its admin; only asked for if somebody was
            appointed or removed since, for then what counts elsewhere may count here.
    """
    touched = touched_since(reader, size)
    refs = set(touched.accounts)
    if touched.persons:
        for ref, people in strangers:
            if not touched.persons.isdisjoint(people):
                refs.add(ref)
    return refs


def schema() -> pa.Schema:
    """Return the columns of a layer of the mirror."""
    import pyarrow as pa

    times = pa.list_(pa.int64())
    columns = {"ref": pa.string(), "account_id": pa.string(), "shape": pa.int32(), "starts": times, "ends": times}
    return pa.schema({**columns, "strangers": pa.list_(pa.string())})


def table_of(rows: Iterable[Row]) -> pa.Table:
    """Return accounts as a table."""
    import pyarrow as pa

    rows, kinds = list(rows), schema()
    return pa.table({name: pa.array([getattr(r, name) for r in rows], kinds.field(name).type) for name in kinds.names})


def _opened(folder: Path, said: dict[str, Any]) -> Mirror:
    layers = tuple(Layer(**layer) for layer in said["layers"])
    codes = Codes()
    for layer in layers:
        codes.add_json(files.said_in(files.checked(folder, layer)))
    return Mirror(folder, TreeHead(said["size"], bytes.fromhex(said["root"])), layers, codes)


def _extended(reader: Reader, mirror: Mirror) -> Mirror:
    if mirror.head == reader.head():
        return mirror
    from pyarrow import parquet

    base, *newer = mirror.layers
    before = (len(mirror.codes.terms), len(mirror.codes.shapes))
    if newer:  # what the delta says is said again by the new one
        known = Codes()
        known.add_json(files.said_in(mirror.folder / base.name))
        before = (len(known.terms), len(known.shapes))
    refs = touched_accounts(reader, mirror.head.size, _strangers(mirror))
    rows = list(Coder(reader, mirror.codes).these(refs))
    if not refs:
        return _kept(reader, mirror.folder, mirror.layers, mirror.codes)
    for layer in newer:
        old = parquet.read_table(mirror.folder / layer.name).to_pylist()
        rows += [_row(said) for said in old if said["ref"] not in refs]
    if len(rows) > max(_SMALL, base.rows // _LARGE):
        return _merged(reader, mirror, rows)
    delta = _written(mirror.folder, mirror.codes, iter(rows), before)
    return _kept(reader, mirror.folder, (base, delta), mirror.codes)


def _merged(reader: Reader, mirror: Mirror, rows: list[Row]) -> Mirror:
    """Write a new base with these accounts in the place of older ones."""
    import pyarrow as pa
    from pyarrow import parquet

    newer = table_of(rows)

    def batches() -> Iterator[pa.Table]:
        with parquet.ParquetFile(mirror.folder / mirror.layers[0].name) as file:
            for batch in file.iter_batches(_READ):
                yield files.without(pa.table(batch), "ref", newer["ref"]).cast(schema())
        yield newer

    layer = files.write_layer(mirror.folder, NAME, schema(), batches(), mirror.codes.to_json)
    return _kept(reader, mirror.folder, (layer,), mirror.codes)


def _written(folder: Path, codes: Codes, rows: Iterator[Row], before: tuple[int, int]) -> Layer:
    def batches() -> Iterator[pa.Table]:
        while some := list(islice(rows, _BATCH)):
            yield table_of(some)

    return files.write_layer(folder, NAME, schema(), batches(), lambda: codes.to_json(*before))


def _kept(reader: Reader, folder: Path, layers: tuple[Layer, ...], codes: Codes) -> Mirror:
    said = {**state_of(reader), "layers": [asdict(layer) for layer in layers]}
    files.write_manifest(folder, NAME, reader.size, said)
    return Mirror(folder, reader.head(), layers, codes)


def _strangers(mirror: Mirror) -> Iterator[tuple[str, list[str]]]:
    import pyarrow.compute as pc
    from pyarrow import parquet

    for layer in mirror.layers:
        table = parquet.read_table(mirror.folder / layer.name, columns=["ref", "strangers"])
        some = table.filter(pc.greater(pc.list_value_length(table["strangers"]), 0))
        yield from zip(some["ref"].to_pylist(), some["strangers"].to_pylist(), strict=True)


def _row(said: dict[str, Any]) -> Row:
    times = tuple(said["starts"]), tuple(said["ends"])
    return Row(said["ref"], said["account_id"], said["shape"], *times, tuple(said["strangers"]))
