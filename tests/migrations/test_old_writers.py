"""Processes of revision 0001, which know no layers, write while the tables are upgraded: all that they add finds its place in the trie."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, make_url, select, text

from imagestore import Store, migrate
from imagestore.digest import ImageID
from imagestore.image import Image
from imagestore.sql import layers, schema
from imagestore.sql.revision import HEAD
from imagestore.testing.makers import make_config, make_random_config
from imagestore.verify import verify
from tests.migrations import stored

CONFIGS = [*(make_random_config(seed) for seed in range(20)), make_config("without layers")]
INSERT_BLOB = text("INSERT INTO imagestore_blobs (digest, data) VALUES (:digest, :data)")
INSERT_IMAGE = text(
    "INSERT INTO imagestore_images (id, parent, last_updated, last_used) VALUES (:digest, NULL, NULL, NULL)"
)
DELETE = text("DELETE FROM imagestore_blobs WHERE digest = :digest")
LOCK = text("SELECT id FROM imagestore_images WHERE id = :digest FOR UPDATE")
TOUCH = text("UPDATE imagestore_images SET last_used = NULL WHERE id = :digest")
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


def create(connection, config):
    """What 0001 did to create an image."""
    image_id = ImageID.from_bytes(config)
    connection.execute(INSERT_BLOB, {"digest": image_id.raw, "data": config})
    connection.execute(INSERT_IMAGE, {"digest": image_id.raw})
    return image_id


def check(url, configs):
    """These images are there, each on top of its layers."""
    expected = {ImageID.from_bytes(config): layers.top_of(Image.from_json(config).stack) for config in configs}
    with Store.open(url) as store:
        with store.engine.connect() as connection:
            found = connection.execute(select(schema.images.c.id, schema.images.c.top)).all()
        assert {row.id: row.top for row in found} == expected
        assert list(verify(store)) == []


@pytest.fixture
def old_writer(database_url, connect):
    """A connection of a process that has opened the database of revision 0001, which holds a few images."""
    suffix = {"sqlite": ".sqlite", "postgresql": ".sql"}[make_url(database_url).get_backend_name()]
    stored.load(stored.FOLDER / f"0001{suffix}", database_url)
    return connect(database_url)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(migrate, "_PAGE", 1)


def test_they_write_between_any_two_transactions(database_url, old_writer, connect):
    """Before each of them an image comes, and now and then one goes whose layers are in the trie already, or not."""
    connection = connect(database_url)
    # Images are filled from the lowest ID up: those that come later are below what has been filled.
    coming = iter(sorted(CONFIGS, key=ImageID.from_bytes, reverse=True))
    there = [*stored.CONFIGS]

    def write(_connection):
        if migrate.current(old_writer) != HEAD:
            with old_writer.begin():
                there.append(next(coming))
                create(old_writer, there[-1])
                if len(there) % 4 == 0:
                    old_writer.execute(DELETE, {"digest": ImageID.from_bytes(there.pop(-2)).raw})

    event.listen(connection.engine, "begin", write, insert=True)  # before ours, which sends BEGIN on SQLite
    migrate.upgrade(connection)
    event.remove(connection.engine, "begin", write)
    check(database_url, there)


def test_one_that_is_in_the_middle_of_a_transaction_is_waited_for(postgres_url, connect):
    """It holds an image that is not filled yet, and changes that and adds another when the last step waits for it already."""
    stored.load(stored.FOLDER / "0002.sql", postgres_url)
    connection, old_writer, looks = (connect(postgres_url) for _ in range(3))
    migrate.upgrade(connection)
    migrate.downgrade(connection, "0002")
    held, added = sorted(CONFIGS, key=ImageID.from_bytes)[:2]
    with old_writer.begin():
        create(old_writer, held)
    with ThreadPoolExecutor(1) as thread:
        with old_writer.begin():
            old_writer.execute(LOCK, {"digest": ImageID.from_bytes(held).raw})
            upgrade = thread.submit(migrate.upgrade, connection)
            while not looks.execute(WAITING).scalar():
                looks.rollback()
            old_writer.execute(TOUCH, {"digest": ImageID.from_bytes(held).raw})
            create(old_writer, added)
        upgrade.result()
    check(postgres_url, [*stored.CONFIGS, held, added])


def test_what_one_adds_that_outlives_the_upgrade_is_for_a_repair(database_url, old_writer, connect):
    """Nobody is there who would fill it: as docs/embedding.md tells, stop the last old process, and repair."""
    migrate.upgrade(connect(database_url))
    with old_writer.begin():
        late = create(old_writer, CONFIGS[0])
    with Store.open(database_url) as store:
        assert [(finding.kind.value, finding.subject) for finding in verify(store)] == [("wrong-top", late)]
        assert all(finding.repaired for finding in verify(store, repair=True))
    check(database_url, [*stored.CONFIGS, CONFIGS[0]])
