"""The rules of a store on an engine: who commits, who sees what, and that nothing is kept in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Column, Integer, MetaData, Table, func, select

from imagestore.digest import ImageID
from imagestore.errors import ImageNotFoundError, ParentNotFoundError, ReadOnlyError, UnusableBindError
from imagestore.testing.layers import RecordingLayerStore
from imagestore.testing.makers import make_config, make_digest
from imagestore.testing.refusal import refusal
from imagestore.testing.subject import StoreSubject

_THREADS = 4

host_rows = Table("host_rows", MetaData(), Column("id", Integer, primary_key=True))
"""A table of the host, beside ours."""


class TransactionsContract(StoreSubject):
    """What a `Store` on an Engine adds to `StoreContract`. `make_store` gives one whose database the test may add tables to."""

    # Many stores on one database

    def test_what_one_store_writes_all_others_see_at_once(self) -> None:
        store = self.make_store()
        other = self.reopen(store)
        parent, child = store.create(make_config("parent")), other.create(make_config("child"))
        assert list(store.map()) == list(other.map()) == sorted([parent, child])
        store.set_parent(child, parent)
        assert other.children(parent) == [child]
        assert list(other.heads()) == [child]
        other.delete(parent)
        assert store.get_parent(child) is None
        refusal(ImageNotFoundError, store.delete, parent)

    def test_what_the_port_writes_every_store_sees_at_once(self) -> None:
        store = self.make_store()
        backend = self.reopen(store).backend
        parent, child = (ImageID.from_digest(backend.set(make_config(number))) for number in range(2))
        backend.set(b"no image")
        assert list(store.map()) == sorted([parent, child])
        assert len(store) == 2
        backend.set_metadata(child, "parent", parent.encode())
        assert store.children(parent) == [child]
        backend.delete(parent)
        assert store.children(parent) == []
        assert list(store.heads()) == [child]
        assert store.get_parent(child) == parent

    def test_a_blob_that_is_no_image_is_in_no_answer(self) -> None:
        store = self.make_store()
        blob = store.backend.set(b"no image")
        store.backend.set_metadata(blob, "lastUpdated", b"2020-01-02T03:04:05Z")
        for call in (store.get, store.search, store.delete, store.get_parent, store.touch, store.lineage.ancestors):
            refusal(ImageNotFoundError, call, blob)
        assert blob not in store
        assert store.map() == store.get_many([blob]) == {}
        assert list(store.backend.walk()) == [blob]
        image_id = store.create(make_config())
        refusal(ParentNotFoundError, store.set_parent, image_id, blob)
        store.backend.set_metadata(image_id, "parent", blob.encode())
        assert store.get_parent(image_id) == blob
        assert store.children(blob) == store.lineage.ancestors(image_id) == []

    def test_threads_share_a_store(self) -> None:
        store = self.make_store()
        configs = [make_config(number) for number in range(20)]
        with ThreadPoolExecutor(_THREADS) as threads:
            made = list(threads.map(lambda _: [store.create(config) for config in configs], range(_THREADS)))
        assert made == [[ImageID.from_bytes(config) for config in configs]] * _THREADS
        assert len(store) == 20
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(lambda child: store.set_parent(child, made[0][0]), made[0][1:]))
            found = list(threads.map(store.get, made[0]))
        assert [image.raw_json for image in found] == configs
        assert len(store.children(made[0][0])) == 19

    # begin

    def test_begin_commits_all_at_its_end(self) -> None:
        store = self.make_store()
        with store.begin() as joined:
            parent, child = joined.create(make_config("parent")), joined.create(make_config("child"))
            joined.set_parent(child, parent)
            joined.touch(child)
            joined.backend.set_metadata(child, "key", b"value")
            assert joined.children(parent) == [child]
            assert len(joined) == 2
            assert len(store) == 0
        opened = self.reopen(store)
        assert opened.children(parent) == [child]
        assert opened.last_used(child) is not None
        assert opened.backend.get_metadata(child, "key") == b"value"

    def test_begin_takes_all_back_at_an_exception(self) -> None:
        store = self.make_store()
        there = store.create(make_config("there"))

        def fail() -> None:
            with store.begin() as joined:
                joined.set_parent(joined.create(make_config("child")), there)
                joined.delete(there)
                joined.backend.set(b"no image")
                raise KeyError("the host's own")

        refusal(KeyError, fail)
        assert list(store.map()) == list(store.backend.walk()) == [there]

    def test_an_error_in_a_transaction_takes_back_its_own_call(self) -> None:
        store = self.make_store()
        with store.begin() as joined:
            image_id = joined.create(make_config())
            refusal(ParentNotFoundError, joined.set_parent, image_id, make_digest())
            refusal(ImageNotFoundError, joined.delete, make_digest())
            refusal(ImageNotFoundError, joined.touch, make_digest())
            joined.touch(image_id)
        assert list(store.map()) == [image_id]
        assert store.last_used(image_id) is not None
        assert store.get_parent(image_id) is None

    def test_begin_in_a_transaction_goes_on_with_it(self) -> None:
        store = self.make_store()
        with store.begin() as joined:
            with joined.begin() as nested:
                image_id = nested.create(make_config())
            assert image_id not in store
        assert image_id in store

    # joined

    def test_images_and_rows_of_the_host_go_together(self) -> None:
        store = self.make_store()
        host_rows.create(store.engine)
        with store.engine.connect() as connection:
            for commits in (False, True):
                with connection.begin() as transaction:
                    connection.execute(host_rows.insert().values(id=1))
                    image_id = store.joined(connection).create(make_config())
                    connection.execute(host_rows.insert().values(id=2))
                    if not commits:
                        transaction.rollback()
                assert (image_id in store) is commits
                with store.engine.begin() as other:
                    assert other.execute(select(func.count()).select_from(host_rows)).scalar() == (2 if commits else 0)

    def test_a_joined_store_writes_before_the_host_does(self) -> None:
        store = self.make_store()
        with store.engine.connect() as connection, connection.begin() as transaction:
            image_id = store.joined(connection).create(make_config())
            transaction.rollback()
        assert image_id not in store

    def test_a_closed_joined_store_leaves_the_connection_open(self) -> None:
        store = self.make_store()
        with store.engine.begin() as connection:
            with store.joined(connection) as joined:
                image_id = joined.create(make_config())
            assert joined.get(image_id).raw_json == make_config()
        assert image_id in store

    def test_only_an_open_connection_in_a_transaction_can_be_joined(self) -> None:
        store = self.make_store()
        with store.engine.connect() as connection:
            assert "transaction" in str(refusal(UnusableBindError, store.joined, connection))
        assert "closed" in str(refusal(UnusableBindError, store.joined, connection))

    def test_a_joined_store_ends_with_its_transaction(self) -> None:
        store = self.make_store()
        with store.engine.connect() as connection:
            with connection.begin():
                joined = store.joined(connection)
                joined.create(make_config())
            refusal(UnusableBindError, joined.create, make_config("late"))
        assert len(store) == 1

    def test_a_store_with_layer_stores_is_not_joined(self) -> None:
        layers = RecordingLayerStore()
        store = self.make_store({"linux": layers})

        def begin() -> None:
            with store.begin():
                pass

        with store.engine.begin() as connection:
            assert "layer stores" in str(refusal(UnusableBindError, store.joined, connection))
        assert "layer stores" in str(refusal(UnusableBindError, begin))

    # reading

    def test_a_snapshot_sees_one_state(self) -> None:
        store = self.make_store()
        parent, child, doomed = store.create_many(make_config(number) for number in range(3))
        with store.reading() as snapshot:
            assert len(snapshot) == 3
            store.set_parent(child, parent)
            store.touch(child)
            store.create(make_config("new"))
            store.delete(doomed)
            assert list(snapshot.map()) == sorted([parent, child, doomed])
            assert [image.image_id for image in snapshot.stream(heads=True)] == sorted([parent, child, doomed])
            assert snapshot.get_parent(child) is None
            assert snapshot.last_used(child) is None
            assert snapshot.search(doomed) == doomed
            assert snapshot.get(doomed).raw_json == make_config(2)
            assert len(store) == 3
        with store.reading() as snapshot:
            assert list(snapshot.map()) == list(store.map())
            assert snapshot.get_parent(child) == parent

    def test_a_snapshot_is_for_reading(self) -> None:
        store = self.make_store()
        one, other = store.create_many(make_config(number) for number in range(2))
        with store.reading() as snapshot:
            for call, *arguments in (
                (snapshot.create, make_config("new")),
                (snapshot.create_many, [make_config("new")]),
                (snapshot.delete, one),
                (snapshot.set_parent, one, other),
                (snapshot.set_last_updated, one),
                (snapshot.touch, one),
                (snapshot.set_built_locally, one),
                (snapshot.backend.set, b"blob"),
                (snapshot.backend.delete, one),
                (snapshot.backend.set_metadata, one, "key", b"value"),
                (snapshot.backend.delete_metadata, one, "key"),
            ):
                refusal(ReadOnlyError, call, *arguments)
        assert list(store.map()) == sorted([one, other])
        assert store.get_parent(one) is None

    def test_a_snapshot_of_a_transaction_sees_its_writes(self) -> None:
        store = self.make_store()
        with store.begin() as joined:
            image_id = joined.create(make_config())
            with joined.reading() as snapshot:
                assert list(snapshot.map()) == [image_id]
                refusal(ReadOnlyError, snapshot.delete, image_id)
            joined.touch(image_id)
        assert store.last_used(image_id) is not None
