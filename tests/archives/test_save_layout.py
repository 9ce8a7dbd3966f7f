"""An OCI image layout that is saved: what is in it, that it is the same at every run, and that it is loaded to the same images."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import Any

import pytest

from imagestore.archive import load, save
from imagestore.content.reading import compression as compression_of
from imagestore.content.reading import plain
from imagestore.digest import Digest
from imagestore.errors import InvalidError
from imagestore.store import Store
from imagestore.testing.makers import make_config
from tests.archives.saved import FAMILY

NAMES = ["base:1", "left:1", "right:1"]
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def family(sqlite_stocked):
    load(sqlite_stocked, FAMILY)
    return sqlite_stocked


def saved(store, *names, compression=None):
    out = io.BytesIO()
    save(store, names, out, format="oci", compression=compression)
    return out.getvalue()


def files_of(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = tar.getnames()
        assert names == sorted(names)
        assert {(member.mtime, member.uname, member.gname) for member in tar} == {(0, "root", "root")}
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def index_of(archive):
    return json.loads(files_of(archive)["index.json"])["manifests"]


def read_blob(files, descriptor):
    """The bytes that a descriptor names, if they are what it says."""
    data = files[f"blobs/{descriptor['digest'].replace(':', '/')}"]
    assert (Digest.from_bytes(data), len(data)) == (descriptor["digest"], descriptor["size"])
    return data


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_all_is_in_it_and_named(family, compression):
    archive = saved(family, *NAMES, compression=compression)
    files = files_of(archive)
    assert json.loads(files.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    index: dict[str, Any] = json.loads(files.pop("index.json"))
    assert (index["schemaVersion"], index["mediaType"]) == (2, "application/vnd.oci.image.index.v1+json")
    named = set()
    for name, entry in zip(NAMES, index["manifests"], strict=True):
        assert entry["annotations"] == {
            "io.containerd.image.name": f"docker.io/library/{name}",
            "org.opencontainers.image.ref.name": "1",
        }
        assert entry["mediaType"] == MANIFEST
        manifest = json.loads(read_blob(files, entry))
        assert (manifest["schemaVersion"], manifest["mediaType"]) == (2, MANIFEST)
        config, layers = manifest["config"], manifest["layers"]
        assert config["mediaType"] == "application/vnd.oci.image.config.v1+json"
        image = family.get(family.references.get(name))
        assert read_blob(files, config) == image.raw_json
        suffix = "" if compression is None else f"+{compression}"
        assert {layer["mediaType"] for layer in layers} == {f"application/vnd.oci.image.layer.v1.tar{suffix}"}
        packed = [read_blob(files, layer) for layer in layers]
        assert {compression_of(data) for data in packed} == {compression}
        tars = [b"".join(plain(io.BytesIO(data))) for data in packed]
        assert tuple(map(Digest.from_bytes, tars)) == image.rootfs.diff_ids
        named |= {each["digest"].replace(":", "/") for each in (entry, config, *layers)}
    assert {f"blobs/{name}" for name in named} == set(files)
    assert saved(family, *NAMES, compression=compression) == archive


def test_the_header_of_gzip_has_no_name_and_no_time(family):
    files = files_of(saved(family, "base:1", compression="gzip"))
    (packed, *_) = [data for data in files.values() if compression_of(data) == "gzip"]
    assert packed[:10] == b"\x1f\x8b\x08" + bytes(5) + b"\0\x03"
    assert gzip.decompress(packed)


def test_each_tag_has_an_entry_and_an_image_without_a_tag_one_without_a_name(family):
    base, left = (family.references.get(name) for name in ("base:1", "left:1"))
    family.references.add_tag("reg.example.org:5000/a/b:stable", base)
    entries = index_of(saved(family, "base", "reg.example.org:5000/a/b", left))
    assert [entry.get("annotations") for entry in entries] == [
        {"io.containerd.image.name": "docker.io/library/base:1", "org.opencontainers.image.ref.name": "1"},
        {
            "io.containerd.image.name": "reg.example.org:5000/a/b:stable",
            "org.opencontainers.image.ref.name": "stable",
        },
        None,
    ]
    assert entries[0]["digest"] == entries[1]["digest"] != entries[2]["digest"]


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_it_is_loaded_to_the_same_images(family, compression, postgres_store, tmp_path):
    unnamed = family.create(make_config("without layers"))
    other = Store(postgres_store.engine, content=tmp_path / "other")
    load(other, io.BytesIO(saved(family, *NAMES, unnamed, compression=compression)))
    assert other.map() == {image_id: other.get(image_id) for image_id in family.map()}
    assert [*other.references.stream()] == [*family.references.stream()]
    assert other.layers.map() == family.layers.map()
    save(other, NAMES, again := io.BytesIO())
    save(family, NAMES, out := io.BytesIO())
    assert again.getvalue() == out.getvalue()


@pytest.mark.parametrize(
    ("format", "compression"), [("docker", "gzip"), ("docker", "zstd"), ("oci", "xz"), ("oci", ""), ("zip", None)]
)
def test_what_cannot_be_made(family, format, compression):
    with pytest.raises(InvalidError):
        save(family, NAMES, io.BytesIO(), format=format, compression=compression)
