"""Every backend of this package, held against the contract of the port."""

from __future__ import annotations

import pytest
import sqlalchemy

from imagestore.backends.filesystem import FSBackend
from imagestore.backends.sql import SQLBackend
from imagestore.sql.engine import configure
from imagestore.store import Store
from imagestore.testing.backend import StoreBackendContract
from tests.contract.damage import damage_file, damage_row


class TestFSBackend(StoreBackendContract):
    @pytest.fixture(autouse=True)
    def folders(self, tmp_path):
        self.folder = tmp_path
        self.roots = {}

    def make_backend(self):
        root = self.folder / str(len(self.roots))
        backend = FSBackend(root)
        self.roots[id(backend)] = (root, backend)
        return backend

    def damage(self, backend, digest, data):
        damage_file(self.roots[id(backend)][0], digest, data)


class TestSQLBackend(StoreBackendContract):
    @pytest.fixture(autouse=True)
    def databases(self, new_database, closing):
        self.new_database = new_database
        self.closing = closing

    def make_backend(self):
        return self.closing.enter_context(SQLBackend.open(self.new_database()))

    def damage(self, backend, digest, data):
        with backend.engine.begin() as connection:
            damage_row(connection, digest, data)


class TestSQLBackendOnTheEngineOfAHost(TestSQLBackend):
    def make_backend(self):
        engine = configure(sqlalchemy.create_engine(self.new_database()))
        self.closing.callback(engine.dispose)
        return SQLBackend(engine)


class TestJoinedBackend(TestSQLBackend):
    def make_backend(self):
        store = self.closing.enter_context(Store.open(self.new_database()))
        self.connection = self.closing.enter_context(store.engine.connect())
        self.closing.enter_context(self.connection.begin())
        return store.joined(self.connection).backend

    def damage(self, backend, digest, data):
        damage_row(self.connection, digest, data)
