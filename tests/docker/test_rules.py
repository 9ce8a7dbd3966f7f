from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine

from imagestore.docker.rules import remove_image
from imagestore.errors import DependentChildrenError, ImageNotFoundError, InvalidDigestError
from imagestore.testing.makers import make_config, make_digest

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def pair(store):
    parent, child = store.create_many([make_config("parent"), make_config("child")])
    store.set_parent(child, parent)
    return parent, child


def test_an_image_with_children_stays(store, pair):
    parent, child = pair
    with pytest.raises(DependentChildrenError) as caught:
        remove_image(store, parent)
    assert (caught.value.image_id, caught.value.children) == (parent, (child,))
    assert store.children(parent) == [child]
    remove_image(store, child)
    remove_image(store, parent)
    assert len(store) == 0


def test_the_parent_stays(store, pair):
    remove_image(store, pair[1])
    assert list(store.map()) == [pair[0]]


@pytest.mark.parametrize(("image_id", "error"), [(make_digest(), ImageNotFoundError), ("sha256:x", InvalidDigestError)])
def test_what_is_not_there(store, image_id, error):
    with pytest.raises(error):
        remove_image(store, image_id)


def test_an_awaited_image_has_no_children(store):
    parent, child = store.create_many([make_config("parent"), make_config("child")])
    store.backend.set_metadata(child, "parent", make_digest().encode())
    remove_image(store, parent)
    assert parent not in store


def wait_until_blocked(url):
    """Until another connection to the database waits for a lock."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        while not connection.exec_driver_sql(WAITING).scalar():
            pass
    engine.dispose()


def test_a_child_that_comes_meanwhile_is_waited_for(store):
    """Its link is not committed yet when the removal begins."""
    parent, child = store.create_many([make_config("parent"), make_config("child")])
    with ThreadPoolExecutor(1) as thread:
        with store.begin() as joined:
            joined.set_parent(child, parent)
            removal = thread.submit(remove_image, store, parent)
            if store.engine.dialect.name == "postgresql":
                wait_until_blocked(store.engine.url)
        with pytest.raises(DependentChildrenError):
            removal.result()
    assert store.children(parent) == [child]
