"""Makes one statement fail as its database would, whoever sends it: SQLAlchemy, a read on the driver's cursor, or the commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from sqlalchemy import Engine, event

RAISE = "DO $$ BEGIN RAISE EXCEPTION 'as the test wants it' USING ERRCODE = '{}'; END $$"
END = "SELECT pg_terminate_backend(pg_backend_pid())"


class Strike(Protocol):
    """What happens in the place of a statement, which ``run`` would run."""

    def __call__(self, connection: Any, run: Callable[[], object], /) -> object: ...


def interrupted(connection: sqlite3.Connection, run: Callable[[], object]) -> None:
    """SQLite ends the statement; one that writes takes the whole transaction with it."""
    connection.set_progress_handler(lambda: 1, 1)
    try:
        run()
    finally:
        connection.set_progress_handler(None, 0)


def busy(connection: sqlite3.Connection, run: Callable[[], object]) -> None:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_BUSY_SNAPSHOT, "SQLITE_BUSY_SNAPSHOT"
    raise error


def disk_full(connection: psycopg.Connection, run: Callable[[], object]) -> None:
    connection.execute(RAISE.format("53100"))


def deadlock(connection: psycopg.Connection, run: Callable[[], object]) -> None:
    connection.execute(RAISE.format("40P01"))


def ended(connection: psycopg.Connection, run: Callable[[], object]) -> None:
    """The server ends the session before the statement reaches it."""
    connection.execute(END)


def ended_after(connection: psycopg.Connection, run: Callable[[], object]) -> None:
    """The server ends the session when it has done the statement, and before the client knows that."""
    run()
    connection.execute(END)


class Fault:
    """What has become of a fault.

    Attributes:
        statement: the one that it has met, None as long as it has not come to it.
        left: how many more come before, and that one.
    """

    def __init__(self, number: int, strike: Strike) -> None:
        self.statement: str | None = None
        self.left = number
        self._strike = strike

    def meet(self, connection: Any, text: str, run: Callable[[], object]) -> object:
        self.left -= 1
        if self.left:
            return run()
        self.statement = text
        return self._strike(connection, run)


class Faults:
    """The faults of the connections that an engine opens from now on; its `failing` makes one."""

    def __init__(self, engine: Engine) -> None:
        self._fault: Fault | None = None
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "connect", self._set_cursor)

    @contextmanager
    def failing(self, number: int, strike: Strike) -> Iterator[Fault]:
        """The ``number``-th statement in the block fails once. A COMMIT is one, a ROLLBACK of all is none."""
        self._fault = Fault(number, strike)
        try:
            yield self._fault
        finally:
            self._fault = None

    def _meet(self, connection: Any, text: str, run: Callable[[], object]) -> object:
        return run() if self._fault is None else self._fault.meet(connection, text, run)

    def _connect(self, dialect, _record, arguments, options):
        faults = self
        if dialect.name == "postgresql":

            class FailingConnection(psycopg.Connection):
                def commit(self):
                    faults._meet(self, "COMMIT", super().commit)

            return FailingConnection.connect(*arguments, **options)

        failing_cursor = _failing(sqlite3.Cursor, self)

        class FailingSQLite(sqlite3.Connection):
            def cursor(self):  # type: ignore[override]  # SQLAlchemy asks for no other
                return super().cursor(failing_cursor)

            def commit(self):
                faults._meet(self, "COMMIT", super().commit)

        return sqlite3.connect(*arguments, **options, factory=FailingSQLite)

    def _set_cursor(self, connection, _record):
        if isinstance(connection, psycopg.Connection):
            connection.cursor_factory = _failing(connection.cursor_factory, self)


def _failing(cursor: type[Any], faults: Faults) -> type[Any]:
    class FailingCursor(cursor):  # type: ignore[misc]  # the class of either driver
        def execute(self, text, *arguments, **options):
            faults._meet(self.connection, text, lambda: cursor.execute(self, text, *arguments, **options))
            return self

        def executemany(self, text, *arguments, **options):
            faults._meet(self.connection, text, lambda: cursor.executemany(self, text, *arguments, **options))
            return self

    return FailingCursor
