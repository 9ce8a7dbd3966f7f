"""What is saved is what a real daemon saved, byte for byte, and what cannot be saved is an error before the first byte."""

from __future__ import annotations

import io
import json
import re
import tarfile

import pytest

from imagestore.archive import TarExporter, load, save
from imagestore.digest import Digest
from imagestore.errors import (
    AmbiguousIDError,
    ContentLostError,
    CorruptContentError,
    ImageNotFoundError,
    InvalidError,
    InvalidReferenceError,
    LayerNotFoundError,
    ReferenceNotFoundError,
    UnusableContentError,
)
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_diff_id, make_digest, make_layer
from tests.archives.recorded import differences
from tests.archives.saved import CASES, FAMILY, fill, names_in_order, with_times_of

DIFFERENCES = {"save-linked-times", "save-order", "save-without-layers", "save-other-systems"}


@pytest.fixture
def family(emptied):
    load(emptied, FAMILY)
    return emptied


def saved(store, *names, **options):
    out = io.BytesIO()
    save(store, names, out, **options)
    return out.getvalue()


def manifest_of(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return json.loads(tar.extractfile("manifest.json").read())


def tags_of(archive):
    return [item["RepoTags"] for item in manifest_of(archive)]


@pytest.mark.parametrize("name", CASES)
def test_a_case(emptied, name):
    case = CASES[name]["save"]
    fill(emptied, name)
    if case["exit"]:
        assert "empty export - not implemented" in case["stderr"]
        assert [item["Layers"] for item in manifest_of(saved(emptied, *case["names"]))] == [[]] * len(case["names"])
        return
    names = names_in_order(case)
    archive = saved(emptied, *names)
    assert Digest.from_bytes(with_times_of(case, archive)).hex == case["sha256"]
    assert saved(emptied, *names) == archive
    out = io.BytesIO()
    TarExporter(emptied).save(names, out)
    assert out.getvalue() == archive
    assert emptied.leases.page() == []


def test_the_list_of_differences_is_true():
    assert differences("save") == DIFFERENCES


def test_the_times_of_a_linked_layer_are_those_of_its_image(family):
    """One of "save-linked-times"."""
    with tarfile.open(fileobj=io.BytesIO(saved(family, "base:1", "left:1"))) as tar:
        (link,) = [member for member in tar if member.issym()]
        folder = link.name.partition("/")[0]
        times = {member.mtime for member in tar if member.name.partition("/")[0] == folder}
    assert times == {family.get(family.references.get("left:1")).created.seconds}


def test_an_image_without_layers(emptied):
    image_id = emptied.create(make_config())
    emptied.references.add_tag("app:1", image_id)
    archive = saved(emptied, "app:1")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getnames() == [f"{image_id.hex}.json", "manifest.json"]
    assert manifest_of(archive) == [{"Config": f"{image_id.hex}.json", "RepoTags": ["app:1"], "Layers": []}]


def test_an_image_of_another_system(emptied):
    register(emptied, "layer")
    image_id = emptied.create(make_config(os="windows", layers=[Digest.from_bytes(make_layer("layer"))]))
    assert len(manifest_of(saved(emptied, image_id))) == 1


class TestNames:
    def test_a_name_alone_means_all_of_its_tags(self, family):
        family.references.add_tag("left:0", family.references.get("right:1"))
        family.references.add_tag("left:2", family.references.get("left:1"))
        assert tags_of(saved(family, "left")) == [["left:0"], ["left:1", "left:2"]]

    def test_images_come_in_the_order_of_the_names(self, family):
        assert tags_of(saved(family, "right:1", "base:1", "left:1")) == [["right:1"], ["base:1"], ["left:1"]]
        family.references.add_tag("app:1", family.references.get("base:1"))
        assert tags_of(saved(family, "base:1", "left:1", "app:1")) == [["base:1", "app:1"], ["left:1"]]

    def test_a_name_twice_is_one(self, family):
        assert tags_of(saved(family, "left:1", "docker.io/library/left:1", "left")) == [["left:1"]]

    def test_an_id_gives_no_tag(self, family):
        image_id = family.references.get("left:1")
        for term in (image_id, image_id.hex, image_id[:20], image_id.hex[:12]):
            assert tags_of(saved(family, term)) == [None]
        assert tags_of(saved(family, image_id, "left:1")) == [["left:1"]]

    def test_a_digest_gives_no_tag(self, family):
        image_id = family.references.get("left:1")
        family.references.add_digest(f"left@{image_id}", image_id)
        assert tags_of(saved(family, f"left@{image_id}")) == tags_of(saved(family, f"left:1@{image_id}")) == [None]
        assert tags_of(saved(family, "left")) == [["left:1"]]
        family.references.delete("left:1")
        assert tags_of(saved(family, "left")) == [None]

    def test_a_parent_is_named_that_is_saved_too(self, family):
        base = family.references.get("base:1")
        family.set_parent(family.references.get("left:1"), base)
        parents = [item.get("Parent") for item in manifest_of(saved(family, "left:1", "right:1", "base:1"))]
        assert parents == [base, None, None]
        assert "Parent" not in manifest_of(saved(family, "left:1", "right:1"))[0]
        family.backend.set_metadata(base, "parent", base.encode())  # a cycle that came through the port
        assert "Parent" not in manifest_of(saved(family, "base:1"))[0]


REFUSED = [
    (["nothere"], ImageNotFoundError, "No such image: nothere"),
    (["left:1", "nothere:2"], ReferenceNotFoundError, "reference does not exist: nothere:2"),
    ([make_digest()], ImageNotFoundError, f"No such image: {make_digest()}"),
    ([f"left@{make_digest()}"], ReferenceNotFoundError, f"reference does not exist: left@{make_digest()}"),
    (["sha256:abc"], ImageNotFoundError, "No such image: sha256:abc"),
    (["UPPER"], InvalidReferenceError, "invalid reference format: repository name must be lowercase"),
    ([""], InvalidReferenceError, "invalid reference format"),
    ([], InvalidError, "there is nothing to save: name an image"),
    ("left:1", InvalidError, "several names are wanted"),
]


@pytest.mark.parametrize(("names", "kind", "words"), REFUSED)
def test_a_name_that_means_nothing(family, names, kind, words):
    refused(family, names, kind, words)


def refused(store, names, kind, words):
    out = io.BytesIO()
    with pytest.raises(kind, match=re.escape(words)) as caught:
        save(store, names, out)
    assert out.getvalue() == b""
    assert store.leases.page() == []
    return caught.value


def test_a_name_that_means_several(emptied):
    configs = (make_config(number) for number in range(40))
    first: dict[str, list[str]] = {}
    for image_id in emptied.create_many(configs):
        first.setdefault(image_id.hex[0], []).append(image_id)
    letter = next(letter for letter, found in first.items() if len(found) > 1)
    refused(emptied, [f"sha256:{letter}"], AmbiguousIDError, "ambiguous image ID")


def register(store, *names):
    """Register a stack of layers, each with a file of its name, under a lease that has ended."""
    with store.lease() as lease:
        parent = None
        for name in names:
            parent = store.layers.register(io.BytesIO(make_layer(name)), parent, lease=lease).chain_id
    return parent


class TestLayersThatAreNotThere:
    def test_an_image_that_is_known_alone(self, family):
        image_id = Store(family.engine).create(make_config("known", layers=[make_diff_id("a"), make_diff_id("b")]))
        error = refused(family, ["left:1", image_id], LayerNotFoundError, "layer does not exist")
        assert image_id in error.__notes__[0]
        assert make_diff_id("a") in error.__notes__[0]
        assert "load the image" in error.__notes__[0]

    def test_an_image_that_is_in_no_trie(self, family):
        image_id = Store(family.engine).create(make_config("odd", layers=["md5:x"]))
        assert "md5:x" in refused(family, [image_id], LayerNotFoundError, "layer does not exist").__notes__[0]

    def test_a_store_without_a_place(self, family):
        refused(Store(family.engine), ["left:1"], UnusableContentError, "no place for content")

    def test_content_that_is_gone_or_cut(self, sqlite_stocked, tmp_path):
        family = sqlite_stocked
        load(family, FAMILY)
        files = sorted((tmp_path / "content/data").iterdir(), key=lambda file: file.stat().st_size)
        files[0].write_bytes(files[0].read_bytes()[:-1])
        refused(family, ["base:1", "left:1", "right:1"], CorruptContentError, "is damaged")
        files[0].unlink()
        refused(family, ["base:1", "left:1", "right:1"], ContentLostError, "is gone")

    def test_content_that_is_damaged_ends_the_save(self, sqlite_stocked, tmp_path):
        family = sqlite_stocked
        load(family, FAMILY)
        for file in (tmp_path / "content/data").iterdir():
            file.write_bytes(file.read_bytes()[:-1] + b"x")
        for options in ({}, {"format": "oci"}, {"format": "oci", "compression": "gzip"}):
            with pytest.raises(CorruptContentError):
                saved(family, "base:1", **options)
        assert family.leases.page() == []
