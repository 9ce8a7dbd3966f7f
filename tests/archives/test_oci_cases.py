"""oci/cases.json: what each OCI image layout holds, or why it is refused; from a file, from a pipe and from a folder, on both databases."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from imagestore.archive.loading import load
from imagestore.content.reading import plain
from imagestore.errors import InvalidArchiveError, InvalidLayerError
from imagestore.verify import verify
from tests.archives.conftest import Pipe
from tests.archives.recorded import ARCHIVES, HERE, cases, judged

CASES = cases("oci/cases.json")


def unpacked(path, folder):
    with tarfile.open(fileobj=io.BytesIO(b"".join(plain(io.BytesIO(path.read_bytes()))))) as tar:
        tar.extractall(folder, filter="data")
    return folder


SOURCES = {
    "file": lambda path, folder: path,
    "pipe": lambda path, folder: Pipe(path.read_bytes(), 5000),
    "folder": unpacked,
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", CASES)
def test_case(stocked, tmp_path, name, source):
    case = CASES[name]
    expected = case["expect"]
    try:
        archive = SOURCES[source](ARCHIVES / "oci" / case["file"], tmp_path / "layout")
    except tarfile.TarError:
        assert "refused" in expected  # what tarfile does not unpack should not be loaded from the tar either
        return
    if "images" in expected:
        check(stocked, load(stocked, archive, platform=case.get("platform")), expected["images"])
    else:
        with pytest.raises((InvalidArchiveError, InvalidLayerError)) as caught:
            load(stocked, archive, platform=case.get("platform"))
        assert reason(caught.value) in {expected["refused"], *expected.get("or", ())}, caught.value
        assert len(stocked) == 0
        stocked.collect()
        assert list(stocked.content.names()) == []
    assert list(verify(stocked, content=True)) == []


@pytest.mark.parametrize("source", SOURCES)
def test_what_skopeo_makes_of_a_daemons_archive(stocked, tmp_path, source):
    archive = SOURCES[source](ARCHIVES / "skopeo-oci.tar", tmp_path / "layout")
    (loaded,) = load(stocked, archive)
    with tarfile.open(ARCHIVES / "skopeo-oci.tar") as tar:
        blob = tar.extractfile(f"blobs/{loaded.id.replace(':', '/')}").read()
    assert stocked.get(loaded.id).raw_json == blob
    assert loaded.tags == ()  # it is called "img", which names no repository
    assert list(verify(stocked, content=True)) == []


def test_what_the_specification_leaves_open_is_told():
    known = json.loads((HERE / "data" / "oci" / "cases.json").read_text())
    assert judged() == {case["name"] for case in known if case.get("judgement")}


def check(store, loaded, expected):
    assert [each.id for each in loaded] == [image["id"] for image in expected]
    for each, wanted in zip(loaded, expected, strict=True):
        image = store.get(each.id)
        assert list(image.rootfs.diff_ids) == wanted["diff_ids"]
        assert (image.chain_id or None) == wanted["chain_id"]
        assert (image.operating_system, image.base_img_arch) == (wanted["os"], wanted["architecture"])
        assert sorted(tag.familiar for tag in each.tags) == wanted["tags"]
        assert sorted(tag.familiar for tag in store.references.references(each.id)) == wanted["tags"]
        assert all(link.chain_id in store.layers for link in image.stack)
    assert len(store) == len(expected)


def reason(error):
    return "corrupt-layer" if isinstance(error, InvalidLayerError) else error.reason
