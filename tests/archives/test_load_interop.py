"""What a real dockerd, skopeo and umoci save of our images is loaded: the same images, or with the layers that they have added."""

from __future__ import annotations

import contextlib
import json
import tarfile
import urllib.parse
from typing import BinaryIO, cast

import pytest

from imagestore.archive import load, save_to
from imagestore.verify import verify
from tests.archives.conftest import Pipe, empty
from tests.archives.saved import FAMILY
from tests.archives.test_save_interop import NAMES, copy, docker, folder, run, take_from
from tests.docker.daemon import Connection

__all__ = ["docker", "folder"]  # fixtures
pytestmark = pytest.mark.interop


@pytest.fixture
def family(emptied):
    load(emptied, FAMILY)
    return emptied


def described(store):
    """The images by name: their IDs and diff IDs."""
    assert list(verify(store, content=True)) == []
    images = store.map()
    return {
        each.reference.familiar: (each.image_id, images[each.image_id].rootfs.diff_ids)
        for each in store.references.stream()
    }


def loaded_from(store, path):
    """What a load of a file or folder makes in an empty store; of a file, one of the same bytes in a pipe makes that too."""
    empty(store)
    load(store, path)
    found = described(store)
    if path.is_file():
        empty(store)
        load(store, cast("BinaryIO", Pipe(path.read_bytes())))
        assert described(store) == found
    return found


def saved(store, name, format, path):
    """What names an image for skopeo."""
    save_to(store, [name], path, format=format)
    return f"{format}-archive:{path}"


def config_of(folder, name):
    """The digest of an image's configuration by an image layout, and its diff IDs."""

    def blob(digest):
        return json.loads((folder / "blobs" / digest.replace(":", "/")).read_text())

    index = json.loads((folder / "index.json").read_text())
    (manifest,) = [
        each["digest"]
        for each in index["manifests"]
        if each["annotations"]["org.opencontainers.image.ref.name"] == name
    ]
    digest = blob(manifest)["config"]["digest"]
    return digest, tuple(blob(digest)["rootfs"]["diff_ids"])


def test_a_daemon_streams_it(docker, folder, family, tmp_path):
    """As `docker save` has it: the body of an answer, which is loaded as it comes."""
    expected = described(family)
    save_to(family, NAMES, tmp_path / "ours.tar")
    docker.send("POST", "/images/load?quiet=1", (tmp_path / "ours.tar").read_bytes())
    empty(family)
    query = urllib.parse.urlencode({"names": NAMES}, doseq=True)
    with contextlib.closing(Connection(folder / "socket")) as connection:
        connection.request("GET", f"/v1.41/images/get?{query}")
        load(family, cast("BinaryIO", connection.getresponse()))
    take_from(docker)
    assert described(family) == expected


@pytest.mark.parametrize("format", ["docker", "oci"])
@pytest.mark.parametrize("target", ["docker-archive", "oci-archive", "oci"])
def test_skopeo_copies_it(family, format, target, tmp_path):
    expected = described(family)
    for number, name in enumerate(NAMES):
        source = saved(family, name, format, tmp_path / f"ours-{number}.tar")
        copy(source, f"{target}:{tmp_path / str(number)}:{name}", tmp_path)
    for number, name in enumerate(NAMES):
        path = tmp_path / str(number)
        ((found, (image_id, diff_ids)),) = loaded_from(family, path).items()
        assert (found, diff_ids) == (name, expected[name][1])
        if format == "oci" or target == "docker-archive":
            assert image_id == expected[name][0]
        else:  # skopeo writes a docker configuration anew for OCI
            layout = path if target == "oci" else unpacked(path, tmp_path / f"layout-{number}")
            assert image_id == config_of(layout, name)[0] != expected[name][0]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_skopeo_compresses_the_layers_of_several_images(family, compression, tmp_path):
    expected = described(family)
    options = ["--dest-compress", "--dest-compress-format", compression]
    for name in NAMES:
        source = saved(family, name, "oci", tmp_path / "ours.tar")
        copy(source, f"oci:{tmp_path / 'layout'}:{name}", tmp_path, *options)
    assert loaded_from(family, tmp_path / "layout") == expected


def test_umoci_names_it_and_adds_a_layer(family, tmp_path):
    expected = described(family)["right:1"]
    layout, added = tmp_path / "layout", tmp_path / "added"
    copy(saved(family, "right:1", "oci", tmp_path / "ours.tar"), f"oci:{layout}:right:1", tmp_path)
    added.write_text("added")
    run("umoci", "tag", "--image", f"{layout}:right:1", "right:2")
    run("umoci", "insert", "--rootless", "--image", f"{layout}:right:1", "--tag", "more:1", added, "/added")
    found = loaded_from(family, layout)
    image_id, diff_ids = config_of(layout, "more:1")
    assert found == {"right:1": expected, "right:2": expected, "more:1": (image_id, diff_ids)}
    assert diff_ids[:-1] == expected[1]


def test_umoci_repacks_our_layout(family, tmp_path):
    (_, below) = described(family)["right:1"]
    save_to(family, ["right:1"], tmp_path / "ours.tar", format="oci", compression="gzip")
    layout = unpacked(tmp_path / "ours.tar", tmp_path / "layout")
    run("umoci", "unpack", "--rootless", "--image", f"{layout}:1", tmp_path / "bundle")
    (tmp_path / "bundle" / "rootfs" / "added").write_text("added")
    run("umoci", "repack", "--image", f"{layout}:1", tmp_path / "bundle")
    image_id, diff_ids = config_of(layout, "1")
    assert loaded_from(family, layout) == {"right:1": (image_id, diff_ids)}
    assert diff_ids[:-1] == below


def unpacked(path, folder):
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")
    return folder
