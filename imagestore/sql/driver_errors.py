"""What an error of a driver means: may the transaction be tried again, was it a foreign key, what is the remedy.

The errors stay what the driver and SQLAlchemy make of them; where a remedy is known it becomes a note on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError

_TRY_AGAIN: Final = {"40001", "40P01"}  # serialization_failure, deadlock_detected
_FOREIGN_KEY: Final = "23503"
_FAILED: Final = "25P02"

_REMEDIES: Final = {
    "SQLITE_BUSY": "another connection has kept the database locked for longer than the busy timeout; try again, or find who holds it",
    "SQLITE_LOCKED": "another connection of this process keeps the database locked; end its transaction first",
    "SQLITE_FULL": "the disk (or the database's page limit) is full; nothing of this call was stored: make room and try again",
    "SQLITE_IOERR": "the operating system refused to write or read the database file; nothing of this call was stored",
    "SQLITE_READONLY": "the database file or its folder cannot be written by this user; check their modes",
    "SQLITE_CANTOPEN": "the database file cannot be opened; check that its folder exists and that this user may write there",
    "SQLITE_INTERRUPT": "the statement was interrupted; nothing of this call was stored: try again",
    "SQLITE_NOTADB": "this file is no SQLite database; give the path of another one",
    "SQLITE_CORRUPT": "the database file is damaged; restore it from a backup",
    "25006": "the server or the transaction is read-only; connect to the primary",
    "25P02": "the transaction had failed before this call; roll it back and begin a new one",
    "25001": "the transaction had begun before this call; call it on a fresh connection",
    "42501": "the database role lacks a right; grant SELECT, INSERT, UPDATE and DELETE on the imagestore_* tables",
    "42P01": "the tables are not there (any more); run 'imagestore db upgrade'",
    "53100": "the server's disk is full; nothing of this call was stored: make room and try again",
    "57014": "the statement was cancelled, by statement_timeout or by somebody; nothing of this call was stored: try again",
    "57P01": "the server was stopped or ended this connection; try again",
    "40001": "other transactions changed the same rows; roll the whole transaction back and run it again",
    "40P01": "two transactions waited for each other; roll the whole transaction back and run it again",
    "55P03": "another transaction holds the rows for longer than lock_timeout; try again",
    "28P01": "the server did not accept the password; check the URL",
    "28000": "the server did not accept this user; check the URL and the server's pg_hba.conf",
    "3D000": "there is no such database on the server; create it, or check the URL",
}
_UNREACHABLE: Final = (
    "the server cannot be reached, or the connection was lost; check that it runs and that the URL names it"
)
_WRONG_OPTION: Final = "the part of the URL after '?' has what PostgreSQL's client library does not know; check it"
_REFUSED: Final = "the server does not let this URL in; check its database, user and password"


def is_transient(error: DBAPIError) -> bool:
    """Whether the whole transaction may be run again: a deadlock, a serialization failure, a lock that was not had in time."""
    return _sqlstate(error) in _TRY_AGAIN or _sqlite_name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def had_failed(error: BaseException) -> bool:
    """Whether the transaction had failed before the statement (PostgreSQL)."""
    return isinstance(error, DBAPIError) and _sqlstate(error) == _FAILED


def is_foreign_key_violation(error: IntegrityError) -> bool:
    """Whether a row names another that is not there."""
    return _sqlstate(error) == _FOREIGN_KEY or _sqlite_name(error) == "SQLITE_CONSTRAINT_FOREIGNKEY"


def is_missing_table(error: DBAPIError) -> bool:
    """Whether a statement named a table (or a PostgreSQL schema) that is not there."""
    return _sqlstate(error) in ("42P01", "3F000") or str(error.orig).startswith("no such table")


def is_missing_right(error: DBAPIError) -> bool:
    """Whether the database role lacks a right."""
    return _sqlstate(error) == "42501"


def add_remedy(error: DBAPIError) -> None:
    """Put the remedy, where one is known, as a note on a driver's error; once."""
    remedy = _remedy(error)
    if remedy and remedy not in getattr(error, "__notes__", ()):
        error.add_note(remedy)


@contextmanager
def remedies() -> Iterator[None]:
    """`add_remedy` to a driver's error that leaves the block."""
    try:
        yield
    except DBAPIError as error:
        add_remedy(error)
        raise


def _remedy(error: DBAPIError) -> str | None:
    sqlite_name = _sqlite_name(error)
    if sqlite_name:
        primary = "_".join(sqlite_name.split("_")[:2])
        return _REMEDIES.get(primary)
    sqlstate = _sqlstate(error)
    if sqlstate:
        return _REMEDIES.get(sqlstate)
    if not type(error.orig).__module__.startswith("psycopg"):
        return None
    if type(error.orig).__name__ == "OperationalError":
        return _REFUSED if "FATAL:" in str(error.orig) else _UNREACHABLE
    return _WRONG_OPTION if str(error.orig).startswith("invalid connection option") else None


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _sqlite_name(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlite_errorname", None) or ""
