"""Statements on the driver's own cursor, in a fifth of the time that SQLAlchemy takes to execute one.

A `Read` or a `Write` is a Core statement that is compiled once for each dialect and schema. Beside its speed it differs from
``connection.execute`` in one thing: values and rows are what the driver has, so a digest is its 32 bytes. SQLAlchemy's events of
statements do not see it. What has many rows of values, or a list for a value, is left to SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Delete, Insert, Select, Update

T = TypeVar("T")

_CURSOR: Final = "imagestore_cursor"  # in Connection.info, which lasts as long as the driver's connection


def run_command(connection: Connection, command: str) -> None:
    """Run what has no rows. Errors are SQLAlchemy's, as those of ``connection.exec_driver_sql``, which takes four times as long."""
    driver_connection = connection.connection
    try:
        cursor = driver_connection.cursor()
        try:
            cursor.execute(command)
        finally:
            cursor.close()
    except BaseException as error:  # noqa: BLE001  it is raised again as what SQLAlchemy makes of it
        connection._handle_dbapi_exception(error, command, None, None, None)


class _Text(NamedTuple):
    sql: str
    names: tuple[str, ...] | None  # of its parameters in their order, or None where the driver takes them by name
    constants: dict[str, Any]

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """The values, and the constants beside them, as the driver takes them."""
        every = {**self.constants, **values}
        return every if self.names is None else [every[name] for name in self.names]


class Read:
    """A SELECT that runs on the driver's cursor.

    Args:
        statement: all that a caller does not give as a value has one in its bindparam.
        few: it never has many rows, so that memory can do with them until the next such statement: psycopg's cursor, which takes long
            to make, is kept. A cursor of sqlite3 is not: as long as one lives, a closed connection may keep its locks.
    """

    def __init__(self, statement: Select[Any] | Insert | Update | Delete, *, few: bool = False) -> None:
        self.statement = statement
        self._few = few
        self._texts: dict[tuple[str, str, str | None], _Text] = {}

    def all(self, connection: Connection, **values: Any) -> list[Any]:
        """The rows, as tuples. Errors are SQLAlchemy's, as those of ``connection.execute``."""
        text = self._text(connection)
        return self._run(connection, _rows, text.sql, text.parameters(values))

    def first(self, connection: Connection, **values: Any) -> Any:
        """The first row, or None where there is none."""
        rows = self.all(connection, **values)
        return rows[0] if rows else None

    def _run(self, connection: Connection, work: Callable[[Any, str, Any], T], sql: str, parameters: Any) -> T:
        driver_connection = connection.connection
        cursor = driver_connection.info.pop(_CURSOR, None)
        try:
            if cursor is None:
                cursor = driver_connection.cursor()
            found = work(cursor, sql, parameters)
        except BaseException as error:  # noqa: BLE001  it is raised again as what SQLAlchemy makes of it
            # Private, as nothing public also tells the listeners of handle_error and renews the pool of a lost server.
            connection._handle_dbapi_exception(error, sql, parameters, cursor, None)
        if self._few and connection.dialect.name == "postgresql":
            driver_connection.info[_CURSOR] = cursor
        else:
            cursor.close()
        return found

    def _text(self, connection: Connection) -> _Text:
        dialect = connection.dialect
        schemas = connection.get_execution_options().get("schema_translate_map")
        key = (dialect.driver, dialect.paramstyle, schemas and schemas.get(None))
        text = self._texts.get(key)
        if text is None:
            compiled = self.statement.compile(
                dialect=dialect, schema_translate_map=schemas, render_schema_translate=schemas is not None
            )
            constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
            names = compiled.positiontup
            text = self._texts[key] = _Text(str(compiled), None if names is None else tuple(names), constants)
        return text


class Write(Read):
    """A statement that needs a transaction: an INSERT, an UPDATE, a DELETE, or a SELECT that locks; else as `Read`."""

    def run(self, connection: Connection, **values: Any) -> int:
        """How many rows it has written."""
        text = self._text(connection)
        return self._run(connection, _count, text.sql, text.parameters(values))

    def run_many(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        """`run` with each of some values, and how many rows that has written in all."""
        text = self._text(connection)
        return self._run(connection, _count_of_many, text.sql, [text.parameters(row) for row in rows])

    def _run(self, connection: Connection, work: Callable[[Any, str, Any], T], sql: str, parameters: Any) -> T:
        if not connection.in_transaction():
            connection.begin()  # as execute does; SQLAlchemy's commit ends only what it has begun
        return super()._run(connection, work, sql, parameters)


def _rows(cursor: Any, sql: str, parameters: Any) -> list[Any]:
    cursor.execute(sql, parameters)
    return list(cursor.fetchall())


def _count(cursor: Any, sql: str, parameters: Any) -> int:
    cursor.execute(sql, parameters)
    return int(cursor.rowcount)


def _count_of_many(cursor: Any, sql: str, parameters: Any) -> int:
    cursor.executemany(sql, parameters)
    return int(cursor.rowcount)
