"""What runs on the driver's cursor answers, and fails, as the same statement does through SQLAlchemy."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from imagestore.digest import Digest
from imagestore.sql import blobs, images, lineage, metadata, sharing, trie, uses
from imagestore.sql.driver import Read
from imagestore.sql.images import EXISTS
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_digest


def reads():
    for module in (blobs, images, lineage, metadata, sharing, trie, uses):
        for name, value in vars(module).items():
            named = value.items() if isinstance(value, dict) else [("", value)]
            yield from ((f"{module.__name__}.{name}{key}", read) for key, read in named if type(read) is Read)


READS = dict(reads())


def test_the_hot_reads_are_among_them():
    hot = {"images.SELECT", "images.EXISTS", "images.SEARCH", "images.PARENT", "images.PAGESTrue"}
    hot |= {"lineage.ANCESTORS", "trie.BASES", "trie.DERIVED"}
    assert {f"imagestore.sql.{name}" for name in hot} < set(READS)


def in_raw_bytes(value):
    is_digest = isinstance(value, str) and value.startswith("sha256:")
    return Digest(value).raw if is_digest else value


def finding_something(store, read):
    """A value for each parameter of a statement, in a store where it has rows to find."""
    configs = [make_config(name, layers=number) for number, name in enumerate(("root", "child", "grandchild"))]
    root, child, grandchild = store.create_many([*configs, make_config("twin", layers=1)])[:3]
    store.set_parent(child, root)
    store.set_parent(grandchild, child)
    store.touch(child)
    values = dict.fromkeys(("image_id", "blob"), child)
    values |= {"low": bytes(32), "high": b"\xff" * 32, "after": b"", "limit": 10}
    values |= dict.fromkeys(("key", "metadata_key"), metadata.LAST_USED)
    values |= dict.fromkeys(("after_chain", "after_id", "after_never"), b"")
    values |= {"other_id": child, "places": Digest(store.get(child).stack[-1].chain_id).raw, "count": 1}
    values |= {"time": "9", "after_time": ""}
    return {name: values[name] for name, bind in read.statement.compile().binds.items() if bind.required}


def assert_same_answers(store, read):
    values = finding_something(store, read)
    with store._bind._reader.connect() as connection:
        expected = [tuple(map(in_raw_bytes, row)) for row in connection.execute(read.statement, values)]
        raw = {name: in_raw_bytes(value) for name, value in values.items()}
        assert read.all(connection, **raw) == expected
        assert read.first(connection, **raw) == expected[0]


@pytest.mark.parametrize("name", READS)
def test_the_driver_answers_as_sqlalchemy_does(store, name):
    assert_same_answers(store, READS[name])


@pytest.mark.parametrize("name", READS)
def test_a_schema_is_asked_where_the_tables_are_in_one(postgres_url, name):
    with Store.open(postgres_url) as public, Store.open(postgres_url, schema="apart") as store:
        assert_same_answers(store, READS[name])
        assert len(public) == 0


def read_by_sqlalchemy(connection):
    connection.execute(EXISTS.statement, {"image_id": make_digest()})


def read_by_the_driver(connection):
    EXISTS.all(connection, image_id=make_digest().raw)


def failure(engine, prepare, read):
    """What the error of a read tells its receiver, and what it has done to the connection."""
    with engine.connect() as connection:
        prepare(connection)
        with pytest.raises((DBAPIError, InvalidRequestError)) as caught:
            read(connection)
        found = [type(caught.value), connection.closed, connection.invalidated]
        if not connection.closed:
            connection.rollback()
    if isinstance(caught.value, DBAPIError):
        driver, statement, invalidated = caught.value.orig, caught.value.statement, caught.value.connection_invalidated
        return [*found, type(driver), str(driver), statement, invalidated]
    return [*found, str(caught.value)]


def assert_same_errors(engine, prepare):
    """Fail with each on a connection of its own, which `prepare` has brought to where it cannot read."""
    assert failure(engine, prepare, read_by_the_driver) == failure(engine, prepare, read_by_sqlalchemy)


def test_a_missing_table(database_url):
    with Store.open(database_url) as store:
        for table in ("metadata", "references", "images", "blobs"):
            store._bind.write(
                lambda connection, table: connection.exec_driver_sql(f"DROP TABLE imagestore_{table}"), table
            )
        assert_same_errors(store.engine, lambda connection: None)


def test_a_closed_connection(store):
    assert_same_errors(store.engine, lambda connection: connection.close())


def test_a_server_that_ends_the_connection(postgres_store):
    def terminate(connection):
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        with postgres_store.engine.begin() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 10000)")

    assert_same_errors(postgres_store.engine, terminate)


def test_a_transaction_that_has_failed(postgres_store):
    def fail(connection):
        with pytest.raises(DBAPIError):
            connection.exec_driver_sql("SELECT 1 / 0")

    assert_same_errors(postgres_store.engine, fail)


def test_a_statement_that_takes_too_long(postgres_store):
    def lock(connection):
        connection.exec_driver_sql("SET LOCAL lock_timeout = 1")

    with postgres_store.engine.connect() as other, other.begin():
        other.exec_driver_sql("LOCK TABLE imagestore_images")
        assert_same_errors(postgres_store.engine, lock)
