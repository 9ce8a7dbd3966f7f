"""What is saved is read by a real dockerd and its containerd, by skopeo and by umoci, and is the same images there."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
import urllib.parse
from pathlib import Path

import pytest

from imagestore.archive import load, save, save_to
from imagestore.store import Store
from imagestore.testing.makers import make_config
from tests.archives.saved import CASES, FAMILY, fill
from tests.docker.daemon import daemon

pytestmark = pytest.mark.interop
NAMES = ["base:1", "left:1", "right:1"]
COMPRESSIONS = [None, "gzip", "zstd"]


@pytest.fixture(scope="module")
def folder():
    """A short name: that of a socket in it has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="imagestore-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def docker(folder):
    with daemon(folder) as running:
        yield running


@pytest.fixture
def family(sqlite_stocked):
    load(sqlite_stocked, FAMILY)
    return sqlite_stocked


def run(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def copy(source, target, folder, *options):
    """By skopeo, which has its temporary files elsewhere otherwise."""
    run("skopeo", "--tmpdir", folder, "copy", "--quiet", *options, source, target)


def images_of(store, names):
    """What `names` stand for, with the tags of these."""
    found: dict[str, list[str]] = {}
    for name in names:
        is_id = name.startswith("sha256:")
        image_id = name if is_id else store.references.get(name)
        found.setdefault(image_id, []).extend([] if is_id else [name])
    return {image_id: sorted(tags) for image_id, tags in found.items()}


def take_from(docker):
    """The daemon's images with their tags and parents; they are removed, children first."""
    found: dict[str, tuple[list[str], str]] = {}
    while left := docker.call("GET", "/images/json?all=1"):
        parents = {image["ParentId"] for image in left}
        for image in left:
            tags = sorted(tag for tag in image["RepoTags"] or () if tag != "<none>:<none>")
            found.setdefault(image["Id"], (tags, image["ParentId"]))
            if image["Id"] not in parents:
                docker.call("DELETE", f"/images/{image['Id']}?force=1&noprune=1")
    return found


@pytest.mark.parametrize("name", [name for name in CASES if not CASES[name]["save"]["exit"]])
def test_a_daemon_loads_it(docker, sqlite_stocked, name):
    names = CASES[name]["save"]["names"]
    fill(sqlite_stocked, name)
    save(sqlite_stocked, names, out := io.BytesIO())
    docker.send("POST", "/images/load?quiet=1", out.getvalue())
    query = urllib.parse.urlencode({"names": names}, doseq=True)
    theirs = docker.send("GET", f"/images/get?{query}")
    images = images_of(sqlite_stocked, names)
    parents = {image_id: sqlite_stocked.get_parent(image_id) for image_id in images}
    assert take_from(docker) == {
        image_id: (tags, parents[image_id] if parents[image_id] in images else "") for image_id, tags in images.items()
    }
    if len(images) == 1 and b"../" not in theirs:  # else the order, and the times of links, are those of this call
        assert theirs == out.getvalue()


def test_a_daemon_loads_an_image_without_layers(docker, sqlite_stocked):
    sqlite_stocked.create(make_config())
    save(sqlite_stocked, [*sqlite_stocked.map()], out := io.BytesIO())
    docker.send("POST", "/images/load?quiet=1", out.getvalue())
    assert [*take_from(docker)] == [*sqlite_stocked.map()]


def test_what_a_daemon_saves_of_it_comes_back(docker, family, postgres_store, tmp_path):
    save(family, NAMES, out := io.BytesIO())
    docker.send("POST", "/images/load?quiet=1", out.getvalue())
    query = urllib.parse.urlencode({"names": NAMES}, doseq=True)
    theirs = docker.send("GET", f"/images/get?{query}")
    take_from(docker)
    other = Store(postgres_store.engine, content=tmp_path / "other")
    load(other, io.BytesIO(theirs))
    save(other, NAMES, again := io.BytesIO())
    assert again.getvalue() == out.getvalue()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_containerd_reads_the_layout_and_its_names(docker, folder, family, compression, tmp_path):
    path = tmp_path / "saved.tar"
    save_to(family, NAMES, path, format="oci", compression=compression)
    ctr = ["ctr", "--address", folder / "exec/containerd/containerd.sock", "--namespace", f"test-{compression}"]
    run(*ctr, "images", "import", "--no-unpack", path)
    assert sorted(run(*ctr, "images", "list", "--quiet").split()) == [f"docker.io/library/{name}" for name in NAMES]
    assert " incomplete " not in run(*ctr, "images", "check")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_skopeo_reads_the_layout(family, compression, tmp_path):
    for name in NAMES:
        path = tmp_path / "saved.tar"
        save_to(family, [name], path, format="oci", compression=compression)
        for number, reference in enumerate([path, f"{path}:1"]):
            target = tmp_path / f"{name.partition(':')[0]}-{number}"
            copy(f"oci-archive:{reference}", f"dir:{target}", tmp_path)
            manifest = json.loads((target / "manifest.json").read_text())
            assert manifest["config"]["digest"] == family.references.get(name)
            assert len(manifest["layers"]) == len(family.get(family.references.get(name)).stack)


def test_skopeo_finds_each_of_several_images(family, tmp_path):
    path = tmp_path / "saved.tar"
    for number, name in enumerate(NAMES):
        family.references.add_tag(f"family:{number}", family.references.get(name))
    save_to(family, ["family"], path, format="oci")
    for number, name in enumerate(NAMES):
        copy(f"oci-archive:{path}:{number}", f"dir:{tmp_path / str(number)}", tmp_path)
        manifest = json.loads((tmp_path / str(number) / "manifest.json").read_text())
        assert manifest["config"]["digest"] == family.references.get(name)


@pytest.mark.parametrize("name", ["plain", "two-images", "whiteouts"])
def test_skopeo_reads_dockers_archive(sqlite_stocked, name, tmp_path):
    """Not one with a layer that is a link, be it ours or docker's own: skopeo 1.9 takes its size for that of the layer."""
    load(sqlite_stocked, FAMILY.parent / f"{name}.tar")
    path = tmp_path / "saved.tar"
    images = [*sqlite_stocked.map()]
    save_to(sqlite_stocked, images, path)
    for number, image_id in enumerate(images):
        copy(f"docker-archive:{path}:@{number}", f"dir:{tmp_path / str(number)}", tmp_path)
        manifest = json.loads((tmp_path / str(number) / "manifest.json").read_text())
        assert manifest["config"]["digest"] == image_id


@pytest.mark.parametrize("compression", [None, "gzip"])  # umoci 0.4 knows no zstd
def test_umoci_unpacks_the_layout(family, compression, tmp_path):
    path = tmp_path / "saved.tar"
    for name in NAMES:
        save_to(family, [name], path, format="oci", compression=compression)
        layout = tmp_path / name.partition(":")[0]
        with tarfile.open(path) as tar:
            tar.extractall(layout, filter="data")
        assert run("umoci", "ls", "--layout", layout).split() == ["1"]
        bundle = tmp_path / f"{layout.name}-bundle"
        run("umoci", "unpack", "--rootless", "--image", f"{layout}:1", bundle)
        files = {each.name for each in (bundle / "rootfs").rglob("*") if each.is_file()}
        assert files == names_in_layers(family, name)


def names_in_layers(store, name):
    names = set()
    for link in store.get(store.references.get(name)).stack:
        with store.layers.open(link.chain_id) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            names |= {Path(member.name).name for member in tar if member.isfile()}
    return names
