"""The rules of moby's ``layer.Store``, of leases, and of what is garbage, for a store that has a place for content.

    class TestMyStore(LayerStoreContract):
        def make_store(self, layer_stores=None):
            return Store(my_engine, content=my_content)

Nothing here imports pytest.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from imagestore.digest import ChainID, DiffID, ImageID, chain_id
from imagestore.errors import (
    ImageNotFoundError,
    InvalidDigestError,
    InvalidError,
    InvalidLayerError,
    LayerNotFoundError,
    LayerTooLargeError,
    LeaseExpiredError,
)
from imagestore.layer import LayerMetadata, StoredLayer, links
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_diff_id, make_layer
from imagestore.testing.refusal import refusal
from imagestore.testing.subject import StoreSubject

_NOTHING = (0, 0, 0, 0, 0)


class LayerStoreContract(StoreSubject):
    """What every store with a place for content does. Subclasses give `make_store`, whose stores are on an engine, and `reopen`."""

    # Register, get, open

    def test_a_layer_is_what_its_tar_is(self) -> None:
        store = self.make_store()
        tar = make_layer("file", size=700)
        layer = store.layers.register(io.BytesIO(tar))
        diff_id = DiffID(ImageID.from_bytes(tar))
        assert layer == StoredLayer(ChainID(diff_id), diff_id, None, 700, len(tar), layer.lease)
        assert layer.lease is not None
        assert store.layers.get(layer.chain_id) == StoredLayer(ChainID(diff_id), diff_id, None, 700, len(tar))
        assert layer.chain_id in store.layers
        assert _read(store, layer.chain_id) == tar

    def test_a_layer_lies_on_its_parent(self) -> None:
        store = self.make_store()
        lower, upper = _register(store, "lower", "upper")
        assert upper.parent == lower.chain_id
        assert upper.chain_id == chain_id([lower.diff_id, upper.diff_id])
        assert store.layers.map() == {
            each.chain_id: store.layers.get(each.chain_id)
            for each in sorted([lower, upper], key=lambda layer: layer.chain_id)
        }
        assert [each.chain_id for each in store.layers.page(limit=1)] == sorted([lower.chain_id, upper.chain_id])[:1]

    def test_another_store_sees_it(self) -> None:
        store = self.make_store()
        (layer,) = _register(store, "layer")
        assert _read(self.reopen(store), layer.chain_id) == make_layer("layer")

    def test_the_same_layer_twice_is_one_that_two_leases_hold(self) -> None:
        store = self.make_store()
        (first,) = _register(store, "layer")
        (second,) = _register(store, "layer")
        assert first.chain_id == second.chain_id
        assert first.lease != second.lease
        assert store.layers.release(first) == []
        assert _read(store, first.chain_id) == make_layer("layer")
        assert [freed.chain_id for freed in store.layers.release(second)] == [first.chain_id]
        assert first.chain_id not in store.layers
        assert tuple_of(store.collect()) == _NOTHING

    def test_one_tar_serves_all_stacks_that_have_it(self) -> None:
        store = self.make_store()
        (alone,) = _register(store, "shared")
        lower, upper = _register(store, "lower", "shared")
        store.layers.release(alone)
        assert alone.chain_id not in store.layers
        assert _read(store, upper.chain_id) == make_layer("shared")
        store.layers.release(upper)
        store.layers.release(lower)
        assert store.layers.map() == {}
        assert tuple_of(store.collect()) == _NOTHING

    def test_a_layer_that_is_written_gets_its_places_afterwards(self) -> None:
        store = self.make_store()
        with store.lease() as lease:
            written = store.layers.write(io.BytesIO(make_layer("layer")), lease=lease)
            assert store.layers.map() == {}
            lower = store.layers.link(written, lease=lease)
            upper = store.layers.link(written, lower.chain_id, lease=lease)
            assert written.diff_id == lower.diff_id == upper.diff_id
            assert upper.parent == lower.chain_id
            assert _read(store, upper.chain_id) == make_layer("layer")
            never = store.layers.write(io.BytesIO(make_layer("another")), lease=lease)
            refusal(LayerNotFoundError, lambda: store.layers.link(never, make_diff_id("nowhere"), lease=lease))
            refusal(LayerNotFoundError, lambda: store.layers.link(written, make_diff_id("nowhere"), lease=lease))
            assert _read(store, lower.chain_id) == make_layer("layer")
            image_id = store.create(make_config(diff_ids=[lower.diff_id]))
        refusal(LeaseExpiredError, lambda: store.layers.link(written, lease=lease))
        assert _read(store, lower.chain_id) == make_layer("layer")
        store.delete(image_id)
        store.collect()
        assert store.layers.map() == {}
        assert tuple_of(store.collect()) == _NOTHING

    def test_a_lease_holds_a_stack_as_far_up_as_it_is_there_with_its_content(self) -> None:
        store = self.make_store()
        stack = _register(store, "lower", "upper")
        known = links([*(layer.diff_id for layer in stack), make_diff_id("nowhere")])
        with store.lease() as lease:
            assert store.layers.hold_stack(known, lease=lease) == 2
            assert store.layers.hold_stack(known[2:], lease=lease) == 0
            assert store.layers.hold_stack([], lease=lease) == 0
            found = store.layers.hold_content(stack[1].diff_id, lease=lease)
            assert found is not None
            assert store.layers.link(found, lease=lease).chain_id == ChainID(stack[1].diff_id)
            assert store.layers.hold_content(DiffID(make_diff_id("nowhere")), lease=lease) is None
            for layer in reversed(stack):
                assert store.layers.release(layer) == []
            store.collect()
            assert _read(store, stack[1].chain_id) == make_layer("upper")
        refusal(LeaseExpiredError, lambda: store.layers.hold_stack(known, lease=lease))
        store.collect()
        assert store.layers.map() == {}

    def test_what_is_no_layer_is_refused_and_leaves_nothing(self) -> None:
        store = self.make_store()
        tar = make_layer("file", size=5000)
        refusal(InvalidLayerError, store.layers.register, io.BytesIO(b"no tar" * 1000))
        refusal(InvalidLayerError, store.layers.register, io.BytesIO(tar[:3000]))
        refusal(LayerNotFoundError, store.layers.register, io.BytesIO(tar), make_diff_id("absent"))
        refusal(InvalidDigestError, store.layers.register, io.BytesIO(tar), "sha256:abc")
        error = refusal(LayerTooLargeError, lambda: store.layers.register(io.BytesIO(tar), limit=3000))
        assert "limit" in str(error)
        assert store.layers.map() == {}
        assert store.leases.page() == []
        assert tuple_of(store.collect()) == _NOTHING

    def test_a_stream_that_breaks_off_leaves_nothing(self) -> None:
        store = self.make_store()

        class Breaking(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.tell() > 2000:
                    raise OSError("the connection is gone")
                return super().read(1000)

            def read1(self, size: int | None = -1, /) -> bytes:
                return self.read(size)

        refusal(OSError, store.layers.register, Breaking(make_layer("file", size=5000)))
        assert store.leases.page() == []
        assert tuple_of(store.collect()) == _NOTHING

    def test_a_layer_that_is_not_there(self) -> None:
        store = self.make_store()
        absent = make_diff_id("absent")
        assert absent not in store.layers
        for call in (store.layers.get, store.layers.open):
            assert refusal(LayerNotFoundError, call, absent).chain_id == absent
            refusal(InvalidDigestError, call, "absent")

    def test_only_what_register_gave_is_released(self) -> None:
        store = self.make_store()
        (layer,) = _register(store, "layer")
        refusal(InvalidError, store.layers.release, store.layers.get(layer.chain_id))
        store.layers.release(layer)
        refusal(LeaseExpiredError, store.layers.release, layer)

    # Images

    def test_an_image_needs_its_layers_with_their_content(self) -> None:
        store = self.make_store()
        lower, upper = _register(store, "lower", "upper")
        image_id = _create(store, lower, upper)
        assert image_id in store
        absent = [lower.diff_id, make_diff_id("absent")]
        error = refusal(LayerNotFoundError, store.create, make_config("other", layers=absent))
        assert error.chain_id == chain_id(absent)
        refusal(LayerNotFoundError, store.create_many, [make_config("third", layers=[]), make_config(layers=absent)])
        assert list(store.map()) == [image_id]

    def test_an_image_keeps_its_layers(self) -> None:
        store = self.make_store()
        lower, upper = _register(store, "lower", "upper")
        _create(store, lower, upper)
        assert store.layers.release(upper) == []
        assert store.layers.release(lower) == []
        assert tuple_of(store.collect()) == _NOTHING
        assert _read(store, upper.chain_id) == make_layer("upper")

    def test_deleting_an_image_frees_what_it_alone_had(self) -> None:
        store = self.make_store()
        lower, upper = _register(store, "lower", "upper")
        lower_again, other = _register(store, "lower", "other")
        first, second = _create(store, lower, upper), _create(store, lower_again, other)
        for layer in (lower, upper, lower_again, other):
            store.layers.release(layer)
        assert store.delete(first) == [LayerMetadata(upper.chain_id, upper.diff_id, 20, 10)]
        assert sorted(store.layers.map()) == sorted([lower.chain_id, other.chain_id])
        assert store.delete(second) == [
            LayerMetadata(other.chain_id, other.diff_id, 20, 10),
            LayerMetadata(lower.chain_id, lower.diff_id, 10, 10),
        ]
        assert store.layers.map() == {}
        assert tuple_of(store.collect()) == _NOTHING
        refusal(ImageNotFoundError, store.delete, first)

    # Leases

    def test_a_lease_keeps_what_is_registered_under_it(self) -> None:
        store = self.make_store()
        with store.lease(labels={"job": "7"}) as lease:
            layer = store.layers.register(io.BytesIO(make_layer()), lease=lease)
            assert layer.lease is None
            (found,) = store.leases.page()
            assert (found.id, dict(found.labels)) == (lease.id, {"job": "7"})
            assert found.expires == lease.expires
            assert tuple_of(store.collect()) == _NOTHING
            assert _read(store, layer.chain_id) == make_layer()
        assert store.leases.page() == []
        assert store.collect(dry_run=True) == store.collect()
        assert store.layers.map() == {}

    def test_a_lease_can_be_renewed(self) -> None:
        store = self.make_store()
        with store.lease(100) as lease:
            before = lease.expires
            assert lease.renew(1000) > before
            assert store.leases.page()[0].expires == lease.expires

    def test_a_lease_that_has_ended_says_so(self) -> None:
        store = self.make_store()

        def hold() -> None:
            with store.lease(1000) as lease:
                store.leases.delete(lease.id)
                refusal(LeaseExpiredError, lease.renew)
                refusal(LeaseExpiredError, lambda: store.layers.register(io.BytesIO(make_layer()), lease=lease))
                refusal(LeaseExpiredError, store.leases.delete, lease.id)

        refusal(LeaseExpiredError, hold)
        assert store.layers.map() == {}
        assert tuple_of(store.collect()) == _NOTHING

    def test_a_lease_that_expires_while_it_is_held_says_so(self) -> None:
        store = self.make_store()

        def hold() -> None:
            with store.lease(0.001) as lease:
                while store.leases.page():
                    pass
                refusal(LeaseExpiredError, lease.renew)
                refusal(LeaseExpiredError, lambda: store.layers.register(io.BytesIO(make_layer()), lease=lease))

        refusal(LeaseExpiredError, hold)

    def test_a_lease_is_sensible(self) -> None:
        store = self.make_store()
        for ttl in (0, -1, float("inf"), float("nan")):
            refusal(InvalidError, store.lease, ttl)
        refusal(InvalidError, lambda: store.lease(labels={"job": "a\0b"}))
        assert store.leases.page() == []

    # Garbage

    def test_what_nothing_holds_is_collected(self) -> None:
        store = self.make_store()
        kept_lower, kept = _register(store, "lower", "kept")
        _create(store, kept_lower, kept)
        with store.lease() as lease:
            parent = kept_lower.chain_id
            for number in range(5):
                tar = io.BytesIO(make_layer(number))
                parent = store.layers.register(tar, parent, lease=lease).chain_id
            assert tuple_of(store.collect()) == _NOTHING
        store.layers.release(kept)
        store.layers.release(kept_lower)
        found = store.collect(dry_run=True)
        assert (found.layers, found.contents, found.files) == (5, 5, 5)
        assert found.size == 5 * len(make_layer(0))
        assert store.collect(batch=2) == found
        assert sorted(store.layers.map()) == sorted([kept_lower.chain_id, kept.chain_id])
        assert _read(store, kept.chain_id) == make_layer("kept")
        assert tuple_of(store.collect()) == _NOTHING

    def test_an_expired_lease_keeps_nothing(self) -> None:
        store = self.make_store()
        lease = store.lease(100)
        store.layers.register(io.BytesIO(make_layer()), lease=lease)
        lease.renew(0.001)
        while store.leases.page():
            pass
        found = store.collect()
        assert (found.leases, found.layers, found.contents, found.files) == (1, 1, 1, 1)


def tuple_of(collected: object) -> tuple[int, ...]:
    """What was collected, to be compared at once."""
    fields: Sequence[str] = ("leases", "layers", "contents", "size", "files")
    return tuple(getattr(collected, field) for field in fields)


def _register(store: Store, *names: str) -> list[StoredLayer]:
    """A layer of each name, each on the one before it."""
    made: list[StoredLayer] = []
    for name in names:
        parent = made[-1].chain_id if made else None
        made.append(store.layers.register(io.BytesIO(make_layer(name)), parent))
    return made


def _create(store: Store, *stack: StoredLayer) -> ImageID:
    return store.create(make_config(stack[-1].chain_id, layers=[layer.diff_id for layer in stack]))


def _read(store: Store, chain: str) -> bytes:
    with store.layers.open(chain) as stream:
        return stream.read()
