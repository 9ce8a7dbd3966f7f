"""What a store is bound to, and so who commits: an Engine, a caller's Connection, or a snapshot for reading.

This is the one place that opens transactions and retries them. A bind runs a function of `imagestore.sql` on a connection:
``bind.write(images.create, image_id, config)`` calls ``images.create(connection, image_id, config)``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import TracebackType
from typing import Any, Concatenate, Final, NoReturn, ParamSpec, Protocol, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, NestedTransaction, event
from sqlalchemy.exc import DBAPIError, ResourceClosedError

from imagestore.errors import ReadOnlyError, SchemaMissingError, UnusableBindError
from imagestore.sql.connections import Connections
from imagestore.sql.driver_errors import add_remedy, had_failed, is_transient, remedies
from imagestore.sql.engine import (
    BEGIN,
    TIMEOUT,
    begin_immediate,
    begin_snapshot,
    create_engine,
    enforces_foreign_keys,
    in_transaction,
    is_autocommit,
    is_missing_file,
    refuse_schema,
)
from imagestore.sql.revision import require_head

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS: Final = 5
_PAUSE: Final = 0.01  # seconds; doubled at each attempt, of which a random part is waited

_NO_TRANSACTION: Final = (
    "the connection is in no transaction that its rollback would undo: begin one first, and on SQLite pass the engine to "
    "imagestore.configure() before it connects"
)
_WRONG_DIALECT: Final = "a store works on SQLite and PostgreSQL, not on {!r}"
_NO_BIND: Final = (
    "a store is bound to an Engine or a Connection of SQLAlchemy, not to a {}: Store.open() takes a URL, and a Session has "
    "connection()"
)
_CLOSED: Final = "the connection is closed: join one that is open and in a transaction"
_AUTOCOMMIT: Final = (
    "the engine is in autocommit, where an error would leave half a write behind: give the store one that is not"
)
_NO_FOREIGN_KEYS: Final = (
    "foreign keys are off on this connection: pass the engine to imagestore.configure() before it connects"
)


class Bind(Protocol):
    """Where the functions of `imagestore.sql` run."""

    @property
    def engine(self) -> Engine:
        """The engine that writes go through."""
        ...

    def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that only reads."""
        ...

    def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that writes, all of it or nothing."""
        ...

    def begin(self) -> AbstractContextManager[Bind]:
        """One transaction for several calls; it commits at the end of the block, and rolls back on an exception."""
        ...

    def reading(self) -> AbstractContextManager[Bind]:
        """One connection for several reads that see one state."""
        ...

    def close(self) -> None:
        """Give back what this bind has opened itself."""
        ...


class Bound:
    """What works on a bind; as a context manager it closes itself."""

    _bind: Bind

    @property
    def bind(self) -> Bind:
        """What it works on: for the modules of this package that have functions of `imagestore.sql` to run on it."""
        return self._bind

    def close(self) -> None:
        """Close the connections that `open` has made; a host's engine or connection stays as it is."""
        self._bind.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def bind_to(bind: Engine | Connection | Bind, *, schema: str | None = None) -> Bind:
    """A bind to what a host has, whose tables must be there already; one that is a bind stays what it is.

    Raises:
        UnusableBindError: it is of another database, does not enforce foreign keys, commits each statement by itself, or is a
            Connection in no transaction.
        SchemaError: the tables are missing, or of another revision.
    """
    if isinstance(bind, EngineBind | _HeldBind):
        return bind
    if not isinstance(bind, Engine | Connection):
        raise UnusableBindError(_NO_BIND.format(type(bind).__name__))
    if bind.dialect.name not in ("sqlite", "postgresql"):
        raise UnusableBindError(_WRONG_DIALECT.format(bind.dialect.name))
    made = EngineBind(bind, schema=schema) if isinstance(bind, Engine) else ConnectionBind(bind, schema=schema)
    made.read(require_head, schema=schema)
    if not made.read(enforces_foreign_keys):
        raise UnusableBindError(_NO_FOREIGN_KEYS)
    if made.read(is_autocommit):
        raise UnusableBindError(_AUTOCOMMIT)
    return made


class EngineBind:
    """Transactions of the store's own, each retried as a whole where the database says that it may succeed at the next try.

    Args:
        writer: the engine of writes.
        reader: the engine of reads, in autocommit; a host's engine serves for both.
        schema: the PostgreSQL schema that has the tables, or None for that of the connection.
        owned: whether `close` disposes of the engines.
    """

    def __init__(
        self, writer: Engine, reader: Engine | None = None, *, schema: str | None = None, owned: bool = False
    ) -> None:
        refuse_schema(writer.dialect, schema)
        options: dict[str, Any] = {} if schema is None else {"schema_translate_map": {None: schema}}
        self.engine = writer
        self._schema = schema
        self._owned = [engine for engine in (writer, reader) if engine is not None] if owned else []
        self._writer = writer.execution_options(**options, **{BEGIN: "IMMEDIATE"})
        self._reader = (reader or writer).execution_options(**options)
        self._readers = Connections(self._reader, keep=owned)
        self._writers = Connections(self._writer, keep=owned)

    @classmethod
    def open(
        cls, url: str | URL, *, schema: str | None = None, create_schema: bool = True, timeout: float = TIMEOUT
    ) -> Self:
        """A bind to engines of its own; `imagestore.store.Store.open` tells of the arguments and the errors."""
        writer = create_engine(url, timeout=timeout)
        reader = create_engine(writer.url, autocommit=True, timeout=timeout)
        bind = cls(writer, reader, schema=schema, owned=True)
        try:
            bind._require_tables(create_schema=create_schema)
        except BaseException:
            bind.close()
            raise
        return bind

    def _require_tables(self, *, create_schema: bool) -> None:
        if not create_schema and is_missing_file(self.engine.url):
            raise SchemaMissingError(
                f"there is no database {self.engine.url.database!r}: run 'imagestore db upgrade' to create it"
            )
        try:
            self.read(require_head, schema=self._schema)
        except SchemaMissingError:
            if not create_schema:
                raise
            from imagestore import migrate  # loads Alembic, which a database that has its tables does without

            with remedies(), self.engine.connect() as connection:
                migrate.create(connection, schema=self._schema)

    def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on a connection of the readers; where the server had ended that one, once more on a new one."""
        again = False
        while True:
            try:
                return self._readers.run(function, *args, **kwargs)
            except DBAPIError as error:
                add_remedy(error)
                if again or not error.connection_invalidated:
                    raise
            again = True

    def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in a transaction of its own, and commit.

        It runs again from the start at a deadlock or a lost race, and where the server ended the connection before the commit; nobody
        knows what became of a commit that was under way, so that error comes as it is.
        """
        attempt = 0
        is_committing = False

        def transact(connection: Connection) -> T:
            nonlocal is_committing
            with _transaction(connection):
                result = function(connection, *args, **kwargs)
                is_committing = True
            return result

        while True:
            is_committing = False
            try:
                return self._writers.run(transact)
            except DBAPIError as error:
                attempt += 1
                add_remedy(error)
                is_undone = is_transient(error) or (error.connection_invalidated and not is_committing)
                if attempt == _ATTEMPTS or not is_undone:
                    raise
            time.sleep(random.uniform(0, _PAUSE * 2**attempt))

    @contextmanager
    def begin(self) -> Iterator[Bind]:
        """A transaction around the block. It is not retried: what the block did beside is not ours to repeat."""
        with remedies(), self._writer.connect() as connection, _transaction(connection):
            yield ConnectionBind(connection)

    @contextmanager
    def reading(self) -> Iterator[Bind]:
        """A snapshot on a connection of the readers: one deferred BEGIN, REPEATABLE READ READ ONLY on PostgreSQL."""
        with remedies(), self._reader.connect() as connection:
            if not self._owned:
                connection.begin()
            begin_snapshot(connection)
            yield SnapshotBind(connection)

    def close(self) -> None:
        """Dispose of the engines that were made for this bind, and let them connect no more; a host's stay as they are."""
        self._readers.close()
        self._writers.close()
        for engine in self._owned:
            event.listen(engine, "do_connect", _refuse_to_connect)
            engine.dispose()


class _HeldBind:
    """Reads on a connection that someone else holds open."""

    def __init__(self, connection: Connection, *, schema: str | None = None) -> None:
        self.engine = connection.engine
        self._connection = connection
        self._schema = schema

    def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the held connection."""
        try:
            if self._schema is None:  # the hot path of Store.reading()
                return function(self._connection, *args, **kwargs)
            with self._translated():
                return function(self._connection, *args, **kwargs)
        except ResourceClosedError as error:
            raise UnusableBindError(_CLOSED) from error
        except DBAPIError as error:
            add_remedy(error)
            raise

    def reading(self) -> AbstractContextManager[Bind]:
        """The same connection, for reading alone."""
        return nullcontext(SnapshotBind(self._connection, schema=self._schema))

    def close(self) -> None:
        """Nothing: who opened the connection closes it."""

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Our tables are in ``schema`` during a call; the option is put back, as it would change the caller's statements too."""
        if self._schema is None:
            yield
            return
        before = self._connection.get_execution_options().get("schema_translate_map")
        self._connection.execution_options(schema_translate_map={**(before or {}), None: self._schema})
        try:
            yield
        finally:
            self._connection.execution_options(schema_translate_map=before)


class ConnectionBind(_HeldBind):
    """The caller's transaction: writes are savepoints in it, and nothing is ever committed or retried.

    Raises:
        UnusableBindError: the connection is in no real transaction, or does not enforce foreign keys.
    """

    def __init__(self, connection: Connection, *, schema: str | None = None) -> None:
        if not isinstance(connection, Connection):
            raise UnusableBindError(_NO_BIND.format(type(connection).__name__))
        refuse_schema(connection.dialect, schema)
        super().__init__(connection, schema=schema)
        self._require_transaction()
        if not enforces_foreign_keys(connection):
            raise UnusableBindError(_NO_FOREIGN_KEYS)

    def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in a savepoint: an error undoes what it wrote, and leaves the caller's transaction as it was."""
        with self._savepoint(), self._translated():
            return function(self._connection, *args, **kwargs)

    @contextmanager
    def begin(self) -> Iterator[Bind]:
        """A savepoint around the block: an exception takes back what the block has done, and no more."""
        with self._savepoint():
            yield self

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        self._require_transaction()
        savepoint = None
        with remedies():
            try:
                savepoint = self._connection.begin_nested()
                yield
                savepoint.commit()
            except BaseException as error:
                self._undo(savepoint, error)
                raise

    def _require_transaction(self) -> None:
        if self._connection.closed:
            raise UnusableBindError(_CLOSED)
        if self._connection.dialect.name not in ("sqlite", "postgresql"):
            raise UnusableBindError(_WRONG_DIALECT.format(self._connection.dialect.name))
        if not self._connection.in_transaction() or not in_transaction(self._connection):
            raise UnusableBindError(_NO_TRANSACTION)

    def _undo(self, savepoint: NestedTransaction | None, error: BaseException) -> None:
        connection = self._connection
        if connection.invalidated or (savepoint is None and had_failed(error)):
            return
        if savepoint is not None and savepoint.is_active and in_transaction(connection):
            with suppress(DBAPIError):
                savepoint.rollback()
                return
        # A full disk makes SQLite roll back all of it; or a statement of the savepoint itself has failed, after which SQLite's COMMIT
        # would keep half, and PostgreSQL's would be a silent ROLLBACK. The caller must not believe that a commit keeps its own rows.
        connection.invalidate(error)
        error.add_note("the caller's whole transaction is undone: roll it back and run it again")


class SnapshotBind(_HeldBind):
    """Reads that see one state."""

    def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Refuse.

        Raises:
            ReadOnlyError: always.
        """
        raise ReadOnlyError("a snapshot of Store.reading() is for reading: call the store itself, or Store.begin()")

    def begin(self) -> AbstractContextManager[Bind]:
        """Refuse, as `write` does."""
        raise ReadOnlyError("a snapshot of Store.reading() is for reading: call Store.begin() of the store itself")


def _refuse_to_connect(*_: object) -> NoReturn:
    raise UnusableBindError("this store is closed: open it again")


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    with connection.begin():
        begin_immediate(connection)
        yield
