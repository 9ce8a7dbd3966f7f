"""What the daemon allows, on a store."""

from __future__ import annotations

import pytest

from imagestore import Store
from imagestore.docker.rules import remove_image
from imagestore.errors import DependentChildrenError, ImageNotFoundError, UnusableBindError
from imagestore.testing.layers import RecordingLayerStore
from imagestore.testing.makers import make_config, make_digest


def test_an_image_that_others_are_built_on_stays_and_they_are_named(store):
    base, one, other = store.create_many([make_config(name) for name in ("base", "one", "other")])
    for child in (one, other):
        store.set_parent(child, base)
    with pytest.raises(DependentChildrenError) as caught:
        remove_image(store, base)
    assert caught.value.children == tuple(sorted([one, other]))
    assert store.children(base) == sorted([one, other])


def test_its_children_first(store):
    base, child = store.create_many([make_config("base"), make_config("child")])
    store.set_parent(child, base)
    remove_image(store, child)
    remove_image(store, base)
    assert len(store) == 0


def test_an_image_that_is_not_there(store):
    with pytest.raises(ImageNotFoundError):
        remove_image(store, make_digest())


def test_a_restored_store_is_refused_and_keeps_its_image(store):
    image_id = store.create(make_config())
    with Store.restore(store.backend) as restored:
        with pytest.raises(UnusableBindError):
            remove_image(restored, image_id)
        assert image_id in restored
    assert image_id in store


def test_a_store_with_layer_stores_is_refused_and_keeps_its_layer(store):
    layers = RecordingLayerStore()
    with_layers = Store(store.engine, layer_stores={"linux": layers})
    image_id = with_layers.create(make_config(layers=1))
    with pytest.raises(UnusableBindError):
        remove_image(with_layers, image_id)
    assert image_id in store
    assert sum(layers.held.values()) == 1
