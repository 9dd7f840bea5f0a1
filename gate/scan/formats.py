"""Decides which reader a dataset needs: one kind of table, or plain files that are rows themselves."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from gate.domain.dataset import Dataset
from gate.errors import DatasetError
from gate.scan.location import FileRef, list_files, read_head
from gate.scan.sniff import GZIP, first_line_of, head_of, is_text, media_container

_SNIFFERS = 8  # threads; sniffing waits for storage, not for the processor
_CRC_MAGIC = b"crc\0"  # Hadoop's checksum files


class Format(StrEnum):
    """Tables we read."""

    CSV = "csv"
    JSONL = "jsonl"
    JSON = "json"
    PARQUET = "parquet"


_TEXT_FORMATS = {"csv": Format.CSV, "tsv": Format.CSV, "jsonl": Format.JSONL, "ndjson": Format.JSONL}


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read a dataset.

    Attributes:
        format: of the table, or `None` when each file is one row.
        files: the files that hold data, sorted by path; markers are left out.
        all_files: markers too: everything that belongs to the version.
    """

    dataset: Dataset
    format: Format | None
    files: tuple[FileRef, ...]
    all_files: tuple[FileRef, ...]

    @property
    def kind(self) -> str:
        """`table` or `files`."""
        return "files" if self.format is None else "table"


def detect(dataset: Dataset) -> Layout:
    """Look at every file of the dataset and say how it is read.

    Files of one table format make a table. Anything else makes `files`, unless accounts or categories are in a
    column: then it is an error. Markers hold no data and make no rows: empty files whose name begins with `_` or `.`,
    and Hadoop's `.NAME.crc` beside NAME.

    Raises:
        DatasetError: as `list_files`; or a column is named and the dataset is not one kind of table.
    """
    everything = list_files(dataset)
    names = {file.path for file in everything}
    files = tuple(file for file in everything if not _is_marker(file, names))
    if not any(file.size for file in files):
        raise DatasetError("is empty", where=dataset.uri, hint="an empty dataset cannot be decided about")
    with ThreadPoolExecutor(_SNIFFERS) as pool:
        found = dict(zip(files, pool.map(_format_of, files), strict=True))
    kinds = set(found.values())
    if len(kinds) == 1:
        kind = kinds.pop()
        if kind is None:
            _refuse_columns(dataset, files[0])
        return Layout(dataset, kind, files, everything)
    if _column_named(dataset):
        odd = _odd_one_out(found)
        raise DatasetError(
            f"mixes tables and other files, or tables of several formats: {odd.path!r} is unlike the others",
            where=dataset.uri,
            hint="name a folder or glob with tables of one format, or a path: account locator",
        )
    return Layout(dataset, None, files, everything)


def _column_named(dataset: Dataset) -> bool:
    return dataset.account.kind == "column" or dataset.category_column is not None


def _refuse_columns(dataset: Dataset, file: FileRef) -> None:
    if _column_named(dataset):
        column = dataset.category_column if dataset.account.kind != "column" else dataset.account.value
        raise DatasetError(
            f"has no columns, so no column {column!r}: {file.path!r} is not CSV, JSON records or Parquet",
            where=dataset.uri,
            hint="name the account by path:{account}/* or constant:ACCOUNT",
        )


def _odd_one_out(found: dict[FileRef, Format | None]) -> FileRef:
    kinds = list(found.values())
    return min(found, key=lambda file: (kinds.count(found[file]), file.path))


def _is_marker(file: FileRef, names: set[str]) -> bool:
    folder, slash, name = file.path.rpartition("/")
    if not name.startswith(("_", ".")):
        return False
    if not file.size:
        return True
    beside = folder + slash + name.removeprefix(".").removesuffix(".crc")
    return name.startswith(".") and name.endswith(".crc") and beside in names and read_head(file, 4) == _CRC_MAGIC


def _format_of(file: FileRef) -> Format | None:
    name = file.path.rsplit("/", 1)[-1].lower()
    packed = name.endswith(".gz")
    extension = name.removesuffix(".gz").rpartition(".")[2]
    head = read_head(file, 4)
    if head == b"PAR1":
        return Format.PARQUET
    if head == b"PARE":
        raise DatasetError("is encrypted Parquet", where=file.path, hint="give the gate a readable copy")
    if extension == "parquet":
        raise DatasetError("is named Parquet but does not begin like it", where=file.path, hint="write the file again")
    if extension not in _TEXT_FORMATS and extension != "json":
        return None
    if file.size and packed != head.startswith(GZIP):
        raise DatasetError("its name and its bytes disagree on gzip", where=file.path, hint="end gzip names in .gz")
    content = head_of(file)
    if media_container(content) is not None:
        return None
    if not is_text(content):
        raise DatasetError("is not UTF-8 text", where=file.path, hint="convert the file to UTF-8")
    return _TEXT_FORMATS[extension] if extension in _TEXT_FORMATS else _json_format(file, content)


def _json_format(file: FileRef, content: bytes) -> Format | None:
    """Tell an array of records, records on lines, and one document that is no table (a FHIR bundle, say)."""
    start = content.lstrip()[:1]
    if start == b"[":
        return Format.JSON
    if start != b"{":
        return None
    line = first_line_of(file)
    try:
        json.loads(line)
    except ValueError:
        return None
    return Format.JSONL
