"""Connections that stay taken from their engine between two calls, because to take one costs more than to read with it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine

from imagestore.errors import ImageStoreError

P = ParamSpec("P")
T = TypeVar("T")

_KEPT: Final = 5  # as many as the pool of an engine keeps


class Connections:
    """Runs functions, each on a connection that no other thread has at that time and that no transaction is open on.

    Args:
        engine: whose connections they are.
        keep: whether some are kept. Not those of a host, who may want to see them given back.
    """

    def __init__(self, engine: Engine, *, keep: bool) -> None:
        self._engine = engine
        self._most = _KEPT if keep else 0
        self._idle: list[Connection] = []

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on a connection, which is kept afterwards unless the database or an interrupt has come between."""
        connection = self._take()
        try:
            result = function(connection, *args, **kwargs)
        except ImageStoreError:
            self._give_back(connection)
            raise
        except BaseException:
            connection.close()
            self._close_idle()  # where one was cut off, the others may have been
            raise
        self._give_back(connection)
        return result

    def close(self) -> None:
        """Give back to the engine what is kept, and keep nothing from now on."""
        self._most = 0
        self._close_idle()

    def _take(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._engine.connect()

    def _give_back(self, connection: Connection) -> None:
        if connection.in_transaction():
            connection.rollback()  # in autocommit this is but what SQLAlchemy has noted of a statement
        if len(self._idle) < self._most:
            self._idle.append(connection)
        else:
            connection.close()

    def _close_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close()
