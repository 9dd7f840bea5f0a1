"""Reaches the database: engines for SQLite and PostgreSQL, the schema, and what its failures mean for us."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from gate.errors import GateError, InputError, LedgerUnavailable, TamperingFound
from gate.ledger import postgres
from gate.ledger.tables import SCHEMA_VERSION

WAIT = 10.0  # seconds to wait for another writer
_POOL = 16  # connections kept open per process, made as they are needed

_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # erased openings are overwritten, not only unlinked
    "PRAGMA cache_size = -65536",  # KiB
    "PRAGMA temp_store = MEMORY",
)

# What the database says (SQLite's words, PostgreSQL's SQLSTATE), what it means, and what to do next.
_MEANINGS = (
    (("is locked", "55P03"), "is locked by another process", "wait for the other writer, then try again"),
    (("57014",), "did not answer in time", "see what keeps the server busy; statement_timeout may be set in the URL"),
    (("25P03",), "gave up on us: we had been silent for too long", "try again"),
    (("57P01", "57P02", "57P03"), "is being restarted", "try again in a moment"),
    (("53300",), "has no connection left", "let it allow more (max_connections), or run fewer processes"),
    (("is full", "53100"), "has no space left", "free disk space, then try again"),
    (("readonly database", "25006", "42501"), "may not be written", "check owner and mode of the file and its folder"),
    (("unable to open", "disk I/O"), "cannot be opened or written", "check the path, its permissions and the disk"),
    (("no such table", "42P01"), "holds no ledger", "gate db upgrade"),
    (("not a database",), "is not a ledger database", "check GATE_DATABASE_URL"),
    (("malformed", "XX001", "XX002"), "is damaged", "restore it from a backup, then gate ledger verify"),
    (("3D000",), "does not exist", "create the database, then gate db upgrade"),
)
_CONTRADICTIONS = ("append-only", "Could not decode to UTF-8")

_T = TypeVar("_T")


def parse_url(url: str) -> URL:
    """Read a database URL.

    Raises:
        InputError: not a URL of a SQLite file or a PostgreSQL database. The message never repeats the URL.
    """
    hint = "like sqlite:////var/lib/gate/ledger.db or postgresql://gate@host/gate"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InputError("cannot be read", where="database URL", hint=hint) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise InputError("is neither SQLite nor PostgreSQL", where="database URL", hint=hint)
    if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:") or parsed.query:
        raise InputError("must name a SQLite file, without options", where="database URL", hint=hint)
    return parsed


def shown(url: URL) -> str:
    """Return the URL as messages may show it: without user, password and options."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return f"postgresql://{url.host or ''}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def make_engine(url: URL, wait: float) -> Engine:
    """Return an engine that never creates a database and never shows parameters.

    Args:
        url: what `parse_url` returned.
        wait: seconds to wait for another writer.
    """
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, creator=_sqlite_connector(Path(str(url.database)), wait), hide_parameters=True)
        event.listen(engine, "begin", _begin)
        return engine
    try:
        engine = create_engine(
            url, hide_parameters=True, pool_size=_POOL, connect_args=postgres.connect_args(url, wait)
        )
    except ModuleNotFoundError:
        raise LedgerUnavailable(
            "PostgreSQL needs the psycopg driver",
            hint="install airflow-provider-consent-gate[postgres]",
            reason="cannot_decide",
        ) from None
    event.listen(engine, "begin", _begin)
    return engine


def writer(connection: Connection) -> Connection:
    """Prepare a connection for the one writing transaction."""
    return connection.execution_options(gate_begin="BEGIN IMMEDIATE" if _is_sqlite(connection) else "BEGIN")


def take_writer_lock(connection: Connection) -> None:
    """Wait until nobody else writes. SQLite has done so at BEGIN IMMEDIATE; PostgreSQL takes an advisory lock."""
    if not _is_sqlite(connection):
        postgres.take_writer_lock(connection)


def reader(connection: Connection) -> Connection:
    """Prepare a connection for reading one consistent state."""
    begin = "BEGIN" if _is_sqlite(connection) else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    return connection.execution_options(gate_begin=begin)


def at_once(connection: Connection) -> Connection:
    """Prepare a connection for statements of which each sees the newest state and is a transaction of its own."""
    return connection.execution_options(gate_begin=None)


def begun(engine: Engine, mode: Callable[[Connection], Connection]) -> Connection:
    """Return a connection in a transaction; one that broke while nobody used it is replaced."""
    connection = engine.connect()
    try:
        mode(connection).begin()
    except DBAPIError as error:
        connection.close()
        if not error.connection_invalidated:
            raise
        connection = engine.connect()  # the server was restarted; a second failure is no accident
        mode(connection).begin()
    return connection


def asked(engine: Engine, question: Callable[[Connection], _T]) -> _T:
    """Answer a question outside any transaction; it is asked again when its connection broke while nobody used it."""
    try:
        with engine.connect() as connection:
            return question(at_once(connection))
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
    with engine.connect() as connection:
        return question(at_once(connection))


def create_file(url: URL) -> None:
    """Create the SQLite file (mode 0600, its folder 0700) in WAL mode unless it is there.

    Raises:
        LedgerUnavailable: the folder or the file cannot be made.
    """
    path = Path(str(url.database))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise _no_access("created", path, error) from None


def file_exists(url: URL) -> bool:
    """Say whether the SQLite file is there.

    Raises:
        LedgerUnavailable: we may not even look.
    """
    path = Path(str(url.database))
    try:
        return path.is_file()
    except OSError as error:
        raise _no_access("reached", path, error) from None


def use_wal(connection: Connection) -> None:
    """Switch a SQLite database to write-ahead logging, outside any transaction; the file remembers it.

    SQLite does not wait for others here as it does elsewhere, so we do.
    """
    if connection.dialect.name != "sqlite":
        return
    deadline = time.monotonic() + WAIT
    while True:
        try:
            connection.execution_options(gate_begin=None).exec_driver_sql("PRAGMA journal_mode = WAL")
            connection.commit()
        except OperationalError as error:
            connection.rollback()
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def migrate(connection: Connection) -> None:
    """Bring the schema to the newest revision, inside the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    if not _is_sqlite(connection):
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # a large table takes as long as it takes
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    command.upgrade(config, "head")


def check_version(connection: Connection, where: str) -> None:
    """Refuse a database that this version of the code does not understand.

    Raises:
        LedgerUnavailable: never set up, or of another schema version.
    """
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found == SCHEMA_VERSION:
        return
    newer = found is not None and found > SCHEMA_VERSION
    raise LedgerUnavailable(
        f"the ledger's database has schema {found or 'none'}, this program works with {SCHEMA_VERSION}",
        where=where,
        hint="install the newer version of this program" if newer else "gate db upgrade",
        reason="cannot_decide",
    )


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn the database's failures into ours: no traceback, no parameters, no passwords.

    Raises:
        LedgerUnavailable: locked, full, read-only, unreachable, damaged or not a ledger.
        TamperingFound: the database refused an entry because the record contradicts itself.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise _explained(error, where) from None


def _explained(error: SQLAlchemyError, where: str) -> GateError:
    original = error.orig if isinstance(error, DBAPIError) else None
    said = f"{getattr(original, 'sqlstate', None) or ''} {original or ''}"
    if isinstance(error, IntegrityError) or any(words in said for words in _CONTRADICTIONS):
        return TamperingFound("the ledger contradicts itself", where=where, hint="gate ledger verify")
    for words, meaning, hint in _MEANINGS:
        if any(word in said for word in words):
            return LedgerUnavailable(f"the ledger's database {meaning}", where=where, hint=hint, reason="cannot_decide")
    if isinstance(error, ProgrammingError) and original is None:
        raise error
    kind = type(original or error).__name__
    return LedgerUnavailable(
        f"the ledger's database cannot be used ({kind})",
        where=where,
        hint="check GATE_DATABASE_URL and that the database server runs",
        reason="cannot_decide",
    )


def _no_access(what: str, path: Path, error: OSError) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"the ledger's database cannot be {what}: {error.strerror}",
        where=str(path),
        hint="check the path and its permissions",
        reason="cannot_decide",
    )


def _sqlite_connector(path: Path, wait: float) -> Callable[[], sqlite3.Connection]:
    uri = f"file:{quote(str(path.absolute()))}?mode=rw"  # rw: never create

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, timeout=wait, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    return connect


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _begin(connection: Connection) -> None:
    if begin := connection.get_execution_options().get("gate_begin", "BEGIN"):
        connection.exec_driver_sql(begin)
