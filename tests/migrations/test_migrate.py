"""Create, upgrade and downgrade, on a connection of its own and in a host's transaction."""

from __future__ import annotations

import pytest
import sqlalchemy
from sqlalchemy import insert, inspect, select, text
from sqlalchemy.exc import OperationalError

from imagestore import migrate
from imagestore.digest import Digest, ImageID
from imagestore.errors import (
    ForeignSchemaError,
    SchemaMissingError,
    SchemaTooNewError,
    SchemaTooOldError,
    UnknownRevisionError,
    UnusableBindError,
)
from imagestore.sql import schema
from imagestore.sql.engine import create_engine
from imagestore.sql.revision import HEAD, require_head


def tables(connection):
    with connection.engine.connect() as other:
        return sorted(inspect(other).get_table_names())


def fill(connection):
    blobs = [f"blob {number}".encode() for number in range(3)]
    ids = [ImageID(Digest.from_bytes(blob)) for blob in blobs]
    connection.execute(
        insert(schema.blobs), [{"digest": id, "data": blob} for id, blob in zip(ids, blobs, strict=True)]
    )
    parents = [None, *ids]
    connection.execute(insert(schema.images), [{"id": id, "parent": parents[place]} for place, id in enumerate(ids)])
    value = str(ids[0]).encode()
    connection.execute(insert(schema.metadata_keys), [{"digest": ids[1], "key": b"parent", "value": value}])
    connection.commit()


OURS = sorted([*schema.metadata.tables, schema.VERSION_TABLE])


@pytest.mark.parametrize("make", [migrate.create, migrate.upgrade])
def test_an_empty_database_gets_the_tables(connection, make):
    assert migrate.current(connection) is None
    make(connection)
    assert not connection.in_transaction()
    assert tables(connection) == OURS
    assert migrate.current(connection) == migrate.head() == HEAD
    require_head(connection)
    assert migrate.check(connection) == []
    assert not connection.in_transaction()


@pytest.mark.parametrize("make", [migrate.create, migrate.upgrade])
def test_once_more_changes_nothing(connection, make):
    make(connection)
    fill(connection)
    make(connection)
    assert connection.scalar(select(sqlalchemy.func.count()).select_from(schema.images)) == 3


def test_a_host_has_tables_of_its_own_beside_ours(host_connection):
    host_connection.execute(text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))
    host_connection.commit()
    with pytest.raises(SchemaMissingError, match="imagestore db upgrade"):
        require_head(host_connection)
    migrate.create(host_connection)
    require_head(host_connection)
    assert tables(host_connection) == [*OURS, "orders"]
    assert migrate.check(host_connection) == []
    migrate.downgrade(host_connection, "base")
    assert tables(host_connection) == ["orders"]


def test_a_downgrade_removes_the_tables_with_what_they_hold(connection):
    migrate.create(connection)
    fill(connection)
    migrate.downgrade(connection, "base")
    assert tables(connection) == []
    assert migrate.current(connection) is None
    migrate.create(connection)
    require_head(connection)
    assert connection.scalar(select(sqlalchemy.func.count()).select_from(schema.blobs)) == 0


def test_a_later_revision_and_back_with_data(connection, next_release):
    migrate.create(connection)
    fill(connection)
    with next_release() as (first, second):
        with pytest.raises(SchemaTooOldError, match=f"{HEAD}.*{second}.*'imagestore db upgrade'"):
            require_head(connection)
        with pytest.raises(SchemaTooOldError):
            migrate.create(connection)
        migrate.upgrade(connection, first)
        assert migrate.current(connection) == first
        migrate.upgrade(connection, HEAD)  # it is beyond already
        assert migrate.current(connection) == first
        migrate.upgrade(connection)
        assert migrate.current(connection) == second
        require_head(connection)
        assert sorted(migrate.check(connection)) == [
            "unexpected column: imagestore_images.note",
            "unexpected index: imagestore_images_last_updated_ix on imagestore_images",
        ]
        migrate.downgrade(connection, HEAD)
        assert migrate.check(connection) == []
        assert connection.scalar(select(sqlalchemy.func.count()).select_from(schema.images)) == 3


def test_a_newer_schema_is_refused_with_both_revisions_named(connection, next_release):
    with next_release() as (_, newest):
        migrate.create(connection)
    for refused in (
        require_head,
        migrate.create,
        migrate.upgrade,
        lambda connection: migrate.downgrade(connection, "base"),
    ):
        with pytest.raises(SchemaTooNewError) as caught:
            refused(connection)
        assert newest in str(caught.value)
        assert HEAD in str(caught.value)
        assert (caught.value.current, caught.value.head) == (newest, HEAD)
    assert migrate.current(connection) == newest
    assert tables(connection) == OURS


def test_tables_that_something_else_made_are_refused(host_connection):
    host_connection.execute(text("CREATE TABLE imagestore_blobs (id INTEGER)"))
    host_connection.commit()
    for refused in (require_head, migrate.current, migrate.create, migrate.upgrade):
        with pytest.raises(ForeignSchemaError, match="imagestore_blobs"):
            refused(host_connection)
        assert not host_connection.in_transaction()
    assert tables(host_connection) == ["imagestore_blobs"]


def test_a_revision_that_is_none_is_named(connection):
    with pytest.raises(UnknownRevisionError, match=r"'0042'.*'0001'"):
        migrate.upgrade(connection, "0042")
    with pytest.raises(UnknownRevisionError):
        migrate.downgrade(connection, "-1")
    assert tables(connection) == []


@pytest.mark.parametrize("make_engine", [create_engine, sqlalchemy.create_engine], ids=["ours", "a host's"])
class TestInTheTransactionOfAHost:
    @pytest.fixture
    def joined(self, database_url, connect, make_engine):
        connection = connect(database_url, make_engine)
        connection.execute(text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))
        connection.commit()
        return connection

    def test_a_rollback_leaves_nothing(self, joined):
        transaction = joined.begin()
        migrate.upgrade(joined)
        joined.execute(text("INSERT INTO orders VALUES (1)"))
        assert migrate.current(joined) == HEAD
        require_head(joined)
        transaction.rollback()
        assert tables(joined) == ["orders"]
        assert joined.scalar(text("SELECT count(*) FROM orders")) == 0

    def test_a_commit_keeps_both(self, joined):
        with joined.begin():
            joined.execute(text("INSERT INTO orders VALUES (1)"))
            migrate.create(joined)
            assert joined.in_transaction()
        assert tables(joined) == [*OURS, "orders"]
        assert joined.scalar(text("SELECT count(*) FROM orders")) == 1

    def test_a_rollback_brings_back_what_a_downgrade_removed(self, joined):
        migrate.create(joined)
        fill(joined)
        transaction = joined.begin()
        migrate.downgrade(joined, "base")
        assert migrate.current(joined) is None
        transaction.rollback()
        require_head(joined)
        assert joined.scalar(select(sqlalchemy.func.count()).select_from(schema.images)) == 3

    def test_a_missing_schema_does_not_cost_the_host_its_transaction(self, joined):
        with joined.begin():
            joined.execute(text("INSERT INTO orders VALUES (1)"))
            with pytest.raises(SchemaMissingError):
                require_head(joined)
            assert migrate.current(joined) is None
        assert joined.scalar(text("SELECT count(*) FROM orders")) == 1

    def test_a_revision_that_fails_leaves_the_host_its_transaction(self, joined, next_release):
        migrate.create(joined)
        joined.execute(text("ALTER TABLE imagestore_images ADD COLUMN note TEXT"))
        joined.commit()
        with next_release() as (first, _), joined.begin():
            joined.execute(text("INSERT INTO orders VALUES (1)"))
            with pytest.raises(sqlalchemy.exc.DBAPIError, match="note"):
                migrate.upgrade(joined, first)
        assert joined.scalar(text("SELECT count(*) FROM orders")) == 1
        assert migrate.current(joined) == HEAD

    def test_a_revision_that_cannot_run_in_one_is_refused_by_name(self, joined, next_release):
        migrate.create(joined)
        with next_release() as (first, second):
            with joined.begin():
                with pytest.raises(
                    UnusableBindError,
                    match=rf"revision {second} \(An index on the last update\).*imagestore db upgrade",
                ):
                    migrate.upgrade(joined)
                assert migrate.current(joined) == HEAD
                migrate.upgrade(joined, first)
            assert migrate.current(joined) == first
            joined.rollback()
            migrate.upgrade(joined)
            assert migrate.current(joined) == second


def test_a_migration_works_within_one_of_the_host(postgres_url, connect):
    """Alembic has one op for the whole process: a host that calls us from a revision of its own must find its op again."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    connection = connect(postgres_url)
    with connection.begin(), Operations.context(MigrationContext.configure(connection)):
        from alembic import op

        migrate.upgrade(op.get_bind())
        op.create_table("orders", sqlalchemy.Column("id", sqlalchemy.Integer))
    assert tables(connection) == [*OURS, "orders"]


@pytest.mark.parametrize("make", [migrate.create, migrate.upgrade])
def test_autocommit_is_refused(postgres_url, connect, make):
    connection = connect(postgres_url, autocommit=True)
    with pytest.raises(UnusableBindError, match="autocommit"):
        make(connection)
    assert tables(connection) == []


def test_a_snapshot_is_refused_as_it_could_not_see_what_it_waited_for(postgres_url, connect):
    connection = connect(postgres_url, sqlalchemy.create_engine, isolation_level="REPEATABLE READ")
    with connection.begin(), pytest.raises(UnusableBindError, match="repeatable read"):
        migrate.create(connection)
    migrate.create(connection)  # in transactions of its own, each of which begins after the lock was had
    require_head(connection)


def test_sqlite_has_no_schemas(sqlite_url, connect):
    connection = connect(sqlite_url)
    with pytest.raises(UnusableBindError, match="'other'"):
        migrate.create(connection, schema="other")
    assert tables(connection) == []


def test_a_read_only_file_is_told_as_the_driver_tells_it(sqlite_url, connect):
    migrate.create(connect(sqlite_url))
    path = sqlite_url.removeprefix("sqlite:///")
    connection = connect(f"sqlite:///file:{path}?mode=ro&uri=true", sqlalchemy.create_engine)
    require_head(connection)
    assert migrate.check(connection) == []
    with pytest.raises(OperationalError, match="readonly"):
        migrate.downgrade(connection, "base")
