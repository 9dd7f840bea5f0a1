"""Files that are made once, known by their digest, and put together by a manifest that takes their place at once."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

    Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)

FORMAT = 1  # of manifests and layers; others are made anew. A change of what `coding` tells apart is one of format
_KEPT = 4  # manifests of one name; a reader that began before the newest was made can use an older one
_SPARED = 600  # seconds that a file nobody names is left alone, for it may belong to a manifest that comes
_SAID = b"gate"  # key of what a layer says beside its rows


class Unusable(Exception):
    """A cached file is missing, damaged or of another kind: it is made anew."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A Parquet file: its name in the folder, and the SHA-256 of its bytes."""

    name: str
    sha256: str
    rows: int


def write_layer(folder: Path, kind: str, schema: pa.Schema, batches: Iterable[pa.Table], said: Any) -> Layer:
    """Write rows, and beside them what `said()` returns once all are written.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    from pyarrow import parquet

    handle, name = tempfile.mkstemp(prefix=f"{kind}-", suffix=".tmp", dir=folder)  # mode 0600
    try:
        rows = 0
        with parquet.ParquetWriter(name, schema) as writer:
            for batch in batches:
                rows += batch.num_rows
                writer.write_table(batch)
            writer.add_key_value_metadata({_SAID: said()})
        os.fsync(handle)
        digest = digest_of(Path(name))
        Path(name).replace(folder / f"{kind}-{digest[:32]}.parquet")
    finally:
        os.close(handle)
        Path(name).unlink(missing_ok=True)
    return Layer(f"{kind}-{digest[:32]}.parquet", digest, rows)


def checked(folder: Path, layer: Layer) -> Path:
    """Return a layer's file once its bytes were compared with its digest.

    Raises:
        Unusable: it is not there, or holds other bytes.
    """
    path = folder / layer.name
    try:
        if digest_of(path) == layer.sha256:
            os.utime(path)  # in use: not to be tidied away for a while
            return path
    except OSError:
        pass
    raise Unusable(layer.name)


def said_in(path: Path) -> bytes:
    """Return what a layer says beside its rows."""
    from pyarrow import parquet

    return bytes(parquet.read_metadata(path).metadata[_SAID])


def without(table: Rows, column: str, values: pa.ChunkedArray) -> Rows:
    """Return the rows whose `column` is none of the values: what a newer layer does not replace."""
    import pyarrow.compute as pc

    return table.filter(pc.invert(pc.is_in(table[column], value_set=values)))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, name: str, size: int, said: Mapping[str, Any]) -> None:
    """Make a manifest the newest of its name at this size of the ledger, and drop what nobody names any more.

    Raises:
        OSError: it cannot be written.
    """
    handle, temporary = tempfile.mkstemp(prefix=f"{name}.", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, **said}, file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(folder / f"{name}.{size}.json")
    finally:
        Path(temporary).unlink(missing_ok=True)
    _tidy(folder)


def manifests(folder: Path, name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the manifests of a name, those of the larger ledger first; ones that cannot be read are left out."""
    for path in _by_size(folder, name):
        try:
            said = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(said, dict) and said.get("format") == FORMAT:
            yield path, said


def _by_size(folder: Path, name: str) -> list[Path]:
    paths = [path for path in folder.glob(f"{name}.*.json") if path.name.split(".")[-2].isdigit()]
    return sorted(paths, key=lambda path: int(path.name.split(".")[-2]), reverse=True)


def _tidy(folder: Path) -> None:
    """Remove old manifests, and layers and unfinished files that no manifest names, unless they are new."""
    names = {path.name.rsplit(".", 2)[0] for path in folder.glob("*.json")}
    for name in names:
        for path in _by_size(folder, name)[_KEPT:]:
            path.unlink(missing_ok=True)
    named = {layer["name"] for name in names for _, said in manifests(folder, name) for layer in said["layers"]}
    for path in (*folder.glob("*.parquet"), *folder.glob("*.tmp")):
        try:
            if path.name not in named and time.time() - path.stat().st_mtime > _SPARED:
                path.unlink()
        except OSError:  # somebody else removed it
            continue
