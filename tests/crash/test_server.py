"""A PostgreSQL server that is stopped and started while stores are open."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from imagestore.store import Store
from imagestore.testing.makers import make_config, make_digest
from imagestore.testing.postgres import VARIABLE, postgres_server
from imagestore.verify import verify
from tests.crash.database import failure

BLOCKS = ("begin", "reading")  # what a block has done is not the store's to repeat
REMEDIES = ("the server cannot be reached", "the server was stopped")


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)  # that one may not be stopped
        with postgres_server() as started:
            yield started


@pytest.fixture
def url(server):
    url = server.create_database()
    yield url
    server.drop_database(url)


def read(store):
    with store.reading() as snapshot:
        len(snapshot)


def begin(store):
    with store.begin() as joined:
        joined.create(make_config("begun"))


CALLS = {
    "create": lambda store: store.create(make_config("new")),
    "backend.set": lambda store: store.backend.set(b"no image"),
    "begin": begin,
    "in": lambda store: make_digest() in store,
    "len": len,
    "map": lambda store: store.map(),
    "reading": read,
    "walk": lambda store: list(store.backend.walk()),
}


def told(error):
    return [note for note in getattr(error, "__notes__", []) if note.startswith(REMEDIES)]


def test_each_call_tells_of_a_server_that_is_stopped_and_works_when_it_is_back(server, url):
    with Store.open(url) as store:
        image_id = store.create(make_config())
        server.stop()
        try:
            for name, call in CALLS.items():
                with pytest.raises(OperationalError) as caught:
                    call(store)
                assert told(caught.value), name
        finally:
            server.start()
        assert store.get(image_id).raw_json == make_config()
        store.touch(image_id)
        assert list(verify(store)) == []


def test_a_restart_between_two_calls_is_noticed_by_blocks_alone(server, url):
    with Store.open(url) as store:
        for name, call in CALLS.items():
            store.touch(store.create(make_config()))
            assert len(store) > 0
            server.stop()
            server.start()
            error = failure(call, store)
            assert error is None or (name in BLOCKS and told(error)), f"{name}: {error}"
            call(store)
            assert list(verify(store)) == [], name


def test_a_host_whose_transaction_is_cut_cannot_commit_it(server, url):
    with Store.open(url) as store:
        with store.engine.connect() as connection:
            transaction = connection.begin()
            joined = store.joined(connection)
            image_id = joined.create(make_config())
            server.stop()
            server.start()
            with pytest.raises(OperationalError) as caught:
                joined.touch(image_id)
            assert told(caught.value)
            with pytest.raises(SQLAlchemyError):
                transaction.commit()
            transaction.rollback()
            with connection.begin():
                assert store.joined(connection).create(make_config()) == image_id
        assert list(store.map()) == [image_id]
