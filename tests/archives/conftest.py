"""Stores with a place for content, and archives as pipes."""

from __future__ import annotations

import io
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select

from imagestore.sql import schema
from imagestore.store import Store
from imagestore.testing.fixtures import ENGINES


class Pipe(io.RawIOBase):
    """Bytes that cannot be sought in, and come in small pieces."""

    def __init__(self, data: bytes, piece: int = 1 << 16) -> None:
        self._file = io.BytesIO(data)
        self._piece = piece

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(self._piece if size < 0 else min(size, self._piece))


@pytest.fixture
def stocked(store, tmp_path):
    """A store with a place for content, on one engine and then on the other."""
    return Store(store.engine, content=tmp_path / "content")


@pytest.fixture
def sqlite_stocked(sqlite_store, tmp_path):
    """The same on SQLite alone."""
    return Store(sqlite_store.engine, content=tmp_path / "content")


@pytest.fixture(scope="module", params=ENGINES)
def kept_store(request, tmp_path_factory):
    """A store with a place for content that all tests of a module share, on one engine and then on the other."""
    folder = tmp_path_factory.mktemp("kept")
    with ExitStack() as closing:
        if request.param == "sqlite":
            shutil.copyfile(request.getfixturevalue("sqlite_template"), folder / "imagestore.db")
            url = f"sqlite:///{folder / 'imagestore.db'}"
        else:
            server = request.getfixturevalue("postgres_server")
            url = server.create_database(template=request.getfixturevalue("postgres_template"))
            closing.callback(server.drop_database, url)
        yield closing.enter_context(Store.open(url, content=folder / "content"))


@pytest.fixture
def emptied(kept_store):
    """The same, and empty."""
    empty(kept_store)
    return kept_store


def empty(store):
    """Remove all images, and what no image has afterwards."""
    for image_id in store.map():
        store.delete(image_id)
    store.collect()


def leftovers(store):
    """What a store still has: names of tables with rows, and files."""
    tables = [table for table in schema.metadata.sorted_tables if table is not schema.content_location]
    with store.engine.connect() as connection:
        filled = [table.name for table in tables if connection.execute(select(table).limit(1)).first()]
    return filled + [path.name for path in Path(str(store.content), "data").iterdir()]
