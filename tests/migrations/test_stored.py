"""The databases that earlier releases made, and what this one makes of them."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url, select

from imagestore import Store, migrate
from imagestore.digest import Digest
from imagestore.sql import schema
from imagestore.sql.revision import REVISIONS, require_head
from imagestore.verify import verify
from tests.migrations import stored

SUFFIX = {"sqlite": ".sqlite", "postgresql": ".sql"}


@pytest.fixture(params=REVISIONS)
def revision(request):
    return request.param


@pytest.fixture
def old_url(revision, database_url):
    suffix = SUFFIX[make_url(database_url).get_backend_name()]
    stored.load(stored.FOLDER / f"{revision}{suffix}", database_url)
    return database_url


def test_every_revision_has_its_database():
    for suffix in SUFFIX.values():
        assert {path.stem for path in stored.FOLDER.glob(f"*{suffix}")} == set(REVISIONS)


def test_an_old_database_is_upgraded_with_all_that_it_holds(old_url, revision, connect):
    connection = connect(old_url)
    migrate.upgrade(connection)
    require_head(connection)
    assert migrate.check(connection) == []
    assert {row.digest: row.data for row in connection.execute(select(schema.blobs))} == stored.BLOBS
    keys = connection.execute(select(schema.metadata_keys))
    assert {(digest, key): value for digest, key, value in keys} == stored.METADATA
    images = connection.execute(select(schema.images)).all()
    assert {row.id: (row.parent, row.last_updated, row.last_used) for row in images} == stored.IMAGES
    assert {row.id: row.top for row in images} == stored.TOPS
    has_layers = revision >= "0003"
    layers = set(map(tuple, connection.execute(select(schema.layers))))
    assert layers == (stored.KNOWN_LAYERS | stored.REGISTERED if has_layers else stored.KNOWN_LAYERS)
    for table, row in stored.BESIDE.items():
        assert list(map(tuple, connection.execute(select(table)))) == ([row] if has_layers else [])
    connection.rollback()
    migrate.downgrade(connection, "base")
    assert migrate.current(connection) is None


def test_a_store_opens_it(old_url, connect):
    migrate.upgrade(connect(old_url))
    with Store.open(old_url) as store:
        assert {id: image.raw_json for id, image in store.map().items()} == {
            stored.BASE_ID: stored.BASE,
            stored.CHILD_ID: stored.CHILD,
            stored.WAITING_ID: stored.WAITING,
            stored.OTHER_ID: stored.OTHER,
        }
        assert store.children(stored.BASE_ID) == [stored.CHILD_ID]
        assert store.get_parent(stored.CHILD_ID) == stored.BASE_ID
        assert str(store.get_last_updated(stored.BASE_ID)) == "2020-10-09T12:00:00.5+02:00"
        assert store.is_built_locally(stored.BASE_ID)
        assert store.backend.get(Digest.from_bytes(stored.NO_IMAGE)) == stored.NO_IMAGE
        assert list(verify(store)) == []
        waited_for = store.create(stored.BASE.replace(b"amd64", b"arm64"))
        store.set_parent(stored.WAITING_ID, waited_for)
        assert store.lineage.descendants(waited_for) == [stored.WAITING_ID]
