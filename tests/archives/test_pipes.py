"""A load from a pipe of layers that are there: what passes is compared with them, and nothing is written."""

from __future__ import annotations

import io
from typing import BinaryIO, cast

import pytest

from imagestore.archive import load, save
from imagestore.errors import InvalidLayerError, LeaseExpiredError
from imagestore.layers import Layers
from imagestore.testing.makers import make_config, make_layer
from imagestore.verify import verify
from tests.archives.conftest import Pipe
from tests.archives.layouts import Layout

LOWER, UPPER = (make_layer(name, size=200_000) for name in ("lower", "upper"))  # smaller ones are set aside


@pytest.fixture
def filled(stocked):
    """A store that has an image of one layer."""
    with stocked.lease() as lease:
        layer = stocked.layers.register(io.BytesIO(UPPER), lease=lease)
        image = stocked.create(make_config("app", layers=[layer.diff_id]))
    stocked.references.add_tag("app:1", image)
    return stocked


@pytest.fixture
def written(filled, monkeypatch):
    """The names under which content is written."""
    names = []
    write = filled.content.write

    def note(name, chunks):
        names.append(name)
        write(name, chunks)

    monkeypatch.setattr(filled.content, "write", note)
    return names


@pytest.fixture
def layout():
    """Of an image that has the layer on top of another one."""
    layout = Layout()
    return layout.add(layout.image(layers=[LOWER, UPPER]))


def pipe(data):
    return cast("BinaryIO", Pipe(data))


def assert_sound(store):
    assert list(verify(store, content=True)) == []


def test_nothing_is_written(filled, written):
    out = io.BytesIO()
    save(filled, ["app:1"], out, format="oci")
    before = list(filled.content.names())
    (loaded,) = load(filled, pipe(out.getvalue()))
    assert loaded.id == filled.references.get("app:1")
    assert (written, list(filled.content.names())) == ([], before)
    filled.delete(loaded.id)
    assert load(filled, pipe(out.getvalue())) == [loaded]
    assert len(written) == 1
    assert_sound(filled)


def test_a_layer_that_is_there_gets_another_place(filled, written, layout):
    (loaded,) = load(filled, pipe(layout.tar()))
    assert len(written) == 1
    assert_sound(filled)
    filled.delete(filled.references.get("app:1"))
    with filled.layers.open(filled.get(loaded.id).rootfs.chain_id) as stream:
        assert stream.read() == UPPER


def test_a_name_that_lies(filled, written, layout):
    """What is there stays as it is, and who needs the bytes that have passed is told."""
    (name,) = [name for name, data in layout.files.items() if data == UPPER]
    layout.files[name] = make_layer("other", size=200_000)
    with pytest.raises(InvalidLayerError, match="passed with other bytes than its name says"):
        load(filled, pipe(layout.tar()))
    assert len(written) == 1
    assert_sound(filled)


def test_a_lease_that_ends_takes_nothing_along(filled, layout, monkeypatch):
    """What was found is another image's, and is not removed with what the load has written."""
    link = Layers.link

    def end_before(layers, written, parent=None, *, lease):
        if not written.name.startswith(lease.id):
            filled.leases.delete(lease.id)
        return link(layers, written, parent, lease=lease)

    monkeypatch.setattr(Layers, "link", end_before)
    with pytest.raises(LeaseExpiredError):
        load(filled, pipe(layout.tar()))
    filled.collect()
    assert_sound(filled)
    with filled.layers.open(filled.get(filled.references.get("app:1")).rootfs.chain_id) as stream:
        assert stream.read() == UPPER
