"""The upgrade that puts all images into the trie of layers: interrupted anywhere, it goes on where it was."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sqlalchemy
from sqlalchemy import select, update

from imagestore import Store, migrate
from imagestore.errors import SchemaTooOldError
from imagestore.sql import schema, tops
from imagestore.sql.engine import create_engine
from imagestore.sql.revision import require_head
from imagestore.testing.makers import make_random_config
from imagestore.verify import verify

CONFIGS = [make_random_config(seed) for seed in range(30)]


def images_and_layers(url):
    engine = create_engine(url)
    with engine.connect() as connection:
        images = {row.id: row.top for row in connection.execute(select(schema.images.c.id, schema.images.c.top))}
        layers = set(map(tuple, connection.execute(select(schema.layers))))
    engine.dispose()
    return images, layers


@pytest.fixture
def expected(database_url):
    """What the database has, and now had before there were layers."""
    with Store.open(database_url) as store:
        store.create_many(CONFIGS)
        expected = images_and_layers(database_url)
        with store.engine.connect() as connection:
            migrate.downgrade(connection, "0001")
    return expected


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(migrate, "_PAGE", 7)


def test_down_and_up_again_is_the_same(expected, database_url, connect):
    connection = connect(database_url)
    migrate.upgrade(connection)
    require_head(connection)
    assert migrate.check(connection) == []
    assert images_and_layers(database_url) == expected


UPGRADE = """
import os, sys
from imagestore import migrate
from imagestore.sql import tops
from imagestore.sql.engine import create_engine
migrate._PAGE = 7
pages, fill = 0, tops.fill
def fill_two(connection, after, *arguments):
    global pages
    pages += 1
    if pages == 3:
        os.kill(os.getpid(), 9)
    return fill(connection, after, *arguments)
tops.fill = fill_two
with create_engine(sys.argv[1]).connect() as connection:
    migrate.upgrade(connection)
"""


def test_a_kill_in_the_middle(expected, database_url, connect, monkeypatch):
    killed = subprocess.run([sys.executable, "-c", UPGRADE, database_url], check=False)
    assert killed.returncode == -9
    images, _ = images_and_layers(database_url)
    assert sum(top is not None for top in images.values()) in range(8, 15), "two pages of seven, less those in no trie"
    with pytest.raises(SchemaTooOldError, match="0002"):
        Store.open(database_url)
    pages: list[object] = []
    fill = tops.fill

    def counted(*arguments):
        pages.append(arguments)
        return fill(*arguments)

    monkeypatch.setattr(tops, "fill", counted)
    migrate.upgrade(connect(database_url))
    assert len(pages) < len(CONFIGS) / 7  # it does not begin anew
    assert images_and_layers(database_url) == expected


def test_in_a_hosts_transaction_it_is_all_or_nothing(expected, database_url, connect):
    connection = connect(database_url, sqlalchemy.create_engine)
    with connection.begin() as transaction:
        migrate.upgrade(connection)
        transaction.rollback()
    assert migrate.current(connection) == "0001"
    connection.rollback()
    with connection.begin():
        migrate.upgrade(connection)
    assert images_and_layers(database_url) == expected


def test_a_damaged_image_is_passed_over_and_told(expected, database_url, connect):
    connection = connect(database_url)
    damaged = min(image for image, top in expected[0].items() if top is not None)
    connection.execute(update(schema.blobs).where(schema.blobs.c.digest == damaged).values(data=b"no image"))
    connection.commit()
    migrate.upgrade(connection)
    images, _ = images_and_layers(database_url)
    assert images == {**expected[0], damaged: None}
    with Store.open(database_url) as store:
        assert {finding.subject for finding in verify(store)} == {damaged}
