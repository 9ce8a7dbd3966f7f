"""The database against the tables of imagestore.sql.schema, and a host's own comparison beside them."""

from __future__ import annotations

import re

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Integer, MetaData, Table, inspect, text

from imagestore import migrate
from imagestore.sql import schema

CATALOG = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE name LIKE 'imagestore\\_%' ESCAPE '\\' AND name <> :versions",
    "postgresql": """
        SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid::regclass::text LIKE 'imagestore\\_%' AND conrelid::regclass::text <> :versions
        UNION ALL
        SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'imagestore\\_%' AND tablename <> :versions
        UNION ALL
        SELECT table_name || '.' || column_name, ordinal_position || ' ' || data_type || ' ' || is_nullable
        FROM information_schema.columns WHERE table_name LIKE 'imagestore\\_%' AND table_name <> :versions
    """,
}


# SQLite writes a foreign key of a column that was added later beside that column; `migrate.check` compares whose they are.
FOREIGN_KEY = re.compile(r"FOREIGN KEY ?\(\w+\)")


def catalog(connection):
    """What the database itself says about our tables: constraints, kinds of tables, conditions of indexes."""
    rows = connection.execute(text(CATALOG[connection.dialect.name]), {"versions": schema.VERSION_TABLE})
    found = {
        name: sorted(FOREIGN_KEY.sub("", " ".join(definition.split())).replace(",", " ").split())
        for name, definition in rows
    }
    connection.rollback()
    return found


def test_the_revisions_make_exactly_the_tables_of_the_schema(connection):
    schema.metadata.create_all(connection)
    connection.commit()
    expected = catalog(connection)
    assert len(expected) >= len(schema.metadata.tables)
    schema.metadata.drop_all(connection)
    connection.commit()
    migrate.create(connection)
    assert catalog(connection) == expected
    assert migrate.check(connection) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("CREATE TABLE imagestore_more (id INTEGER)", ["unexpected table: imagestore_more"]),
        ("ALTER TABLE imagestore_blobs ADD COLUMN more TEXT", ["unexpected column: imagestore_blobs.more"]),
        ("ALTER TABLE imagestore_images DROP COLUMN last_updated", ["missing column: imagestore_images.last_updated"]),
        ("CREATE INDEX more ON imagestore_blobs (data)", ["unexpected index: more on imagestore_blobs"]),
        ("DROP INDEX imagestore_images_parent_ix", ["missing index: imagestore_images_parent_ix on imagestore_images"]),
        (
            "DROP TABLE imagestore_metadata",
            [
                "missing table: imagestore_metadata",
                "missing index: imagestore_metadata_parent_named_ix on imagestore_metadata",
            ],
        ),
    ],
)
def test_a_difference_is_told(connection, change, found):
    migrate.create(connection)
    connection.execute(text(change))
    connection.commit()
    assert migrate.check(connection) == found
    with connection.begin():
        assert migrate.check(connection) == found
        assert connection.in_transaction()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "ALTER TABLE imagestore_images ALTER COLUMN last_used TYPE INTEGER USING 1",
            "different type: imagestore_images.last_used is INTEGER(), not Text()",
        ),
        (
            "ALTER TABLE imagestore_blobs ALTER COLUMN data DROP NOT NULL",
            "different nullable: imagestore_blobs.data is True, not False",
        ),
        (
            "ALTER TABLE imagestore_images DROP CONSTRAINT imagestore_images_parent_fk",
            "missing fk: imagestore_images_parent_fk on imagestore_images",
        ),
    ],
)
def test_a_difference_that_only_postgresql_can_have_is_told(postgres_url, connect, change, found):
    connection = connect(postgres_url)
    migrate.create(connection)
    connection.execute(text(change))
    connection.commit()
    assert migrate.check(connection) == [found]


def test_tables_of_the_host_are_not_looked_at(host_connection):
    migrate.create(host_connection)
    host_connection.execute(text("CREATE TABLE orders (id INTEGER)"))
    host_connection.execute(text("CREATE INDEX imagestore_orders_ix ON orders (id)"))
    host_connection.commit()
    assert migrate.check(host_connection) == []


def test_a_hosts_autogenerate_leaves_our_tables_alone(host_connection):
    migrate.create(host_connection)
    host = MetaData()
    Table("orders", host, Column("id", Integer, primary_key=True))
    Table("bills", host, Column("id", Integer, primary_key=True))
    host_connection.execute(text("CREATE TABLE orders (id INTEGER NOT NULL PRIMARY KEY)"))
    host_connection.execute(text("CREATE TABLE gone (id INTEGER NOT NULL PRIMARY KEY)"))
    host_connection.commit()

    def proposed(**options):
        context = MigrationContext.configure(host_connection, opts={"target_metadata": host, **options})
        changes = compare_metadata(context, host)
        host_connection.rollback()
        return {(change[0], change[-1].name) for change in changes}

    expected = {("add_table", "bills"), ("remove_table", "gone")}
    assert proposed(include_name=migrate.include_name) == expected
    assert {name for change, name in proposed() - expected if change == "remove_table"} == {
        *schema.metadata.tables,
        schema.VERSION_TABLE,
    }
    assert not sqlalchemy.inspect(host_connection).has_table("bills")
    assert inspect(host_connection).has_table("imagestore_images")
