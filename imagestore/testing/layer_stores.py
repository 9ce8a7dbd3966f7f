"""The rules of a store that was given layer stores. A part of `imagestore.testing.store.StoreContract`."""

from __future__ import annotations

from imagestore.digest import ChainID, chain_id
from imagestore.errors import ImageNotFoundError, InvalidImageError, LayerNotFoundError, UnsupportedPlatformError
from imagestore.layer import Layer, LayerMetadata
from imagestore.testing.layers import RecordingLayerStore
from imagestore.testing.makers import make_config, make_diff_id
from imagestore.testing.refusal import refusal
from imagestore.testing.subject import StoreSubject


class LayerStoresContract(StoreSubject):
    """What every store asks of the layer stores that it was given."""

    def test_create_gets_the_topmost_layer_and_delete_releases_it(self) -> None:
        layers = RecordingLayerStore()
        store = self.make_store({"linux": layers})
        top = chain_id([make_diff_id(0), make_diff_id(1)])
        image_id = store.create(make_config(layers=2))
        assert layers.calls == [("get", top)]
        assert store.delete(image_id) == [LayerMetadata(top, make_diff_id("released"), size=2, diff_size=1)]
        assert layers.calls == [("get", top), ("release", top)]
        assert not layers.held

    def test_create_again_asks_no_layer_store(self) -> None:
        layers = RecordingLayerStore()
        store = self.make_store({"linux": layers})
        store.create(make_config(layers=1))
        store.create(make_config(layers=1))
        assert layers.calls == [("get", make_diff_id(0))]

    def test_each_image_holds_its_layer(self) -> None:
        layers = RecordingLayerStore()
        store = self.make_store({"linux": layers})
        one, other = store.create(make_config("one", layers=1)), store.create(make_config("other", layers=1))
        assert layers.held == {make_diff_id(0): 2}
        assert store.delete(one) == []
        assert layers.held == {make_diff_id(0): 1}
        assert [freed.chain_id for freed in store.delete(other)] == [ChainID(make_diff_id(0))]

    def test_an_image_without_layers_asks_no_layer_store(self) -> None:
        layers = RecordingLayerStore()
        store = self.make_store({"linux": layers})
        image_id = store.create(make_config())
        assert store.delete(image_id) == []
        assert layers.calls == []

    def test_a_missing_layer_refuses_the_image_and_leaves_nothing(self) -> None:
        top = chain_id([make_diff_id(0), make_diff_id(1)])
        layers = RecordingLayerStore(missing=[top])
        store = self.make_store({"linux": layers})
        there = store.create(make_config(layers=1))
        error = refusal(LayerNotFoundError, store.create, make_config(layers=2))
        assert error.chain_id == top
        assert f"failed to get layer {top}" in str(error)
        assert list(store.map()) == list(self.backend(store).walk()) == [there]
        layers.missing = ()
        assert store.create(make_config(layers=2)) in store

    def test_an_error_of_a_layer_store_comes_as_it_is(self) -> None:
        layers = _FailingLayerStore()
        store = self.make_store({"linux": layers})
        assert str(refusal(OSError, store.create, make_config(layers=1))) == "get failed"
        assert list(self.backend(store).walk()) == []
        layers.fails = "release"
        image_id = store.create(make_config(layers=1))
        assert str(refusal(OSError, store.delete, image_id)) == "release failed"
        assert image_id not in store
        refusal(ImageNotFoundError, store.delete, image_id)

    def test_an_operating_system_without_a_layer_store_is_refused(self) -> None:
        layers = RecordingLayerStore()
        store = self.make_store({"linux": layers})
        for name in ("windows", "Linux", "linux ", "freebsd", "\u017finux"):
            error = refusal(UnsupportedPlatformError, store.create, make_config(layers=1, os=name))
            assert error.operating_system == name
            assert error.known == ("linux",)
            assert repr(name) in str(error)
        assert layers.calls == []
        assert list(self.backend(store).walk()) == []

    def test_the_layer_store_of_the_operating_system_is_asked(self) -> None:
        linux, windows = RecordingLayerStore(), RecordingLayerStore()
        store = self.make_store({"linux": linux, "windows": windows})
        image_id = store.create(make_config(layers=1, os="windows"))
        assert (linux.calls, windows.calls) == ([], [("get", make_diff_id(0))])
        store.delete(image_id)
        assert not windows.held

    def test_an_image_of_an_unsupported_system_is_not_deleted(self) -> None:
        store = self.make_store({"linux": RecordingLayerStore()})
        image_id = store.create(make_config(os="windows"))
        child = store.create(make_config())
        store.set_parent(child, image_id)
        refusal(UnsupportedPlatformError, store.delete, image_id)
        assert store.children(image_id) == [child]
        assert len(store) == 2

    def test_what_is_no_image_asks_no_layer_store(self) -> None:
        layers = RecordingLayerStore()
        store = self.make_store({"linux": layers})
        refusal(InvalidImageError, store.create, make_config(layers=1, history=[{}, {}]))
        assert layers.calls == []

    def test_a_store_opened_later_releases_what_it_got_itself(self) -> None:
        creator, deleter = RecordingLayerStore(), RecordingLayerStore()
        store = self.make_store({"linux": creator})
        image_id = store.create(make_config(layers=1))
        opened = self.reopen(store, {"linux": deleter})
        opened.delete(image_id)
        assert deleter.calls == [("get", make_diff_id(0)), ("release", make_diff_id(0))]
        assert creator.calls == [("get", make_diff_id(0))]

    def test_create_many_holds_the_layers_of_what_it_created(self) -> None:
        layers = RecordingLayerStore()
        store = self.make_store({"linux": layers})
        configs = [
            make_config("there", layers=1),
            make_config("a", layers=2),
            make_config("b"),
            make_config("c", layers=3),
        ]
        store.create(configs[0])
        layers.missing = [chain_id(make_diff_id(number) for number in range(3))]
        refusal(LayerNotFoundError, store.create_many, configs)
        assert sum(layers.held.values()) == sum(1 for image in store.stream() if image.chain_id)
        layers.missing = ()
        made = store.create_many([*configs, configs[1]])
        assert len(store) == 4
        assert sum(layers.held.values()) == 3
        for image_id in dict.fromkeys(made):
            store.delete(image_id)
        assert not layers.held


class _FailingLayerStore(RecordingLayerStore):
    fails = "get"

    def get(self, chain_id: ChainID) -> Layer:
        if self.fails == "get":
            raise OSError("get failed")
        return super().get(chain_id)

    def release(self, layer: Layer) -> list[LayerMetadata]:
        raise OSError("release failed")
