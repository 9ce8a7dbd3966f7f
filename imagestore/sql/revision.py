"""Which revision the tables stand at, and whether this release can work on them.

`imagestore.migrate` changes it, and loads Alembic to do so; to look, this module needs nothing but a statement.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from imagestore.errors import ForeignSchemaError, SchemaMissingError, SchemaTooNewError, SchemaTooOldError
from imagestore.sql.driver_errors import is_missing_table
from imagestore.sql.engine import refuse_schema
from imagestore.sql.schema import PREFIX, VERSION_TABLE

REVISIONS: Final = ("0001", "0002", "0003")
"""Every revision that this release knows, oldest first: those of the folder ``migrations/versions``, in a line."""

HEAD: Final = REVISIONS[-1]


def require_head(connection: Connection, *, schema: str | None = None) -> None:
    """Make sure that the tables are those of this release, which they are where this returns. Never alters anything.

    One statement at any size of the store; a second and a third where there is something to complain about.

    Args:
        connection: in a transaction it stays in it, whole; else it is in none afterwards.
        schema: the PostgreSQL schema that has the tables; None for the connection's own.

    Raises:
        SchemaMissingError: there are no tables of ours.
        SchemaTooOldError: they are of an earlier release; the message names the command that upgrades them.
        SchemaTooNewError: they are of a later release.
        ForeignSchemaError: they were made by something else.
    """
    if _stands_at_head(connection, schema):
        return
    revision = find_revision(connection, schema=schema)
    if revision is None:
        raise SchemaMissingError(
            f"the {_place(schema)} has no imagestore tables: run '{_upgrade(schema)}' to create them"
        )
    if revision not in REVISIONS:
        raise SchemaTooNewError(revision, HEAD)
    if revision != HEAD:
        raise SchemaTooOldError(revision, HEAD, _upgrade(schema))


def find_revision(connection: Connection, *, schema: str | None = None) -> str | None:
    """The revision that the tables stand at, or None where there are none of ours. A host's own tables do not count.

    Raises:
        ForeignSchemaError: there are ``imagestore_`` tables without a revision.
        UnusableBindError: a schema is named, and the database is SQLite.
    """
    refuse_schema(connection.dialect, schema)
    with reading(connection):
        tables = {name for name in inspect(connection).get_table_names(schema=schema) if name.startswith(PREFIX)}
        found = _select(connection, schema) if VERSION_TABLE in tables else []
    if found:
        return ", ".join(sorted(found))
    foreign = sorted(tables - {VERSION_TABLE})
    if foreign:
        raise ForeignSchemaError(
            f"the {_place(schema)} has {', '.join(foreign)}, but no revision of imagestore, so something else made them: "
            "rename them, or use another database or schema"
        )
    return None


@contextmanager
def reading(connection: Connection) -> Iterator[None]:
    """The caller's transaction, or else one that is rolled back, so that the connection comes back as it was."""
    if connection.in_transaction():
        yield
        return
    transaction = connection.begin()
    try:
        yield
    finally:
        transaction.rollback()


def _stands_at_head(connection: Connection, schema: str | None) -> bool:
    if connection.in_transaction():  # which a missing table would end on PostgreSQL: there the catalog is asked first
        return False
    try:
        with reading(connection):
            return _select(connection, schema) == [HEAD]
    except DBAPIError as error:
        if not is_missing_table(error):
            raise
        return False


def _select(connection: Connection, schema: str | None) -> list[str]:
    # As text, because a store that opens has compiled nothing yet.
    quote = connection.dialect.identifier_preparer.quote_identifier
    table = VERSION_TABLE if schema is None else f"{quote(schema)}.{VERSION_TABLE}"
    return list(connection.exec_driver_sql(f"SELECT version_num FROM {table}").scalars())


def _upgrade(schema: str | None) -> str:
    return "imagestore db upgrade" if schema is None else f"imagestore --schema {shlex.quote(schema)} db upgrade"


def _place(schema: str | None) -> str:
    return "database" if schema is None else f"schema {schema!r}"
