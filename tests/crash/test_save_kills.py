"""A process that saves images is killed at random moments: the file is whole or not there, and nothing is held for good."""

from __future__ import annotations

import io

import pytest

from imagestore.archive import save, save_to
from imagestore.digest import Digest
from imagestore.sql.engine import create_engine
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer
from imagestore.verify import verify
from tests.crash.archiver import NAMES
from tests.crash.killed import kills

LONGEST = 0.03  # seconds that it goes on: about as long as a save takes


@pytest.mark.parametrize("moments", [2, pytest.param(200, marks=pytest.mark.soak)])
def test_a_saver_is_killed(url, tmp_path, moments):
    content = tmp_path / "content"
    Store.open(url, content=content).close()
    store = Store(create_engine(url), content=content)
    prepare(store)
    layers = store.layers.map()
    whole = [saved(store), saved(store, format="oci", compression="gzip")]
    folder = tmp_path / "saved"
    folder.mkdir()
    path = folder / "app.tar"
    for _, done, where in kills(["tests.crash.archiver", "save", url, content, path], url, moments, LONGEST):
        found = {each.name: each.read_bytes() for each in folder.iterdir()}
        assert set(found.values()) <= set(whole), where
        assert path.name in found or not done, where
        for lease in store.leases.page():
            store.leases.delete(lease.id)
        store.collect()
        assert list(verify(store, content=True)) == [], where
        assert store.layers.map() == layers, where
        save_to(store, NAMES, path)
        assert path.read_bytes() == whole[0], where
        for each in folder.iterdir():
            each.unlink()
        store.engine.dispose()


def prepare(store):
    """An image of three layers, one of them large."""
    tars = [make_layer("small"), make_layer("large", size=5 << 20), make_layer("top", size=100_000)]
    with store.lease() as lease:
        parent: str | None = None
        for tar in tars:
            parent = store.layers.register(io.BytesIO(tar), parent, lease=lease).chain_id
        image_id = store.create(make_config(layers=[Digest.from_bytes(tar) for tar in tars]))
    store.references.add_tag("app:1", image_id)


def saved(store, **options):
    out = io.BytesIO()
    save(store, NAMES, out, **options)
    return out.getvalue()
