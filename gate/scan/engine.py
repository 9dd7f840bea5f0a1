"""DuckDB for one scan: a private connection, SQL quoting, and its errors in our words without the data in them."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gate.domain.dataset import Dataset
from gate.errors import CannotDecide, DatasetError, InputError
from gate.scan.location import FileRef, filesystem

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

MEMORY = "GATE_SCAN_MEMORY"

_AMOUNT = re.compile(r"\d{1,6}(\.\d{1,3})?\s*[KMGT]i?B", re.IGNORECASE)
_GLOB = re.compile(r"[*?\[]")
_FILE = re.compile(r'file "([^"\n]+)"|file = (\S[^\n]*)|stream: (\S[^\n]*)')
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_FIELDS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_HINT = "repair the file or write it again"


@contextmanager
def engine() -> Iterator[Backend]:
    """Connect to a DuckDB in memory that loads no extension and spills into a private temporary folder.

    It takes as much memory as `GATE_SCAN_MEMORY` says (like `2GB`), else up to 80 % of the machine's.

    Raises:
        InputError: that is not an amount of memory.
    """
    import ibis

    limit = {"memory_limit": amount} if (amount := memory_limit(os.environ.get(MEMORY))) else {}
    with tempfile.TemporaryDirectory(prefix="gate-scan-") as spill:
        con = ibis.duckdb.connect(
            temp_directory=os.path.join(spill, "duckdb"),  # noqa: PTH118 DuckDB wants text
            autoinstall_known_extensions=False,
            autoload_known_extensions=False,
            **limit,
        )
        con.raw_sql("SET enable_progress_bar_print = false")  # on stdout, it would be, in a notebook say
        try:
            yield con
        finally:
            con.disconnect()


def memory_limit(text: str | None) -> str | None:
    """Return an amount of memory as DuckDB reads it; `None` for none.

    Raises:
        InputError: it is none.
    """
    if not text or not text.strip():
        return None
    if not _AMOUNT.fullmatch(text.strip()):
        raise InputError(f"{text[:40]!r} is not an amount of memory", where=MEMORY, hint="like 2GB or 1500MB")
    return text.strip()


@contextmanager
def reading(dataset: Dataset) -> Iterator[None]:
    """Turn DuckDB's errors into DatasetErrors that name file and line but never quote a value.

    Raises:
        DatasetError: the data cannot be parsed.
        CannotDecide: not enough memory.
    """
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException:
        hint = f"give it more memory ({MEMORY}), or scan it on a larger machine"
        raise CannotDecide("ran out of memory", where=dataset.uri, hint=hint) from None
    except duckdb.Error as error:
        named = _FILE.search(text := str(error))
        path = named[named.lastindex or 0] if named else dataset.uri
        raise DatasetError(_what(text.replace(path, "")), where=Path(path).name, hint=_HINT) from None


def arrow_batches(query: str, con: Backend, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield what a query finds, about so many rows at a time; within `reading`, which tells what is wrong with a row.

    Raises:
        duckdb.Error: where Arrow's reader hides it in an error of its own.
    """
    import duckdb
    import pyarrow as pa

    try:
        yield from con.con.sql(query).to_arrow_reader(rows)  # Ibis 12 asks DuckDB 2 for an old name
    except (OSError, pa.ArrowException) as error:
        raise duckdb.Error(str(error)) from None


def literal(text: str) -> str:
    """Return `text` as a SQL string."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return `name` as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def file_list(files: Iterable[FileRef], con: Backend) -> str:
    """Return a SQL list of the files that matches each by its name alone, and let `con` open remote ones."""
    files = tuple(files)
    if remote := next((file for file in files if not file.is_local), None):
        fs, _ = filesystem(remote.url)
        protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
        if not protocols & set(con.con.list_filesystems()):
            con.register_filesystem(fs)
    return "[" + ", ".join(literal(_GLOB.sub(lambda char: f"[{char[0]}]", file.url)) for file in files) + "]"


def _what(message: str) -> str:
    at = f"line {line[1]} " if (line := _LINE.search(message)) else ""
    if fields := _FIELDS.search(message):
        return f"{at}has {fields[2]} fields where the header has {fields[1]}"
    lowered = message.lower()
    for sign, meaning in (
        ("unterminated quote", "opens a quote that is never closed"),
        ("utf-8", "is not UTF-8 text"),
        ("unicode", "is not UTF-8 text"),
        ("string encoding", "holds text that is not UTF-8"),
        ("duplicate key", "holds a record that names a field twice"),
        ("malformed json", "holds a line that is not JSON"),
        ("json", "holds a record of another shape than the others"),
        ("gzip", "is truncated or damaged gzip"),
        ("maximum line size", "holds a line that is too long"),
        ("csv", "cannot be parsed as CSV"),
    ):
        if sign in lowered:
            return at + meaning
    return "cannot be read: it is truncated, damaged or of a kind we do not read"
