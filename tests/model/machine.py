"""A store of images and the dict-based model of `tests.model.model` go through the same calls, and have to agree after each."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import delete

from imagestore.digest import ImageID
from imagestore.errors import ImageStoreError
from imagestore.gojson import GoTime
from imagestore.sql import schema
from imagestore.store import Store
from imagestore.verify import FindingKind, verify
from tests.model.model import Model
from tests.model.universe import CONFIGS, DIGESTS, IMAGE_IDS, NO_IMAGES

configs = st.sampled_from(CONFIGS)
digests = st.sampled_from([*IMAGE_IDS, *DIGESTS])
parents = st.one_of(
    digests.map(str.encode), st.sampled_from([b"", b"garbage", b"\xff\xfe", IMAGE_IDS[0].upper().encode(), b"p" * 71])
)
times = st.sampled_from([b"", b"garbage", b"2020-01-02T03:04:05.000000006+02:00", b"0001-01-01T00:00:00Z", b"\xff"])
flags = st.sampled_from([b"\1", b"\0", b""])
metadata = st.one_of(
    st.tuples(st.just("parent"), parents),
    st.tuples(st.sampled_from(["lastUpdated", "lastUsed"]), times),
    st.tuples(st.just("builtLocally"), flags),
    st.tuples(st.sampled_from(["key", "Parent", "\udcff"]), st.binary(max_size=4)),
)
keys = st.sampled_from(["parent", "lastUpdated", "lastUsed", "builtLocally", "key", "\udcff"])
pages = st.tuples(st.one_of(st.none(), digests), st.integers(1, 8))


class Machine(RuleBasedStateMachine):
    """The calls go to ``store``: the outer one, or one that has joined a transaction. Others see what is ``committed``."""

    outer: Store

    def __init__(self):
        super().__init__()
        with self.outer.engine.begin() as connection:
            for table in (schema.leases, schema.blobs, schema.layers, schema.contents):
                connection.execute(delete(table))
        self.store = self.outer
        self.model = self.committed = Model(IMAGE_IDS, has_content=self.outer.content is not None)
        self.transaction = ExitStack()
        self.snapshot: Store | None = None
        self.seen = self.model
        self.reading = ExitStack()

    def teardown(self):
        try:
            self.nothing_is_damaged()
        finally:
            self.reading.close()
            if self.joined():
                self.roll_back()

    def agree(self, call, expected):
        """Both answer the same, or raise the same."""
        assert outcome(call) == outcome(expected)

    @initialize(first=st.sets(st.sampled_from(CONFIGS)))
    def begin_with(self, first):
        for config in sorted(first):
            self.set_blob(config)

    # What comes and goes

    @rule(config=st.one_of(configs, configs, st.sampled_from(NO_IMAGES)))
    def create(self, config):
        self.agree(lambda: self.store.create(config), lambda: self.model.create(config))

    @rule(many=st.lists(configs, max_size=5))
    def create_many(self, many):
        self.agree(lambda: self.store.create_many(many), lambda: self.model.create_many(many))

    @rule(image_id=digests)
    def delete(self, image_id):
        self.agree(lambda: self.store.delete(image_id), lambda: self.model.delete(image_id))

    @rule(data=st.sampled_from([*CONFIGS, *NO_IMAGES]))
    def set_blob(self, data):
        self.agree(lambda: self.store.backend.set(data), lambda: self.model.set(data))

    @rule(digest=digests)
    def delete_blob(self, digest):
        self.agree(lambda: self.store.backend.delete(digest), lambda: self.model.delete_blob(digest))

    # Transactions and snapshots

    def joined(self):
        return self.store is not self.outer

    @precondition(lambda self: not self.joined())
    @rule(isolation_level=st.sampled_from(["READ COMMITTED", "REPEATABLE READ"]))
    def join(self, isolation_level):
        self.connection = self.transaction.enter_context(self.outer.engine.connect())
        if self.connection.dialect.name == "postgresql":
            self.connection.execution_options(isolation_level=isolation_level)
        self.connection.begin()
        self.store = self.outer.joined(self.connection)
        self.committed, self.model = self.model, self.model.snapshot()
        self.model.holdings.is_joined = True
        self.model.holdings.frees = isolation_level == "READ COMMITTED" or self.connection.dialect.name == "sqlite"

    @precondition(joined)
    @rule()
    def commit(self):
        self.connection.commit()
        self.transaction.close()
        self.store = self.outer
        self.committed = self.model = self.model.snapshot()

    @precondition(joined)
    @rule()
    def roll_back(self):
        self.connection.rollback()
        self.transaction.close()
        self.store = self.outer
        self.model = self.committed

    @precondition(lambda self: self.snapshot is None)
    @rule()
    def begin_reading(self):
        self.snapshot = self.reading.enter_context(self.outer.reading())
        self.seen = self.committed.snapshot()
        assert len(self.snapshot) == len(self.seen.images())

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def end_reading(self):
        hold_against(self.snapshot, self.seen)
        self.reading.close()
        self.snapshot = None

    # Always

    @invariant()
    def they_agree(self):
        with self.store.reading() as snapshot:
            hold_against(snapshot, self.model)

    @rule()
    def nothing_is_damaged(self):
        assert {(finding.kind, finding.subject) for finding in verify(self.store)} == {
            (FindingKind.PARENT_CYCLE, image_id) for image_id in self.model.kept_from_closing_a_cycle()
        }

    @precondition(joined)
    @invariant()
    def others_see_what_is_committed(self):
        assert list(self.outer.map()) == self.committed.images()
        assert list(self.outer.heads()) == self.committed.heads()
        assert self.outer.layers.map() == self.committed.holdings.map()


class ImageMachine(Machine):
    """Who is whose parent, metadata, and all that can be asked about images."""

    # Images

    @rule(config=configs, refused=st.sampled_from(NO_IMAGES))
    def create_none(self, config, refused):
        self.create_many([config, refused])

    @precondition(lambda self: self.model.edges)
    @rule(data=st.data())
    def delete_a_parent(self, data):
        self.delete(data.draw(st.sampled_from(sorted(set(self.model.edges.values())))))

    @rule(image_id=digests, parent=digests)
    def set_parent(self, image_id, parent):
        self.agree(lambda: self.store.set_parent(image_id, parent), lambda: self.model.set_parent(image_id, parent))

    @rule(chain=st.lists(st.sampled_from(IMAGE_IDS), min_size=3, max_size=5, unique=True))
    def set_parents(self, chain):
        for parent, image_id in pairwise(chain):
            self.set_parent(image_id, parent)

    @rule(image_id=digests, note=st.sampled_from([("set_last_updated", "lastUpdated"), ("touch", "lastUsed")]))
    def note_time(self, image_id, note):
        method, key = note
        before = GoTime.now()
        if image_id not in self.model.images():
            self.agree(lambda: getattr(self.store, method)(image_id), lambda: self.model.note(image_id, key, b""))
            return
        getattr(self.store, method)(image_id)
        value = self.store.backend.get_metadata(image_id, key)
        assert before <= GoTime.parse(value.decode()) <= GoTime.now()
        self.model.note(image_id, key, value)

    @rule(image_id=digests)
    def set_built_locally(self, image_id):
        self.agree(
            lambda: self.store.set_built_locally(image_id), lambda: self.model.note(image_id, "builtLocally", b"\1")
        )

    # The backend under the store

    @rule(digest=digests, entry=metadata)
    def set_metadata(self, digest, entry):
        self.agree(
            lambda: self.store.backend.set_metadata(digest, *entry), lambda: self.model.set_metadata(digest, *entry)
        )

    @rule(chain=st.lists(st.sampled_from(IMAGE_IDS), min_size=1, max_size=4, unique=True), at_once=st.booleans())
    def set_a_circle_of_parents(self, chain, at_once):
        for image_id in chain:
            self.set_blob(CONFIGS[IMAGE_IDS.index(image_id)])
        values = [
            (image_id, "parent", parent.encode())
            for parent, image_id in zip(chain, [*chain[1:], chain[0]], strict=True)
        ]
        if at_once:
            self.store.backend.set_many_metadata(values)
            for value in values:
                self.model.set_metadata(*value)
        else:
            for digest, *entry in values:
                self.set_metadata(digest, entry)

    @precondition(lambda self: 0 < len(self.model.images()) < len(IMAGE_IDS))
    @rule(data=st.data())
    def name_a_parent_that_is_missing(self, data):
        images = self.model.images()
        missing = data.draw(st.sampled_from(sorted(set(IMAGE_IDS).difference(images))))
        self.set_metadata(data.draw(st.sampled_from(images)), ("parent", missing.encode()))

    @precondition(lambda self: self.model.awaited())
    @rule(data=st.data(), come=st.sampled_from(["create", "create_many", "set_blob"]))
    def what_is_awaited_comes(self, data, come):
        config = CONFIGS[IMAGE_IDS.index(data.draw(st.sampled_from(self.model.awaited())))]
        getattr(self, come)([config] if come == "create_many" else config)

    @precondition(lambda self: self.model.kept_from_closing_a_cycle())
    @rule(data=st.data(), goes=st.sampled_from(["delete", "delete_blob"]))
    def one_of_a_circle_goes(self, data, goes):
        root = data.draw(st.sampled_from(self.model.kept_from_closing_a_cycle()))
        parent = ImageID(self.model.get_parent(root))
        getattr(self, goes)(data.draw(st.sampled_from([parent, *self.model.ancestors(parent)])))

    @precondition(lambda self: self.model.edges)
    @rule(data=st.data())
    def take_an_edge_away(self, data):
        self.delete_metadata(data.draw(st.sampled_from(sorted(self.model.edges))), "parent")

    @rule(digest=digests, key=keys)
    def delete_metadata(self, digest, key):
        self.agree(
            lambda: self.store.backend.delete_metadata(digest, key), lambda: self.model.delete_metadata(digest, key)
        )

    # Questions

    @rule(
        digest=digests, others=st.lists(digests, max_size=4), length=st.integers(0, 64), page=pages, heads=st.booleans()
    )
    def ask(self, digest, others, length, page, heads):
        self.ask_about_one(digest)
        found = self.store.get_many([*others, digest])
        assert list(found) == [one for one in dict.fromkeys([*others, digest]) if one in self.model.images()]
        assert list(map(_facts, found.values())) == list(map(self.model.get, found))
        for term in (digest.hex[:length], digest.hex[: length // 20], digest[: length + 3], f"x:{digest.hex}"):
            self.agree(lambda term=term: self.store.search(term), lambda term=term: self.model.search(term))
        after, limit = page
        expected = self.model.heads() if heads else self.model.images()
        listed = [image.image_id for image in self.store.page(after, limit, heads=heads)]
        assert listed == [one for one in expected if after is None or one > after][:limit]
        assert [image.image_id for image in self.store.stream(heads=heads)] == expected

    def ask_about_one(self, digest):
        self.agree(lambda: _facts(self.store.get(digest)), lambda: self.model.get(digest))
        self.agree(lambda: self.store.get_parent(digest), lambda: self.model.get_parent(digest))
        self.agree(lambda: self.store.lineage.ancestors(digest), lambda: self.model.ancestors(digest))
        self.agree(lambda: self.store.lineage.descendants(digest), lambda: self.model.descendants(digest))
        self.agree(lambda: _text(self.store.get_last_updated(digest)), lambda: self.model.time(digest, "lastUpdated"))
        self.agree(lambda: _text(self.store.last_used(digest)), lambda: self.model.time(digest, "lastUsed"))
        assert self.store.is_built_locally(digest) is self.model.is_built_locally(digest)
        assert (digest in self.store) is (digest in self.model.images())
        for key in ("parent", "lastUpdated", "key", "\udcff"):
            self.agree(
                lambda key=key: self.store.backend.get_metadata(digest, key),
                lambda key=key: self.model.get_metadata(digest, key),
            )


def hold_against(store, model):
    images = model.images()
    found = store.map()
    assert list(found) == images
    assert [image.raw_json for image in found.values()] == [model.blobs[image_id] for image_id in images]
    assert [image.parent for image in found.values()] == [model.get_parent(image_id) for image_id in images]
    assert list(store.heads()) == model.heads()
    assert len(store) == len(images)
    assert {parent: children for parent in DIGESTS if (children := store.children(parent))} == {
        parent: children for parent in DIGESTS if (children := model.children(parent))
    }
    assert list(store.backend.walk()) == sorted(model.blobs)
    assert {str(each.reference): each.image_id for each in store.references.stream()} == model.references
    assert store.layers.map() == model.holdings.map()
    assert [lease.id for lease in store.leases.page()] == model.holdings.alive()


def outcome(call):
    try:
        return call()
    except ImageStoreError as error:
        return type(error)


def _facts(image):
    return image.image_id, image.raw_json, image.parent


def _text(time):
    return None if time is None else str(time)
