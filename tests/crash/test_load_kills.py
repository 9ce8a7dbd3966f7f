"""A process that loads an archive is killed at random moments: no image is half there, and what is left goes with its lease."""

from __future__ import annotations

import pytest

from imagestore.archive import load
from imagestore.sql.engine import create_engine
from imagestore.store import Store
from imagestore.testing.makers import make_layer
from imagestore.verify import verify
from tests.archives.built import Built
from tests.archives.conftest import empty, leftovers
from tests.archives.layouts import Layout, named
from tests.crash.killed import kills

LONGEST = 0.05  # seconds that it goes on: about as long as a load and the removal of what it has loaded take
SHARED = make_layer("shared", size=2 << 20)
IMAGES = {"app": [SHARED], "other": [make_layer("small"), SHARED, make_layer("top", size=100_000)]}


def docker_archive():
    made = Built()
    for name, layers in IMAGES.items():
        made.add(name, layers=layers)
    return made.bytes()


def oci_archive():
    made = Layout()
    return made.add(*(made.image(name, layers=layers, **named(f"{name}:1")) for name, layers in IMAGES.items())).tar()


ARCHIVES = [docker_archive(), oci_archive()]


@pytest.mark.parametrize("moments", [2, pytest.param(200, marks=pytest.mark.soak)])
def test_a_loader_is_killed(url, tmp_path, moments):
    path, content = tmp_path / "archive.tar", tmp_path / "content"
    Store.open(url, content=content).close()
    store = Store(create_engine(url), content=content)
    undisturbed = [loaded_from(store, path, archive) for archive in ARCHIVES]
    command = ["tests.crash.archiver", "load", url, content, path]
    path.write_bytes(ARCHIVES[0])
    for moment, (_, _, where) in enumerate(kills(command, url, moments, LONGEST)):
        loaded, whole = undisturbed[moment % 2]
        tags = {tag: image.id for image in loaded for tag in image.tags}
        for lease in store.leases.page():
            assert lease.labels == {"for": "load"}, where
            store.leases.delete(lease.id)
        store.collect()
        assert list(verify(store, content=True)) == [], where
        images = store.map()
        found = {each.reference: each.image_id for each in store.references.stream()}
        assert found == {tag: image_id for tag, image_id in tags.items() if image_id in images}, where
        assert set(images) == set(found.values()), where
        reached = {link.chain_id for image in images.values() for link in image.stack}
        assert store.layers.map() == {chain: layer for chain, layer in whole.items() if chain in reached}, where
        assert load(store, path) == loaded, where
        assert list(verify(store, content=True)) == [], where
        assert store.layers.map() == whole, where
        empty(store)
        assert leftovers(store) == [], where
        path.write_bytes(ARCHIVES[(moment + 1) % 2])
        store.engine.dispose()  # so that each time it is the first to open what the killed one left


def loaded_from(store, path, archive):
    """What a load returns, and the layers that it makes; the store is empty again."""
    path.write_bytes(archive)
    loaded = load(store, path)
    layers = store.layers.map()
    empty(store)
    store.engine.dispose()
    return loaded, layers
