"""Reads samples of the tables of an SQLite database, without running anything that is written in it."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from gate.scan.detect.blob import Blob
from gate.scan.detect.budget import Budget
from gate.scan.detect.model import Content
from gate.scan.detect.trees import COLUMNS, tables_of_all

_TABLES = 60
_ROWS = 300
_COPIED = 64 << 20  # bytes of a database that is no local file
_STEPS = 10_000  # SQLite's instructions between two looks at the clock


def read_sqlite(blob: Blob, budget: Budget) -> Content:
    """Return samples of the database's tables."""
    content = Content("sqlite")
    with tempfile.TemporaryDirectory(prefix="gate-detect-") as folder:
        path = _path(blob, Path(folder))
        if not blob.whole or (path.parent == Path(folder) and blob.size > _COPIED):
            content.notes.append("only a part of the database was there to look at")
            content.understood = False
        try:
            _read(path, content, budget)
        except (sqlite3.Error, UnicodeDecodeError, OverflowError, ValueError) as error:
            content.understood = False
            content.notes.append(f"cannot be read as a database: {type(error).__name__}")
    return content


def _path(blob: Blob, folder: Path) -> Path:
    """Return where the database can be opened: itself when local, else a copy."""
    with blob.opener() as handle:
        name = getattr(handle, "fileno", None)
        try:
            local = Path(f"/proc/self/fd/{handle.fileno()}").resolve() if name else None
        except OSError:
            local = None
        if local is not None and local.is_file():
            return local
        copy = folder / "database"
        copy.write_bytes(handle.read(_COPIED))
        return copy


def _read(path: Path, content: Content, budget: Budget) -> None:
    # immutable: neither a lock nor a write-ahead log is made or read beside the file
    uri = f"{path.as_uri()}?mode=ro&immutable=1"
    with sqlite3.connect(uri, uri=True) as con:
        con.set_progress_handler(lambda: budget.spent, _STEPS)
        con.text_factory = lambda raw: raw.decode("utf-8", "replace")
        names = [name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        names = [name for name in names if not name.startswith(("sqlite_", "android_metadata"))]
        if len(names) > _TABLES:
            content.notes.append(f"{_TABLES} of {len(names)} tables were looked at")
        tables = []
        for name in names[:_TABLES]:
            tables += [_placed(one, name) for one in tables_of_all(_rows(con, name))[0]]
        content.tables = tables
    con.close()


def _placed(table: Any, name: str) -> Any:
    from dataclasses import replace

    return replace(table, where=f"table {name}" + (f" {table.where}" if table.where else ""))


def _rows(con: sqlite3.Connection, name: str) -> list[dict[str, Any]]:
    """Return the first and, where rows have numbers, some of the last rows of a table."""
    quoted = '"' + name.replace('"', '""') + '"'
    cursor = con.execute(f"SELECT * FROM {quoted} LIMIT {_ROWS}")  # noqa: S608 quoted
    columns = [one[0] for one in cursor.description][:COLUMNS]
    rows = cursor.fetchall()
    if len(rows) == _ROWS:
        try:
            last = con.execute(f"SELECT * FROM {quoted} ORDER BY rowid DESC LIMIT {_ROWS // 3}")  # noqa: S608 quoted
            rows += last.fetchall()
        except sqlite3.Error:  # a view of another kind, a table without rowid
            pass
    return [dict(zip(columns, row, strict=False)) for row in rows]
