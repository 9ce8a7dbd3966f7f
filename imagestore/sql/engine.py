"""Engines as the store needs them, and the little that differs between SQLite and PostgreSQL.

SQLite: the driver sends no BEGIN of its own. A hook sends it: plain, or IMMEDIATE where the execution option `BEGIN` says so, which
all writes of a store do, because a read transaction that becomes a write fails at once when another writer was quicker.
"""

from __future__ import annotations

import functools
import random
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy
from sqlalchemy import URL, Connection, Dialect, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from imagestore.errors import UnusableBindError
from imagestore.sql.driver import run_command

T = TypeVar("T")

BEGIN: Final = "imagestore_begin"
"""The execution option of a SQLAlchemy Connection whose value follows the word BEGIN on SQLite."""

TIMEOUT: Final = 10.0
"""Seconds that a connection to SQLite waits for another one's write."""

_PAUSE: Final = 0.01  # seconds at most between two tries of what does not wait by itself
_LONGEST_TIMEOUT: Final = 2**31 - 1  # milliseconds; SQLite takes more for none at all
_IN_ONE_STATEMENT: Final = 10_000  # parameters: SQLite takes 32,766, PostgreSQL 65,535

_SUPPORTED: Final = {"sqlite": "pysqlite", "postgresql": "psycopg"}
_WRONG_URL: Final = (
    "use 'sqlite:////absolute/path.db', 'sqlite:///relative/path.db' or 'postgresql+psycopg://user@host/database'"
)


def parse_url(url: str | URL) -> URL:
    """The URL of a database as the engines of this package take it.

    ``postgresql://`` means psycopg; a memory URL of SQLite becomes a database in memory that all threads of the process share.

    Raises:
        UnusableBindError: it is no URL, or one of another database or driver.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter of a port that is no number; both may quote what is a secret
        raise UnusableBindError(f"not a database URL: {_WRONG_URL}") from None
    backend, _, driver = parsed.drivername.partition("+")
    if backend == "postgres":
        raise UnusableBindError(f"unknown database 'postgres': write 'postgresql'; {_WRONG_URL}")
    if backend not in _SUPPORTED or driver not in ("", _SUPPORTED[backend]):
        raise UnusableBindError(f"unsupported database or driver {parsed.drivername!r}: {_WRONG_URL}")
    if any("\0" in part for part in parsed if isinstance(part, str)):  # libpq would take what stands before it
        raise UnusableBindError(f"a database URL has no NUL: {_WRONG_URL}")
    if "@" in (parsed.host or ""):  # what stands before it was meant to be secret, and the resolver would show it
        raise UnusableBindError("the host of a database URL has no '@': write '%40' where a password or a user has one")
    if backend == "sqlite" and (parsed.username or parsed.host or parsed.port):
        raise UnusableBindError(f"an SQLite database has no user and no host: {_WRONG_URL}")
    parsed = parsed.set(drivername=f"{backend}+{_SUPPORTED[backend]}")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        return parsed.set(database=f"file:/imagestore-{secrets.token_hex(16)}", query={"vfs": "memdb", "uri": "true"})
    return parsed


def create_engine(url: str | URL, *, autocommit: bool = False, timeout: float = TIMEOUT) -> Engine:
    """An engine with a pool of its own, configured for a store.

    Args:
        url: as `parse_url` takes it.
        autocommit: for reads: each statement is its own transaction, without a BEGIN and its round trip.
        timeout: seconds that SQLite waits for a lock.

    Raises:
        UnusableBindError: the URL is wrong. Nothing connects yet.
    """
    parsed = parse_url(url)
    options: dict[str, Any] = {"poolclass": QueuePool}
    if autocommit:
        options["isolation_level"] = "AUTOCOMMIT"
    elif parsed.get_backend_name() == "postgresql":
        options["isolation_level"] = "READ COMMITTED"
    if parsed.get_backend_name() == "postgresql":
        # No table of ours has one, and to look the type up takes three round trips.
        options["use_native_hstore"] = False
    try:
        engine = sqlalchemy.create_engine(parsed, **options)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise UnusableBindError(f"no driver for {parsed.drivername!r}: {error}") from error
    except ImportError as error:
        raise UnusableBindError(
            f"psycopg does not load ({error}): install libpq, or the wheel that brings it: pip install '.[binary]' in a clone of imagestore"
        ) from error
    if engine.dialect.name == "sqlite":
        _configure_sqlite(engine, sends_begin=not autocommit, timeout=timeout)
    else:
        event.listen(engine, "connect", _read_binary)
    return engine


def configure(engine: Engine, *, timeout: float = TIMEOUT) -> Engine:
    """Make a host's own SQLite engine fit for ``Store(engine)`` and ``store.joined(connection)``; call it before it connects.

    From then on BEGIN is sent when SQLAlchemy says so (so that a rollback takes back what was done in savepoints), foreign keys are
    enforced, a lock is waited for, and the journal is a WAL with every commit synced. An engine on PostgreSQL needs nothing and is
    left as it is.

    Returns:
        The same engine.
    """
    if engine.dialect.name == "sqlite":
        _configure_sqlite(engine, sends_begin=True, timeout=timeout)
    return engine


def refuse_schema(dialect: Dialect, schema: str | None) -> None:
    """Make sure that there can be such a schema.

    Raises:
        UnusableBindError: one is named, and the database is SQLite.
    """
    if schema is not None and dialect.name == "sqlite":
        raise UnusableBindError(f"SQLite has no schemas: leave out schema={schema!r}, or use PostgreSQL")


def is_missing_file(url: URL) -> bool:
    """Whether this is an SQLite file that does not exist; to connect would create it."""
    return url.get_backend_name() == "sqlite" and not url.query.get("uri") and not Path(url.database or "").exists()


def pieces(values: Sequence[T], size: int = _IN_ONE_STATEMENT) -> Iterator[Sequence[T]]:
    """The values in pieces, each as many as one IN list may have."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def begin_immediate(connection: Connection) -> None:
    """Take the write lock in the transaction that has just begun, on an engine that `configure` has not seen (SQLite)."""
    if connection.dialect.name == "sqlite" and not in_transaction(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def in_transaction(connection: Connection) -> bool:
    """Whether the driver's connection is in a transaction that a rollback would undo, or will be with its next statement."""
    driver_connection: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        return bool(driver_connection.in_transaction)
    return connection.in_transaction() and not driver_connection.autocommit


def is_autocommit(connection: Connection) -> bool:
    """Whether the driver commits each statement by itself, or (SQLite since Python 3.12) never does what SQLAlchemy's commit asks."""
    return getattr(connection.connection.dbapi_connection, "autocommit", False) is True


def begin_snapshot(connection: Connection) -> None:
    """Begin, on a connection of an autocommit engine or in a transaction that has just begun, one that sees a single state."""
    if connection.dialect.name == "sqlite":
        if not in_transaction(connection):
            connection.exec_driver_sql("BEGIN")
    elif in_transaction(connection):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    else:
        connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


@contextmanager
def reading_text(connection: Connection) -> Iterator[None]:
    """Fetch rows as text for a while: SQLAlchemy's reflection does not know the catalog's binary vectors."""
    driver_connection: Any = connection.connection.dbapi_connection
    binary = getattr(driver_connection, "cursor_factory", None)
    if connection.dialect.name != "postgresql" or binary is not _binary_cursor():
        yield
        return
    driver_connection.cursor_factory = binary.__base__
    try:
        yield
    finally:
        driver_connection.cursor_factory = binary


def enforces_foreign_keys(connection: Connection) -> bool:
    """Whether a row that names a missing one is refused: always on PostgreSQL, by a pragma of each connection on SQLite."""
    if connection.dialect.name != "sqlite":
        return True
    return bool(connection.exec_driver_sql("PRAGMA foreign_keys").scalar())


def _configure_sqlite(engine: Engine, *, sends_begin: bool, timeout: float) -> None:
    @event.listens_for(engine, "connect")
    def set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        # The timeout comes first: switching to WAL takes a lock that another process may hold.
        connection.execute(f"PRAGMA busy_timeout = {min(round(timeout * 1000), _LONGEST_TIMEOUT)}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        _switch_to_wal(connection, timeout)

    if sends_begin and not event.contains(engine, "begin", _send_begin):  # an engine may be configured twice
        event.listen(engine, "begin", _send_begin)


def _switch_to_wal(connection: sqlite3.Connection, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            primary = error.sqlite_errorcode & 0xFF
            if primary == sqlite3.SQLITE_READONLY:
                return  # a read-only file keeps its journal mode, and is good for reading
            if primary != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            # Of several that switch one new file, SQLite lets one wait for its lock and fails the others, whatever their timeout.
            time.sleep(random.uniform(0, _PAUSE))
        else:
            return


def _send_begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get(BEGIN, "")
    run_command(connection, f"BEGIN {mode}".rstrip())


def _read_binary(connection: Any, _record: object) -> None:
    """Let psycopg fetch rows in PostgreSQL's binary format: a BYTEA of a megabyte comes four times as fast."""
    connection.cursor_factory = _binary_cursor()


@functools.cache
def _binary_cursor() -> type[Any]:
    import psycopg  # when the first connection to PostgreSQL is made, and not before

    class BinaryCursor(psycopg.Cursor[Any]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.format = psycopg.pq.Format.BINARY

    return BinaryCursor
