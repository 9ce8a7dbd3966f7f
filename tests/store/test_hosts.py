"""A host's own engine, connection and schema: what is used as it is, and what is refused."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

import imagestore
from imagestore import Store
from imagestore.errors import SchemaMissingError, UnusableBindError
from imagestore.testing.makers import make_config
from imagestore.testing.refusal import refusal


@pytest.fixture
def host(store):
    """An engine of the host's, on the database of the store, with a table of the host's."""
    engine = imagestore.configure(sa.create_engine(store.engine.url))
    sa.Table("builds", sa.MetaData(), sa.Column("image", sa.Text, primary_key=True)).create(engine)
    yield engine
    engine.dispose()


def builds(connection):
    return connection.execute(sa.text("SELECT count(*) FROM builds")).scalar_one()


def test_a_rollback_after_savepoints_alone_leaves_nothing(store, host):
    """The old trap of the SQLite driver: without a BEGIN, the release of the first savepoint commits."""
    with host.connect() as connection:
        transaction = connection.begin()
        with connection.begin_nested():
            image_id = store.joined(connection).create(make_config(1))
        transaction.rollback()
    assert image_id not in store


def test_a_hosts_engine_serves_a_store(store, host):
    images = Store(host)
    image_id = images.create(make_config(1))
    assert image_id in store
    with images.reading() as snapshot:
        assert image_id in snapshot
        store.create(make_config(2))
        assert len(snapshot) == 1
    images.close()
    with host.connect() as connection:
        assert builds(connection) == 0, "close() leaves the host's engine as it is"


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
    for error in (refusal(UnusableBindError, restored.begin), refusal(UnusableBindError, restored.joined, None)):
        assert "copy its backend" in str(error)
    restored.close()
