"""Every way to have a store, held against the contracts that are true of it."""

from __future__ import annotations

import pytest
import sqlalchemy

from imagestore.backends.filesystem import FSBackend
from imagestore.backends.sql import SQLBackend
from imagestore.sql.engine import configure
from imagestore.store import Store
from imagestore.testing.layer_store import LayerStoreContract
from imagestore.testing.layer_stores import LayerStoresContract
from imagestore.testing.lineage import LineageContract
from imagestore.testing.references import ReferencesContract
from imagestore.testing.store import StoreContract
from imagestore.testing.transactions import TransactionsContract
from tests.contract.databases import connecting, damage_file, damage_row


class OnDatabases:
    @pytest.fixture(autouse=True)
    def databases(self, new_database, closing, tmp_path_factory):
        self.new_database = new_database
        self.closing = closing
        self.new_folder = lambda: tmp_path_factory.mktemp("content") / "content"

    def damage(self, store, digest, data):
        with store.engine.begin() as connection:
            damage_row(connection, digest, data)


class TestOpenedStore(
    OnDatabases, StoreContract, LineageContract, ReferencesContract, LayerStoresContract, TransactionsContract
):
    def make_store(self, layer_stores=None):
        self.url = self.new_database()
        return self.reopen(None, layer_stores)

    def reopen(self, store, layer_stores=None):
        return self.closing.enter_context(Store.open(self.url, layer_stores=layer_stores))


class TestStoreWithContent(OnDatabases, LayerStoreContract):
    def make_store(self, layer_stores=None):
        self.url = self.new_database()
        self.folder = self.new_folder()
        return self.reopen(None)

    def reopen(self, store, layer_stores=None):
        return self.closing.enter_context(Store.open(self.url, content=self.folder))


class TestStoreOnTheEngineOfAHost(
    OnDatabases, StoreContract, LineageContract, ReferencesContract, LayerStoresContract, TransactionsContract
):
    def make_store(self, layer_stores=None):
        engine = configure(sqlalchemy.create_engine(self.new_database()))
        self.closing.callback(engine.dispose)
        return Store(engine, layer_stores=layer_stores)

    def reopen(self, store, layer_stores=None):
        return Store(store.engine, layer_stores=layer_stores)


class TestStoreInItsOwnSchema(
    StoreContract, LineageContract, ReferencesContract, LayerStoresContract, TransactionsContract
):
    @pytest.fixture(autouse=True)
    def databases(self, postgres_url, closing):
        self.url = postgres_url
        self.closing = closing
        self.schemas = 0

    def make_store(self, layer_stores=None):
        self.schemas += 1
        return self.reopen(None, layer_stores)

    def reopen(self, store, layer_stores=None):
        opened = Store.open(self.url, schema=f"images {self.schemas}", layer_stores=layer_stores)
        return self.closing.enter_context(opened)

    def damage(self, store, digest, data):
        options = {"schema_translate_map": {None: f"images {self.schemas}"}}
        with store.engine.connect().execution_options(**options) as connection, connection.begin():
            damage_row(connection, digest, data)


class TestStoreInMemory(StoreContract, LineageContract, ReferencesContract, LayerStoresContract):
    @pytest.fixture(autouse=True)
    def stack(self, closing):
        self.closing = closing

    def make_store(self, layer_stores=None):
        return self.closing.enter_context(Store.open("sqlite://", layer_stores=layer_stores))

    def reopen(self, store, layer_stores=None):
        return Store(store.engine, layer_stores=layer_stores)

    def damage(self, store, digest, data):
        with store.engine.begin() as connection:
            damage_row(connection, digest, data)


class TestJoinedStore(OnDatabases, StoreContract, LineageContract, ReferencesContract):
    isolation_level = "READ COMMITTED"

    def make_store(self, layer_stores=None):
        url = self.new_database()
        self.store = self.closing.enter_context(Store.open(url))
        options = {"isolation_level": self.isolation_level} if url.startswith("postgresql") else {}
        self.connection = self.closing.enter_context(connecting(url, **options))
        return self.store.joined(self.connection)

    def reopen(self, store, layer_stores=None):
        return self.store.joined(self.connection)

    def damage(self, store, digest, data):
        damage_row(self.connection, digest, data)


class TestStoreJoinedInASnapshot(TestJoinedStore):
    isolation_level = "SERIALIZABLE"

    @pytest.fixture(autouse=True)
    def databases(self, new_postgres_database, closing):
        self.new_database = new_postgres_database
        self.closing = closing


class TestStoreRestoredOverFiles(StoreContract, LayerStoresContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, closing):
        self.root = tmp_path / "imagedb"
        self.closing = closing

    def make_store(self, layer_stores=None):
        return self.closing.enter_context(Store.restore(FSBackend(self.root), layer_stores=layer_stores))

    def reopen(self, store, layer_stores=None):
        return self.closing.enter_context(Store.restore(store.backend, layer_stores=layer_stores))

    def damage(self, store, digest, data):
        damage_file(self.root, digest, data)


class TestStoreRestoredOverSQL(StoreContract, LayerStoresContract):
    @pytest.fixture(autouse=True)
    def databases(self, new_sqlite_database, closing):
        self.new_database = new_sqlite_database
        self.closing = closing

    def make_store(self, layer_stores=None):
        self.url = self.new_database()
        self.inner = self.closing.enter_context(SQLBackend.open(self.url))
        return self.reopen(None, layer_stores)

    def reopen(self, store, layer_stores=None):
        return self.closing.enter_context(Store.restore(self.inner, layer_stores=layer_stores))

    def damage(self, store, digest, data):
        with connecting(self.url) as connection:
            damage_row(connection, digest, data)
