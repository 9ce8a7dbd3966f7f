"""Whose transaction it is: a store's own, a caller's, a snapshot."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

import imagestore
from imagestore import ImageNotFoundError, ParentNotFoundError, Store
from imagestore.errors import ReadOnlyError, SchemaMissingError, UnusableBindError
from imagestore.testing import make_config

MISSING = "sha256:" + "0" * 64


@pytest.fixture
def host(store):
    """An engine of the host's, on the database of the store, with a table of the host's."""
    engine = imagestore.configure(sa.create_engine(store.engine.url))
    sa.Table("builds", sa.MetaData(), sa.Column("image", sa.Text, primary_key=True)).create(engine)
    yield engine
    engine.dispose()


def builds(connection):
    return connection.execute(sa.text("SELECT count(*) FROM builds")).scalar_one()


def test_the_callers_rollback_takes_the_image_back(store, host):
    with host.connect() as connection, connection.begin() as transaction:
        image_id = store.joined(connection).create(make_config(1))
        assert image_id in store.joined(connection)
        assert image_id not in store
        transaction.rollback()
    assert image_id not in store


def test_the_callers_commit_keeps_the_image_and_the_row(store, host):
    with host.begin() as connection:
        image_id = store.joined(connection).create(make_config(1))
        connection.execute(sa.text("INSERT INTO builds VALUES (:image)"), {"image": image_id})
    assert image_id in store
    with host.connect() as connection:
        assert builds(connection) == 1


def test_a_rollback_after_savepoints_alone_leaves_nothing(store, host):
    """The old trap of the SQLite driver: without a BEGIN, the release of the first savepoint commits."""
    with host.connect() as connection:
        transaction = connection.begin()
        with connection.begin_nested():
            image_id = store.joined(connection).create(make_config(1))
        transaction.rollback()
    assert image_id not in store


def test_an_error_undoes_its_own_call_and_leaves_the_callers_transaction(store, host):
    with host.begin() as connection:
        joined = store.joined(connection)
        connection.execute(sa.text("INSERT INTO builds VALUES ('before')"))
        child = joined.create(make_config(1))
        with pytest.raises(ParentNotFoundError):
            joined.set_parent(child, MISSING)
        with pytest.raises(ImageNotFoundError):
            joined.delete(MISSING)
        assert joined.get_parent(child) is None
    assert child in store
    with host.connect() as connection:
        assert builds(connection) == 1


def test_begin_commits_all_or_nothing(store):
    with store.begin() as joined:
        first, second = joined.create(make_config(1)), joined.create(make_config(2))
        joined.set_parent(second, first)
    assert store.get_parent(second) == first
    with pytest.raises(ZeroDivisionError), store.begin() as joined:
        third = joined.create(make_config(3))
        raise ZeroDivisionError
    assert third not in store


def test_a_snapshot_sees_one_state_and_does_not_write(store):
    before = store.create(make_config(1))
    with store.reading() as snapshot:
        assert before in snapshot
        after = store.create(make_config(2))
        store.set_parent(after, before)
        assert after not in snapshot
        assert snapshot.children(before) == []
        assert [image.image_id for image in snapshot.stream()] == [before]
        for write in (
            lambda: snapshot.create(make_config(3)),
            lambda: snapshot.delete(before),
            lambda: snapshot.touch(before),
            lambda: snapshot.begin().__enter__(),
        ):
            with pytest.raises(ReadOnlyError):
                write()
    assert store.children(before) == [after]


def test_a_joined_store_reads_and_begins_on_the_callers_connection(store, host):
    with host.begin() as connection:
        joined = store.joined(connection)
        image_id = joined.create(make_config(1))
        with joined.reading() as snapshot:
            assert image_id in snapshot
            with pytest.raises(ReadOnlyError):
                snapshot.touch(image_id)
        with joined.begin() as same:
            same.touch(image_id)
    assert store.last_used(image_id) is not None


def test_a_hosts_engine_serves_a_store(store, host):
    images = Store(host)
    image_id = images.create(make_config(1))
    assert image_id in store
    with images.reading() as snapshot:
        store.create(make_config(2))
        assert len(snapshot) == 1
    images.close()
    with host.connect() as connection:
        assert builds(connection) == 0, "close() leaves the host's engine as it is"


def test_a_connection_without_a_transaction_is_refused(store, host):
    with host.connect() as connection, pytest.raises(UnusableBindError, match="begin one first"):
        store.joined(connection)


def test_a_closed_connection_is_refused(store, host):
    with host.begin() as connection:
        joined = store.joined(connection)
    with pytest.raises(UnusableBindError, match="closed"):
        joined.create(make_config(1))


def test_an_autocommit_connection_is_refused(postgres_store):
    engine = sa.create_engine(postgres_store.engine.url, isolation_level="AUTOCOMMIT")
    with engine.begin() as connection, pytest.raises(UnusableBindError, match="begin one first"):
        postgres_store.joined(connection)
    engine.dispose()


def test_an_engine_that_configure_has_not_seen_is_refused(sqlite_store):
    engine = sa.create_engine(sqlite_store.engine.url)
    with pytest.raises(UnusableBindError, match=r"imagestore\.configure"):
        Store(engine)
    with engine.begin() as connection:
        with pytest.raises(UnusableBindError, match=r"imagestore\.configure"):
            sqlite_store.joined(connection)
        connection.exec_driver_sql("CREATE TABLE host (n)")
        connection.exec_driver_sql("INSERT INTO host VALUES (1)")
        with pytest.raises(UnusableBindError, match="foreign keys"):
            sqlite_store.joined(connection)
    engine.dispose()


def test_a_schema_of_its_own(postgres_url):
    engine = sa.create_engine(postgres_url)
    with Store.open(postgres_url, schema="Our images") as store:
        image_id = store.create(make_config(1))
        with engine.begin() as connection:
            child = store.joined(connection).create(make_config(2))
            store.joined(connection).set_parent(child, image_id)
            names = connection.execute(
                sa.text("SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'imagestore_%'")
            )
            assert names.scalars().all() == ["Our images"]
            with pytest.raises(sa.exc.ProgrammingError), connection.begin_nested():
                connection.execute(sa.text("SELECT 1 FROM imagestore_images"))
        with store.reading() as snapshot:
            assert snapshot.children(image_id) == [child]
    with pytest.raises(SchemaMissingError):
        Store(engine)
    assert image_id in Store(engine, schema="Our images")
    engine.dispose()


def test_a_restored_store_has_no_transactions(store):
    restored = Store.restore(store.backend)
    with pytest.raises(UnusableBindError, match="copy its backend"), restored.begin():
        pass
    with pytest.raises(UnusableBindError, match="copy its backend"):
        restored.joined(None)
    restored.close()
