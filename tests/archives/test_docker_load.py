"""What docker's archives may ask for, and what a load of one leaves where it is cut."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import pytest

from imagestore.archive.limits import Limits
from imagestore.archive.loading import load
from imagestore.errors import ArchiveLimitError, InvalidArchiveError
from imagestore.testing.makers import make_layer
from imagestore.verify import verify
from tests.archives.built import Built, image, link, tar
from tests.archives.conftest import Pipe, empty, leftovers
from tests.archives.headers import block

SOURCES: dict[str, Any] = {"file": io.BytesIO, "pipe": Pipe}
LAYER = make_layer("layer")[:2048]  # without the zeros that fill it up
sqlite = pytest.mark.parametrize("kept_store", ["sqlite"], indirect=True)
sources = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


class Counted(io.BytesIO):
    """A file that counts what is read of it, without its headers."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if len(data) > 512:
            self.taken += len(data)
        return data


def limited(store, archive, **limits):
    with pytest.raises(ArchiveLimitError) as caught:
        load(store, archive, limits=Limits(**limits))
    assert [caught.value.limit] == list(limits)
    return caught.value


def legacy(images, **tags):
    """An archive of the old layout: the members of a json by the old ID, and the layer."""
    files = {"repositories": json.dumps(tags).encode()}
    for old_id, (document, layer) in images.items():
        files[f"{old_id}/json"] = json.dumps(document).encode()
        files[f"{old_id}/layer.tar"] = layer
    return tar(files)


def chain(length, **document):
    """Images of the old layout each of which was made from the next."""
    return {
        f"{place:03}": ({**document, "parent": f"{place + 1:03}" if place + 1 < length else ""}, LAYER)
        for place in range(length)
    }


@sqlite
def test_a_manifest_may_name_an_image_often(emptied):
    archive = image(layers=[LAYER])
    archive.items = archive.items * 2000
    file = Counted(archive.bytes())
    loaded = load(emptied, file)
    assert len(loaded) == len(archive.items)
    assert len(set(loaded)) == 1
    manifest = len(json.dumps(archive.items))
    assert file.taken - manifest < len(LAYER) + 10 * len(archive.files["app.json"])
    assert len(emptied) == 1


@sqlite
@sources
def test_a_manifest_names_too_many_images(emptied, source):
    archive = image(layers=[LAYER])
    archive.items = archive.items * 11
    assert "manifest.json names 11 images" in str(limited(emptied, source(archive.bytes()), images=10))
    assert leftovers_of(emptied) == []
    load(emptied, source(archive.bytes()), limits=Limits(images=11))


@sqlite
@sources
def test_an_image_has_too_many_layers(emptied, source):
    archive = image(layers=[LAYER] * 11)
    assert "11 layers" in str(limited(emptied, source(archive.bytes()), layers=10))
    assert leftovers_of(emptied) == []
    (loaded,) = load(emptied, source(archive.bytes()), limits=Limits(layers=11))
    assert len(list(emptied.content.names())) == 1
    assert len(emptied.get(loaded.id).stack) == 11


def leftovers_of(store):
    store.collect()
    return leftovers(store)


@sqlite
def test_of_an_old_layout_ancestors_are_limited(emptied):
    limited(emptied, io.BytesIO(legacy(chain(11))), layers=10)
    assert leftovers_of(emptied) == []
    load(emptied, io.BytesIO(legacy(chain(11))), limits=Limits(layers=11))
    assert len(emptied) == 11


@sqlite
def test_of_an_old_layout_images_are_limited(emptied):
    limited(emptied, io.BytesIO(legacy(chain(11))), images=10)
    assert len(emptied) == 10
    assert list(verify(emptied, content=True)) == []


@sqlite
def test_an_old_layout_does_not_multiply(emptied):
    """Each configuration has the history of all ancestors: of a thousand with a megabyte each, half a terabyte would come."""
    archive = legacy(chain(30, container_config={"Cmd": ["x" * 1000]}))
    assert "with the history of its ancestors" in str(limited(emptied, io.BytesIO(archive), document=20_000))
    empty(emptied)
    assert "and those before it" in str(limited(emptied, io.BytesIO(archive), documents=100_000))


@sqlite
def test_an_old_layout_names_itself(emptied):
    for parents in ({"aa": "aa"}, {"aa": "bb", "bb": "cc", "cc": "bb"}, {"aa": "./aa"}):
        images = {old_id: ({"parent": parent}, LAYER) for old_id, parent in parents.items()}
        with pytest.raises(InvalidArchiveError, match="its own ancestor"):
            load(emptied, io.BytesIO(legacy(images)))
        assert leftovers_of(emptied) == []


@sqlite
def test_tags_of_an_old_layout_move_and_are_told(emptied):
    lines: list[Any] = []
    images = {"aa": ({"comment": "a"}, LAYER), "bb": ({"comment": "b"}, LAYER)}
    first, _ = load(emptied, io.BytesIO(legacy(images, app={"1": "aa", "2": "aa"}, other={"1": "aa"})))
    assert [tag.familiar for tag in first.tags] == ["app:1", "app:2", "other:1"]
    _, second = load(emptied, io.BytesIO(legacy(images, app={"1": "bb", "2": "aa"})), report=lines.append)
    assert [line.text for line in lines if hasattr(line, "text")] == [
        f"The image app:1 already exists, renaming the old one with ID {first.id} to empty string\n"
    ]
    assert emptied.references.get("app:1") == second.id


@sqlite
def test_many_entries_end_soon_and_take_no_more_memory_than_is_said(emptied):
    """A pipe that never ends: the daemon would fill the disk."""

    class Endless(io.RawIOBase):
        passed = 0

        def readable(self):
            return True

        def read(self, size=-1, /):
            self.passed += 1
            return block(b"%0100d" % self.passed)

    pipe = Endless()
    tracemalloc.start()
    try:
        limited(emptied, pipe, entries=2000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pipe.passed < 2100
    assert peak < 2000 * 700 + (4 << 20)


@sqlite
def test_a_folder_is_read_within_itself(emptied, tmp_path):
    archive = image(layers=[LAYER])
    outside = tmp_path / "outside.json"
    outside.write_bytes(archive.files["app.json"])
    folder = tmp_path / "archive"
    for name, data in {**archive.files, "manifest.json": json.dumps(archive.items).encode()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (loaded,) = load(emptied, folder)
    assert loaded.id == archive.id("app")
    (folder / "app.json").unlink()
    (folder / "app.json").symlink_to(outside)
    with pytest.raises(InvalidArchiveError, match=r"outside\.json: no such file or directory"):
        load(emptied, folder)
    (folder / "app.json").unlink()
    (folder / "app.json").symlink_to("real.json")
    (folder / "real.json").write_bytes(archive.files["app.json"])
    assert load(emptied, folder) == [loaded]


@sqlite
@sources
def test_a_layer_is_a_link_to_one_that_comes_later(emptied, source):
    archive = image(layers=[LAYER])
    (path,) = archive.items[0]["Layers"]
    layer = archive.files.pop(path)
    archive.files = {"l": link("later"), **archive.files, "later": layer}
    archive.items[0]["Layers"] = ["l"]
    (loaded,) = load(emptied, source(archive.bytes()))
    assert loaded.id == archive.id("app")


@sqlite
@sources
def test_what_is_there_is_not_written_again(emptied, source):
    archive = image(layers=["layer", make_layer("large", size=100_000)])
    load(emptied, source(archive.bytes()))
    names = set(emptied.content.names())
    file = Counted(archive.bytes())
    load(emptied, file)
    assert file.taken < 100_000
    load(emptied, source(archive.bytes()))
    assert set(emptied.content.names()) == names


def small():
    """An archive of some seven kilobytes, with the place where its last file ends."""
    archive = Built()
    archive.add("app", layers=[LAYER])
    data = archive.bytes()
    end = data.rindex(b"]}]") + 3
    return data[: -(-end // 512) * 512 + 1024], end, archive.id("app")


def check_cuts(store, cuts, source):
    data, end, image_id = small()
    padded = len(data) - 1024
    for cut in cuts:
        is_whole = end <= cut <= padded or cut in (padded + 512, len(data))
        if is_whole:
            (loaded,) = load(store, source(data[:cut]))
            assert [loaded.id] == [image_id] == list(store.map())
            assert list(verify(store, content=True)) == []
            empty(store)
        else:
            with pytest.raises(InvalidArchiveError, match=r"unexpected EOF|no such file"):
                load(store, source(data[:cut]))
            assert leftovers_of(store) == [], cut


def test_cut_archives_are_whole_or_nothing(emptied):
    data, *_ = small()
    edges = {block + by for block in range(0, len(data) + 1, 512) for by in (-1, 0, 1)}
    cuts = sorted({cut for cut in {*range(0, len(data), 97), *edges} if 0 <= cut <= len(data)})
    check_cuts(emptied, cuts, io.BytesIO)
    check_cuts(emptied, cuts[::5], Pipe)


@pytest.mark.soak
@sources
def test_archives_cut_anywhere_are_whole_or_nothing(emptied, source):
    data, *_ = small()
    check_cuts(emptied, range(len(data) + 1), source)


@sqlite
def test_an_old_layout_has_so_many_tags_at_most(emptied):
    archive = legacy({"image": ({}, LAYER)}, app={str(number): "image" for number in range(3)})
    limited(emptied, io.BytesIO(archive), tags=2)
    assert load(emptied, io.BytesIO(archive), limits=Limits(tags=3))
