"""The tables and their revisions: create, upgrade, downgrade, and compare with what this release expects.

Every function takes a Connection. In a transaction it joins: what it does is a savepoint there, and commits or rolls back with the
caller's own work. Otherwise it commits by itself after each revision, and after each page of images that are put into the trie of layers,
so that what was interrupted goes on where it was. Either way one migration at a time runs on a database, and whoever comes second finds
the work done.

The lock is SQLite's write lock; on PostgreSQL it is an advisory lock of a transaction, because PgBouncer hands those of a session to
strangers. Which revision the tables stand at is in `imagestore.sql.revision`, which does not load Alembic.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, MetaData, Table, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema, DropTable

from imagestore.errors import (
    InvalidImageError,
    SchemaLockedError,
    SchemaTooNewError,
    UnknownRevisionError,
    UnusableBindError,
)
from imagestore.image import Image
from imagestore.layer import Link
from imagestore.sql import revision as revisions
from imagestore.sql import tops
from imagestore.sql.driver_errors import is_missing_right
from imagestore.sql.engine import in_transaction, is_autocommit, reading_text, refuse_schema
from imagestore.sql.schema import PREFIX, VERSION_TABLE, metadata

if TYPE_CHECKING:
    from alembic.script import Script, ScriptDirectory

TIMEOUT: Final = 60.0
"""Seconds that a migration on PostgreSQL waits for another one. On SQLite the connection's own busy timeout counts."""

_FILLED: Final = "0003"
"""The revision that stands for all images' having their place in the trie of layers."""

_PAGE: Final = 1000  # images that are put there in one transaction
_PAUSE: Final = 0.05  # seconds between two tries
_TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended('imagestore.migrate', 0))"
_NEEDS_RIGHTS: Final = (
    "this role may not create tables there: run 'imagestore db upgrade' as one that may, and grant this one USAGE on the schema and "
    "SELECT, INSERT, UPDATE and DELETE on the imagestore_* tables"
)


def create(connection: Connection, *, schema: str | None = None, timeout: float = TIMEOUT) -> None:
    """Make the tables where the database has none of ours; where it has them, make sure that they are those of this release.

    Safe to call from any number of processes at once. Commits, unless the connection is in a transaction.

    Args:
        connection: its engine lends a second one meanwhile on PostgreSQL, unless it is in a transaction.
        schema: the PostgreSQL schema for the tables, which is made if it is missing; None for the connection's own.
        timeout: seconds to wait for another process's migration (PostgreSQL).

    Raises:
        SchemaTooOldError, SchemaTooNewError, ForeignSchemaError: there are tables already, and nothing was changed.
        SchemaLockedError: another migration took longer than ``timeout``.
        UnusableBindError: the connection is in autocommit, or in a snapshot that cannot see what it waits for.
    """
    with _alone(connection, schema, timeout) as joined:
        if revisions.find_revision(connection, schema=schema) is None:
            _upgrade(connection, revisions.REVISIONS, schema, joined=joined)
        else:
            revisions.require_head(connection, schema=schema)


def upgrade(
    connection: Connection, revision: str = "head", *, schema: str | None = None, timeout: float = TIMEOUT
) -> None:
    """Bring the tables up to a revision; nothing happens where they are there or beyond. An empty database gets them all.

    What processes of an earlier release add meanwhile is upgraded too. What one adds after the end is not: stop them, and let
    `imagestore.verify` repair. Commits, unless the connection is in a transaction.

    Args:
        connection: as for `create`.
        revision: "head" or one of `imagestore.sql.revision.REVISIONS`.
        schema: as for `create`.
        timeout: as for `create`.

    Raises:
        UnknownRevisionError: this release has no such revision.
        SchemaTooNewError, ForeignSchemaError: the tables are of a later release, or of something else. Nothing was changed.
        SchemaLockedError: another migration took longer than ``timeout``.
        UnusableBindError: as for `create`; or a revision on the way cannot run in a transaction, and the connection is in one.
    """
    target = _position(revision)
    if connection.dialect.name == "sqlite" and not connection.in_transaction():
        _upgrade_in_steps(connection, target, schema, timeout)
        return
    with _alone(connection, schema, timeout) as joined:
        standing = _standing(connection, schema)
        _upgrade(connection, revisions.REVISIONS[standing:target], schema, joined=joined)


def downgrade(connection: Connection, revision: str, *, schema: str | None = None, timeout: float = TIMEOUT) -> None:
    """Take the tables back to a revision; "base" removes them, with all that they hold. Commits and raises as `upgrade` does."""
    target = _position(revision)
    with _alone(connection, schema, timeout) as joined:
        undone = revisions.REVISIONS[target : _standing(connection, schema)]
        _downgrade(connection, tuple(reversed(undone)), schema, joined=joined)


def current(connection: Connection, *, schema: str | None = None) -> str | None:
    """The revision that the tables stand at, None where there are none of ours.

    Raises:
        ForeignSchemaError: there are ``imagestore_`` tables without a revision.
    """
    return revisions.find_revision(connection, schema=schema)


def head() -> str:
    """The revision that this release needs."""
    return revisions.HEAD


def check(connection: Connection, *, schema: str | None = None) -> list[str]:
    """What the database has otherwise than this release's tables: missing, unexpected and different tables, columns, indexes, keys.

    Only ``imagestore_`` tables are looked at. An empty list is what a database at `head` gives. Constraints of CHECK are not compared.
    """
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    refuse_schema(connection.dialect, schema)
    options = {"target_metadata": metadata, "include_name": _include_own_name, "compare_type": True}
    with revisions.reading(connection), _search_path(connection, schema), reading_text(connection):
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return [_told(difference) for group in found for difference in (group if isinstance(group, list) else [group])]


def include_name(name: str | None, type_: str, parent_names: Mapping[str, str | None]) -> bool:
    """For a host's own Alembic: ``context.configure(include_name=imagestore.migrate.include_name)``.

    Its autogenerate then leaves our tables alone, which it does not know and would propose to drop.
    """
    return type_ != "table" or name is None or not name.startswith(PREFIX)


def _include_own_name(name: str | None, type_: str, parent_names: Mapping[str, str | None]) -> bool:
    return type_ != "table" or not (include_name(name, type_, parent_names) or name == VERSION_TABLE)


def _told(difference: Sequence[Any]) -> str:
    """A difference as Alembic gives it, in words: ("add_column", schema, table, Column) and so on."""
    operation, _, kind = difference[0].partition("_")
    if operation == "modify":
        _, _, table, column, _, found, expected = difference
        return f"different {kind}: {table}.{column} is {found!r}, not {expected!r}"
    subject = difference[-1]
    table = f"{difference[2]}." if kind == "column" else ""
    on = f" on {subject.table.name}" if kind not in ("table", "column") else ""
    return f"{'missing' if operation == 'add' else 'unexpected'} {kind}: {table}{subject.name}{on}"


def _position(revision: str) -> int:
    """How many revisions lie behind, once at this one."""
    known = {"base": 0, "head": len(revisions.REVISIONS)}
    known |= {name: place for place, name in enumerate(revisions.REVISIONS, start=1)}
    if revision not in known:
        raise UnknownRevisionError(revision, revisions.REVISIONS)
    return known[revision]


def _standing(connection: Connection, schema: str | None) -> int:
    revision = revisions.find_revision(connection, schema=schema)
    if revision is None:
        return 0
    if revision not in revisions.REVISIONS:
        raise SchemaTooNewError(revision, revisions.HEAD)
    return _position(revision)


@contextmanager
def _alone(connection: Connection, schema: str | None, timeout: float) -> Iterator[bool]:
    """Hold the lock of migrations; what comes out is whether the connection was in the caller's transaction."""
    _refuse_autocommit(connection)
    joined = connection.in_transaction()
    if connection.dialect.name == "sqlite":
        refuse_schema(connection.dialect, schema)
        with nullcontext() if joined else connection.begin():
            _become_writer(connection)
            with connection.begin_nested():
                yield joined
    elif joined:
        isolation = connection.exec_driver_sql("SELECT current_setting('transaction_isolation')").scalar_one()
        if isolation != "read committed":
            raise UnusableBindError(
                f"the transaction is {isolation!r}: a migration in it could not see the one that it has waited for; use READ COMMITTED"
            )
        with connection.begin_nested():
            _await_lock_within(connection, timeout)
            yield joined
    else:
        with connection.engine.connect() as second:  # its transaction lasts while those of the revisions come and go
            _refuse_autocommit(second)
            _await_lock(lambda: _try_lock_anew(second), timeout)
            _keep_lock(second)
            yield joined


def _refuse_autocommit(connection: Connection) -> None:
    if is_autocommit(connection):
        raise UnusableBindError(
            "the connection is in autocommit: a migration is all or nothing, and needs transactions"
        )


def _become_writer(connection: Connection) -> None:
    if not in_transaction(connection):  # the driver's legacy mode sends no BEGIN before DDL
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    # Somebody has sent a plain BEGIN. If nothing was read since, a first write waits for its turn; a read would fix the state that is
    # seen, and the write after it would fail at once.
    connection.exec_driver_sql(f"CREATE TABLE {PREFIX}lock (held)")
    connection.exec_driver_sql(f"DROP TABLE {PREFIX}lock")


def _await_lock(attempt: Callable[[], bool], timeout: float) -> None:
    # A statement that waits has a snapshot, for which CREATE INDEX CONCURRENTLY under the lock would wait in turn: so many short ones.
    deadline = time.monotonic() + timeout
    while not attempt():
        if time.monotonic() > deadline:
            raise SchemaLockedError(timeout)
        time.sleep(_PAUSE)


def _await_lock_within(connection: Connection, timeout: float) -> None:
    # Another connection waits. A CREATE INDEX CONCURRENTLY that meets a statement of the caller's transaction, however short it is, would
    # wait for the end of that whole transaction.
    if _try_lock_within(connection):
        return
    with connection.engine.connect() as second:

        def attempt() -> bool:
            if not _try_lock_anew(second):
                return False
            second.rollback()
            return _try_lock_within(connection)

        _await_lock(attempt, timeout)


def _try_lock_anew(connection: Connection) -> bool:
    transaction = connection.begin()
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")  # else the snapshot would last
    locked = bool(connection.exec_driver_sql(_TRY_LOCK).scalar_one())
    if not locked:
        transaction.rollback()
    return locked


def _try_lock_within(connection: Connection) -> bool:
    savepoint = connection.begin_nested()  # its end lets go of the snapshot
    locked = bool(connection.exec_driver_sql(_TRY_LOCK).scalar_one())
    if locked:
        savepoint.commit()
    else:
        savepoint.rollback()
    return locked


def _keep_lock(connection: Connection) -> None:
    """Let the server not end a transaction that does nothing while an index is built.

    Commands end it, and no SELECT: a driver that fetches rows in binary leaves that one's snapshot open until its next statement.
    """
    if (connection.dialect.server_version_info or ()) >= (17,):
        connection.exec_driver_sql("SET LOCAL transaction_timeout = 0")
    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")


def _upgrade(connection: Connection, chosen: Sequence[str], schema: str | None, *, joined: bool) -> None:
    scripts = _scripts_of(chosen, joined=joined)
    # An empty database gets its tables at once: nobody who opens it meanwhile finds those of an earlier release.
    is_whole = not joined and all(map(_is_transactional, scripts)) and chosen[:1] == revisions.REVISIONS[:1]
    with connection.begin() if is_whole and not connection.in_transaction() else nullcontext():
        for script in scripts:
            if script.revision == _FILLED:
                _fill(connection, schema)
            _apply(connection, script, schema)


def _upgrade_in_steps(connection: Connection, target: int, schema: str | None, timeout: float) -> None:
    """On SQLite, where the lock of migrations is that of all writers: each revision and each page of images in a transaction of its own."""
    after: bytes | None = None
    while True:
        with _alone(connection, schema, timeout):
            chosen = revisions.REVISIONS[_standing(connection, schema) : target]
            if not chosen:
                return
            if chosen[0] == revisions.REVISIONS[0]:
                _upgrade(connection, chosen, schema, joined=False)
                return
            if chosen[0] == _FILLED:
                start = tops.find_filled(connection) if after is None else after
                after = tops.fill(connection, start, _PAGE, _stack_of)
                if after is not None:
                    continue
            _apply(connection, _scripts_of(chosen[:1], joined=False)[0], schema)


def _apply(connection: Connection, script: Script, schema: str | None) -> None:
    with _transaction_of(script, connection):
        if script.down_revision is None and schema is not None and not inspect(connection).has_schema(schema):
            connection.execute(CreateSchema(schema, if_not_exists=True))
        _run(connection, script, schema, upwards=True)
        if script.revision == _FILLED:
            with _search_path(connection, schema):
                tops.fill_left(connection, _PAGE, _stack_of)


def _downgrade(connection: Connection, chosen: Sequence[str], schema: str | None, *, joined: bool) -> None:
    for script in _scripts_of(chosen, joined=joined):
        with _transaction_of(script, connection):
            _run(connection, script, schema, upwards=False)
            if script.down_revision is None:
                connection.execute(DropTable(Table(VERSION_TABLE, MetaData(), schema=schema)))


def _fill(connection: Connection, schema: str | None) -> None:
    """Put all images into the trie, a page in each transaction where that is ours to say; what is interrupted goes on where it was."""
    after: bytes | None = b""
    with nullcontext() if connection.in_transaction() else connection.begin(), _search_path(connection, schema):
        after = tops.find_filled(connection)
    while after is not None:
        with nullcontext() if connection.in_transaction() else connection.begin(), _search_path(connection, schema):
            after = tops.fill(connection, after, _PAGE, _stack_of)


def _stack_of(config: bytes) -> Sequence[Link]:
    try:
        return Image.from_json(config).stack
    except InvalidImageError:  # the index was damaged, of which verify tells
        return ()


def _scripts_of(chosen: Sequence[str], *, joined: bool) -> list[Script]:
    scripts = [_directory().get_revision(revision) for revision in chosen]
    refused = [f"{script.revision} ({script.doc.rstrip('.')})" for script in scripts if not _is_transactional(script)]
    if joined and refused:
        raise UnusableBindError(
            f"revision {', '.join(refused)} cannot run within a caller's transaction: run 'imagestore db upgrade', "
            "or give a connection that is in none"
        )
    return scripts


def _is_transactional(script: Script) -> bool:
    return bool(getattr(script.module, "transactional", True))


@contextmanager
def _transaction_of(script: Script, connection: Connection) -> Iterator[None]:
    try:
        with nullcontext() if connection.in_transaction() or not _is_transactional(script) else connection.begin():
            yield
    except DBAPIError as error:
        if is_missing_right(error):
            error.add_note(_NEEDS_RIGHTS)
        raise


def _run(connection: Connection, script: Script, schema: str | None, *, upwards: bool) -> None:
    """Run one revision. It is given its ``op``, as Alembic's global one may be in the hands of a host or of another thread."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationStep

    step_of = MigrationStep.upgrade_from_script if upwards else MigrationStep.downgrade_from_script
    step = step_of(_directory().revision_map, script)
    options = {
        "version_table": VERSION_TABLE,
        "version_table_schema": schema,
        "transaction_per_migration": True,
        "fn": lambda _heads, _context: [step],
    }
    with _search_path(connection, schema):
        context = MigrationContext.configure(connection, opts=options)
        context.run_migrations(op=Operations(context))


@contextmanager
def _search_path(connection: Connection, schema: str | None) -> Iterator[None]:
    """In a transaction, names without a schema are in this one; the caller's path is put back, by a rollback if need be."""
    if schema is None or not connection.in_transaction():
        yield
        return
    # It goes in as a value: the dialect's own quoting would double percent signs, as a statement needs them.
    quoted = '"' + schema.replace('"', '""') + '"'
    with connection.begin_nested():
        before = connection.exec_driver_sql("SELECT current_setting('search_path')").scalar_one()
        connection.exec_driver_sql("SELECT set_config('search_path', %s, true)", (quoted,))
        yield
        connection.exec_driver_sql("SELECT set_config('search_path', %s, true)", (before,))


@functools.cache
def _directory() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(folder())


def folder() -> Path:
    """Where the revisions are: in the package once installed, beside it in a clone and in an editable install of one."""
    package = Path(__file__).resolve().parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"
