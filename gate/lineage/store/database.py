"""Opens the store's database: a SQLite file of its own, or tables in a PostgreSQL database."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from gate.errors import InputError, LineageUnavailable
from gate.lineage.store import tables

WAIT = 10.0  # seconds to wait for another writer
_WRITER_LOCK = 0x6761_7465_6C69_6E65  # PostgreSQL advisory lock of the one writer: "gateline"
_PRAGMAS = (
    "PRAGMA synchronous = NORMAL",  # in WAL mode: survives a killed process; a power cut loses no order
    "PRAGMA cache_size = -65536",  # KiB
    "PRAGMA temp_store = MEMORY",
)


class LineageStore:
    """An open store. Use it as a context manager.

    Attributes:
        where: how messages call it: no user, no password.
    """

    def __init__(self, url: str, *, wait: float = WAIT) -> None:
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            raise _not_ours() from None
        self._sqlite = parsed.get_backend_name() == "sqlite"
        if self._sqlite:
            if not parsed.database or parsed.database == ":memory:" or parsed.query:
                raise _not_ours()
            self.where = str(parsed.database)
            self.engine = _sqlite_engine(Path(parsed.database), wait)
        elif parsed.get_backend_name() == "postgresql":
            self.where = f"postgresql://{parsed.host or ''}/{parsed.database or ''}"
            settings = {"connect_timeout": max(2, int(wait)), "options": f"-c lock_timeout={int(wait * 1000)}"}
            self.engine = create_engine(
                parsed.set(drivername="postgresql+psycopg"), hide_parameters=True, connect_args=settings
            )
        else:
            raise _not_ours()

    def __enter__(self) -> LineageStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections."""
        self.engine.dispose()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the one writing transaction.

        Raises:
            LineageUnavailable: the database cannot be written.
        """
        with translated(self.where), self.engine.connect() as connection:
            begin = "BEGIN IMMEDIATE" if self._sqlite else "BEGIN"
            with connection.execution_options(gate_begin=begin).begin():
                if not self._sqlite:
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})"))
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open one consistent state for reading.

        Raises:
            LineageUnavailable: the database cannot be read.
        """
        level = None if self._sqlite else "REPEATABLE READ"
        with translated(self.where), self.engine.connect() as connection:
            if level:
                connection = connection.execution_options(isolation_level=level)
            with connection.begin():
                yield connection


def open_store(url: str, *, wait: float = WAIT) -> LineageStore:
    """Open the store, made on first use; an index of another version is made anew from the events.

    Args:
        url: of a SQLite file or a PostgreSQL database.
        wait: seconds to wait for the server, or for another writer.

    Raises:
        InputError: not a URL of a SQLite file or a PostgreSQL database.
        LineageUnavailable: it cannot be opened.
    """
    store = LineageStore(url, wait=wait)
    try:
        with translated(store.where):
            if store._sqlite:
                _create_file(Path(store.where), wait)
            found = _version(store.engine)
        if found != tables.VERSION:
            _set_up(store)
    except BaseException:
        store.close()
        raise
    return store


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table(tables.meta.name):
            return None
        return connection.execute(select(tables.meta.c.value).where(tables.meta.c.key == "version")).scalar()


def _set_up(store: LineageStore) -> None:
    from gate.lineage.store.ingest import index_again

    with store.write() as connection:
        found = None
        if inspect(connection).has_table(tables.meta.name):
            found = connection.execute(select(tables.meta.c.value).where(tables.meta.c.key == "version")).scalar()
        if found == tables.VERSION:
            return  # another process was faster
        index = [tables.node, tables.edge, tables.fact, tables.seen, tables.loose, tables.meta]
        tables.metadata.drop_all(connection, tables=index)
        tables.metadata.create_all(connection)
        connection.execute(tables.meta.insert().values(key="version", value=tables.VERSION))
        index_again(connection)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn the database's failures into ours.

    Raises:
        LineageUnavailable: whatever failed; the message quotes neither parameters nor addresses.
    """
    try:
        yield
    except SQLAlchemyError as error:
        kind = type(getattr(error, "orig", None) or error).__name__
        said = "is locked by another process" if "locked" in str(error) or "55P03" in str(error) else "cannot be used"
        raise LineageUnavailable(
            f"the lineage store {said} ({kind})", where=where, hint="check GATE_LINEAGE_URL, the disk and the server"
        ) from None


def _not_ours() -> InputError:
    return InputError(
        "is neither a SQLite file nor a PostgreSQL database",
        where="GATE_LINEAGE_URL",
        hint="like sqlite:////var/lib/gate/lineage.db or postgresql://gate@host/gate",
    )


def _create_file(path: Path, wait: float) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with sqlite3.connect(path, timeout=wait) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
    except (OSError, sqlite3.Error) as error:
        raise LineageUnavailable(
            f"the lineage store cannot be made: {error}", where=str(path), hint="check the path and its permissions"
        ) from None


def _sqlite_engine(path: Path, wait: float) -> Engine:
    uri = f"file:{quote(str(path.absolute()))}?mode=rw"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, timeout=wait, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        return connection

    # Of a URL without a file SQLAlchemy would pool as for one in memory: it closes connections that others are using.
    engine = create_engine("sqlite://", creator=connect, hide_parameters=True, poolclass=QueuePool)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("gate_begin", "BEGIN"))
