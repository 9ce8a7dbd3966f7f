"""A driver's error stays what it is, and has its remedy as a note, whichever call of a store meets it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

import imagestore
from imagestore import Store
from imagestore.testing.makers import make_config, make_digest


def begin(store):
    with store.begin():
        pass


def read(store):
    with store.reading() as snapshot:
        len(snapshot)


CALLS = {
    "create": lambda store: store.create(make_config()),
    "begin": begin,
    "open": lambda store: Store.open(store.engine.url),
    "in": lambda store: make_digest() in store,
    "reading": read,
}


def told(error):
    return getattr(error, "__notes__", [])


@pytest.mark.parametrize("name", ["create", "begin"])
def test_another_writer_who_does_not_end(sqlite_store, name):
    with (
        Store.open(sqlite_store.engine.url, timeout=0) as impatient,
        sqlite_store.begin(),
        pytest.raises(OperationalError) as caught,
    ):
        CALLS[name](impatient)
    assert ["another connection has kept the database locked" in note for note in told(caught.value)] == [True]


@pytest.mark.parametrize("name", CALLS)
def test_a_file_that_is_no_database(tmp_path, name):
    path = tmp_path / "images.db"
    Store.open(f"sqlite:///{path}").close()
    store = Store(imagestore.configure(sa.create_engine(f"sqlite:///{path}")))
    store.engine.dispose()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(DBAPIError) as caught:
        CALLS[name](store)
    assert ["this file is no SQLite database" in note for note in told(caught.value)] == [True]


def test_a_callers_transaction_that_has_failed(postgres_store):
    with postgres_store.engine.connect() as connection, connection.begin():
        joined = postgres_store.joined(connection)
        with pytest.raises(DBAPIError):
            connection.exec_driver_sql("SELECT 1 / 0")
        for call in (CALLS["create"], CALLS["in"]):
            with pytest.raises(DBAPIError) as caught:
                call(joined)
            assert told(caught.value) == [
                "the transaction had failed before this call; roll it back and begin a new one"
            ]
