"""A PostgreSQL server that is stopped and started while stores are open."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from imagestore.store import Store
from imagestore.testing.makers import make_config
from imagestore.testing.postgres import VARIABLE, postgres_server
from imagestore.verify import verify

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
    "in": lambda store: store.search("sha256:0"),
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


@pytest.mark.parametrize("name", CALLS)
def test_a_restart_between_two_calls_is_not_noticed(server, url, name): ...
