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
def old_url(request, database_url):
    stored.load(
        (stored.FOLDER / request.param).with_suffix(SUFFIX[make_url(database_url).get_backend_name()]),
        database_url,
    )
    return database_url


def rows(connection, table, key):
    found = {tuple(row[:key]): tuple(row[key:]) for row in connection.execute(select(table))}
    return {id[0] if key == 1 else id: rest[0] if len(rest) == 1 else rest for id, rest in found.items()}


def test_every_revision_has_its_database():
    for suffix in SUFFIX.values():
        assert {path.stem for path in stored.FOLDER.glob(f"*{suffix}")} == set(REVISIONS)


def test_an_old_database_is_upgraded_with_all_that_it_holds(old_url, connect):
    connection = connect(old_url)
    migrate.upgrade(connection)
    require_head(connection)
    assert migrate.check(connection) == []
    assert rows(connection, schema.blobs, 1) == stored.BLOBS
    assert rows(connection, schema.metadata_keys, 2) == stored.METADATA
    assert {id: row[:3] for id, row in rows(connection, schema.images, 1).items()} == stored.IMAGES
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
