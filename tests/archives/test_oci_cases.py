"""Every case of oci/cases.json: what an OCI layout holds, or why it is refused; from a file, from a pipe and from a folder."""

from __future__ import annotations

import io
import json
import tarfile

import pytest
from imagestore.archive.loading import load
from imagestore.content.reading import plain
from imagestore.errors import InvalidArchiveError, InvalidLayerError
from imagestore.store import Store
from imagestore.verify import verify

from tests.archives.saved import ARCHIVES

CASES = {case["name"]: case for case in json.loads((ARCHIVES / "oci" / "cases.json").read_text())}
WAYS = ("file", "pipe", "folder")


@pytest.fixture
def store(store, tmp_path):
    with Store(store.engine, content=tmp_path / "content") as made:
        yield made


class Pipe(io.RawIOBase):
    """Bytes that come in pieces of any size, and cannot be sought in."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def read(self, size=-1):
        return self._data.read(min(size, 5000) if size > 0 else size)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_case(store, tmp_path, name, way):
    case = CASES[name]
    source = opened(ARCHIVES / "oci" / case["file"], way, tmp_path / "layout")
    if source is None:
        pytest.fail(f"{name} cannot be unpacked") if "images" in case["expect"] else None
        return
    if "images" in case["expect"]:
        check_loaded(store, load(store, source, platform=case.get("platform")), case["expect"]["images"])
    else:
        with pytest.raises((InvalidArchiveError, InvalidLayerError)) as caught:
            load(store, source, platform=case.get("platform"))
        assert class_of(caught.value) in {case["expect"]["refused"], *case["expect"].get("or", ())}, caught.value
        assert len(store) == 0
        store.collect()
        assert list(store.content.names()) == []
    assert list(verify(store, content=True)) == []


def check_loaded(store, loaded, expected):
    assert [each.id for each in loaded] == [image["id"] for image in expected]
    for each, wanted in zip(loaded, expected, strict=True):
        image = store.get(each.id)
        assert list(image.rootfs.diff_ids) == wanted["diff_ids"]
        assert (image.chain_id or None) == wanted["chain_id"]
        assert (image.operating_system, image.base_img_arch) == (wanted["os"], wanted["architecture"])
        assert sorted(tag.familiar for tag in each.tags) == wanted["tags"]
        assert sorted(tag.familiar for tag in store.references.references(each.id)) == wanted["tags"]
    assert len(store) == len(expected)


def class_of(error):
    return "corrupt-layer" if isinstance(error, InvalidLayerError) else error.reason


def opened(path, way, folder):
    """A source for load; None where the archive cannot be unpacked into a folder."""
    data = path.read_bytes()
    if way == "pipe":
        return Pipe(data)
    if way == "file":
        return io.BytesIO(data)
    try:
        with tarfile.open(fileobj=io.BytesIO(b"".join(plain(io.BytesIO(data))))) as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, InvalidLayerError):
        return None
    return folder
