"""Alembic's own command line, for who works on imagestore: it makes a new revision, and prints one as SQL.

    alembic revision --rev-id 0002 -m "layers"
    alembic -x dialect=postgresql upgrade 0001:0002 --sql

A database is migrated by `imagestore.migrate`, which has the lock, and which runs the same revisions. They are given ``op``: Alembic's
global one would be changed under the feet of a host that calls `imagestore.migrate.upgrade` within a migration of its own.

Names without a schema are in the right one. The exception is what PostgreSQL refuses in a transaction, such as CREATE INDEX CONCURRENTLY:
a revision that needs it says ``transactional = False``, runs it in ``op.get_context().autocommit_block()`` and in the schema
``op.get_context().version_table_schema``, and bears to be run again after a failure. It is refused in a host's transaction.

On SQLite foreign keys are on, and cannot be switched off in a transaction. A table that others refer to is therefore never rebuilt
(Alembic's batch mode): to drop the old one would delete their rows. ADD COLUMN and CREATE TABLE do without.
"""

from __future__ import annotations

from alembic import context
from alembic.operations import Operations
from alembic.util import CommandError

if not context.is_offline_mode():
    raise CommandError("this prints SQL (add --sql); a database is migrated by 'imagestore db upgrade'")

context.configure(
    dialect_name=context.get_x_argument(as_dictionary=True).get("dialect", "postgresql"),
    version_table="imagestore_alembic_version",
    transactional_ddl=True,
    literal_binds=True,
)
with context.begin_transaction():
    context.run_migrations(op=Operations(context.get_context()))
