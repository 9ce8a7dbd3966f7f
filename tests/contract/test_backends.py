"""Every backend of this package, held against the contract of the port."""

from __future__ import annotations

import pytest
import sqlalchemy

from imagestore.backends.filesystem import FSBackend
from imagestore.backends.sql import SQLBackend
from imagestore.sql.engine import configure
from imagestore.store import Store
from imagestore.testing.backend import ListsMetadataKeysContract, StoreBackendContract, WorksInBulkContract
from tests.contract.databases import connecting, damage_file, damage_row


class TestFSBackend(StoreBackendContract, ListsMetadataKeysContract):
    @pytest.fixture(autouse=True)
    def folders(self, tmp_path):
        self.tmp_path = tmp_path

    def make_backend(self):
        self.root = self.tmp_path / str(len(list(self.tmp_path.iterdir())))
        return FSBackend(self.root)

    def damage(self, backend, digest, data):
        damage_file(self.root, digest, data)


class TestSQLBackend(StoreBackendContract, ListsMetadataKeysContract, WorksInBulkContract):
    @pytest.fixture(autouse=True)
    def databases(self, new_database, closing):
        self.new_database = new_database
        self.closing = closing

    def make_backend(self):
        self.url = self.new_database()
        return self.closing.enter_context(SQLBackend.open(self.url))

    def damage(self, backend, digest, data):
        with connecting(self.url) as connection:
            damage_row(connection, digest, data)


class TestSQLBackendOnTheEngineOfAHost(TestSQLBackend):
    def make_backend(self):
        self.url = self.new_database()
        engine = configure(sqlalchemy.create_engine(self.url))
        self.closing.callback(engine.dispose)
        return SQLBackend(engine)


class TestJoinedBackend(TestSQLBackend):
    def make_backend(self):
        url = self.new_database()
        store = self.closing.enter_context(Store.open(url))
        self.connection = self.closing.enter_context(connecting(url))
        return store.joined(self.connection).backend

    def damage(self, backend, digest, data):
        damage_row(self.connection, digest, data)
