"""More digests at once than a statement takes parameters: SQLite 32,766, PostgreSQL 65,535."""

from __future__ import annotations

import pytest

from imagestore.sql import blobs, images, metadata
from imagestore.testing.makers import make_config, make_digest

TOO_MANY = 70_000


@pytest.fixture(scope="module")
def strangers():
    return [make_digest(number) for number in range(TOO_MANY)]


@pytest.mark.parametrize(
    "find", [blobs.get_many, metadata.get_many, images.get_many, images.find_existing], ids=lambda find: find.__name__
)
def test_what_is_there_is_found_among_them(store, strangers, find):
    image_id = store.create(make_config())
    store.touch(image_id)
    assert set(store._bind.read(find, [*strangers, image_id])) == {image_id}


def test_many_parents_are_removed(store, strangers):
    child, parent = store.create_many([make_config("child"), make_config("parent")])
    store.set_parent(child, parent)
    store._bind.write(metadata.remove_parents, [*strangers, child])
    assert store.get_parent(child) is None
