"""OCI image layouts that are sound: which images are taken of them, under which names, and what is not looked at."""

from __future__ import annotations

import base64
import gzip
import io
import json
from typing import Any

import pytest

from imagestore.archive.limits import Limits
from imagestore.archive.loading import load
from imagestore.archive.messages import Line
from imagestore.digest import Digest
from imagestore.errors import InvalidArchiveError, InvalidError
from imagestore.testing.makers import make_config, make_layer
from imagestore.verify import verify
from tests.archives.built import link, tar
from tests.archives.conftest import Pipe
from tests.archives.layouts import CONFIG, FULL_NAME, LAYER, MANIFEST, NAME, Layout, named, on, path

ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}
SOURCES: list[Any] = [io.BytesIO, Pipe]
ABSENT = {"mediaType": MANIFEST, "digest": f"sha256:{'0' * 64}", "size": 500}


def loaded(store, layout, **arguments):
    """The comment of each image that is loaded, which is the name it was made with, and its tags."""
    found = load(store, io.BytesIO(layout.tar()), **arguments)
    return [(store.get(each.id).comment, *sorted(tag.familiar for tag in each.tags)) for each in found]


def refusal(store, layout, **arguments):
    with pytest.raises(InvalidArchiveError) as caught:
        load(store, io.BytesIO(layout.tar()), **arguments)
    assert len(store) == 0
    return caught.value.reason


class TestPlatforms:
    @pytest.fixture
    def layout(self):
        """One name for three platforms; of the third, nothing is there."""
        layout = Layout()
        arm = layout.image("arm", config={"architecture": "arm"}, **named("app:1"), **on("linux/arm/v7"))
        amd = layout.image("amd", **named("app:1"), **on("linux/amd64"))
        return layout.add(arm, amd, {**ABSENT, **named("app:1"), **on("linux/riscv64")})

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (None, "amd"),
            ("linux/amd64", "amd"),
            ("linux/x86_64", "amd"),
            ("Linux/AMD64/v1", "amd"),
            ("linux/arm", "arm"),
            ("linux/arm/7", "arm"),
            ("linux/armhf", "arm"),
        ],
    )
    def test_one_of_several_is_taken(self, sqlite_stocked, layout, wanted, expected):
        assert loaded(sqlite_stocked, layout, platform=wanted) == [(expected, "app:1")]

    @pytest.mark.parametrize("wanted", ["linux/arm/v6", "linux/arm64", "windows/amd64", "linux/amd64/v3"])
    def test_none_does_for_another(self, sqlite_stocked, layout, wanted):
        assert refusal(sqlite_stocked, layout, platform=wanted) == "platform"

    def test_what_is_taken_must_be_there(self, sqlite_stocked, layout):
        assert refusal(sqlite_stocked, layout, platform="linux/riscv64") == "missing-blob"

    @pytest.mark.parametrize("wanted", ["", "amd64", "linux/", "linux/arm/v7/x"])
    def test_a_platform_is_written_in_one_way(self, sqlite_stocked, layout, wanted):
        with pytest.raises(InvalidError, match="linux/amd64"):
            load(sqlite_stocked, io.BytesIO(layout.tar()), platform=wanted)

    def test_without_a_wish_several_others_are_no_choice(self, sqlite_stocked):
        layout = Layout()
        for architecture in ("arm64", "s390x"):
            config = {"architecture": architecture}
            layout.add(layout.image(architecture, config=config, **named("app:1"), **on(f"linux/{architecture}")))
        assert refusal(sqlite_stocked, layout) == "platform"
        assert loaded(sqlite_stocked, layout, platform="linux/arm64/v8") == [("arm64", "app:1")]

    def test_what_comes_alone_is_taken_unless_another_is_wanted(self, sqlite_stocked):
        layout = Layout()
        entry = layout.image("arm", config={"architecture": "arm64"}, **named("app:1"), **on("linux/arm64"))
        layout.add(entry, {**ABSENT, **on("unknown/unknown")})
        assert refusal(sqlite_stocked, layout, platform="linux/amd64") == "platform"
        assert loaded(sqlite_stocked, layout) == [("arm", "app:1")]

    def test_an_entry_that_states_none_has_that_of_its_configuration(self, sqlite_stocked):
        layout = Layout()
        layout.add(layout.image("arm", config={"architecture": "arm64"}, **named("app:1")))
        layout.add(layout.image("amd", **named("app:1")))
        assert loaded(sqlite_stocked, layout) == [("amd", "app:1")]
        assert loaded(sqlite_stocked, layout, platform="linux/arm64") == [("arm", "app:1")]

    def test_nameless_entries_for_a_platform_each_are_alternatives(self, sqlite_stocked):
        layout = Layout()
        layout.add(layout.image("arm", config={"architecture": "arm64"}, **on("linux/arm64")))
        layout.add(layout.image("amd", **on("linux/amd64")))
        assert loaded(sqlite_stocked, layout) == [("amd",)]

    def test_a_signature_beside_them_is_none(self, sqlite_stocked):
        layout = Layout()
        layout.add(layout.image("arm", config={"architecture": "arm64"}, **on("linux/arm64")))
        layout.add(layout.manifest(layout.blob("application/vnd.oci.empty.v1+json", b"{}"), []))
        layout.add(layout.image("amd", **on("linux/amd64")))
        assert loaded(sqlite_stocked, layout) == [("amd",)]

    def test_other_nameless_entries_are_images_of_their_own(self, sqlite_stocked):
        layout = Layout()
        layout.add(layout.image("1"), layout.image("2", **on("linux/amd64")), layout.image("3", **on("linux/amd64")))
        assert loaded(sqlite_stocked, layout) == [("1",), ("2",), ("3",)]

    def test_another_system_than_linux_is_refused(self, sqlite_stocked):
        layout = Layout()
        layout.add(layout.image("win", config={"os": "windows"}, **on("windows/amd64")))
        assert refusal(sqlite_stocked, layout) == "platform"


class TestNames:
    @pytest.mark.parametrize(
        ("annotations", "tags"),
        [
            ({NAME: "latest"}, []),
            ({NAME: "app:1"}, ["app:1"]),
            ({NAME: "team/app"}, ["team/app:latest"]),
            ({NAME: "registry.test:5000/app"}, ["registry.test:5000/app:latest"]),
            ({NAME: "1", FULL_NAME: "docker.io/library/app:1"}, ["app:1"]),
            ({NAME: "other:2", FULL_NAME: "app"}, ["app:latest"]),
            ({NAME: f"app:1@sha256:{'0' * 64}"}, ["app:1"]),
            ({NAME: f"app@sha256:{'0' * 64}"}, []),
            ({NAME: ""}, []),
        ],
    )
    def test_a_name_gives_a_tag_if_it_is_a_reference(self, sqlite_stocked, annotations, tags):
        layout = Layout()
        layout.add(layout.image(annotations=annotations))
        assert loaded(sqlite_stocked, layout) == [("image", *tags)]

    @pytest.mark.parametrize("name", ["UPPER/case", "app:", ":1", "a//b", "../app", "app:1 ", f"x/{'a' * 300}"])
    def test_what_should_be_a_reference_and_is_none_is_refused(self, sqlite_stocked, name):
        layout = Layout()
        layout.add(layout.image(**named(name)))
        assert refusal(sqlite_stocked, layout) == "invalid-reference"

    def test_a_containerd_name_is_a_reference_even_as_a_word(self, sqlite_stocked):
        layout = Layout()
        layout.add(layout.image(annotations={FULL_NAME: "No-Reference"}))
        assert refusal(sqlite_stocked, layout) == "invalid-reference"

    def test_only_the_names_in_index_json_count(self, sqlite_stocked):
        layout = Layout()
        layout.add(layout.nested(layout.image(**named("inner:1")), **named("outer:1")))
        assert loaded(sqlite_stocked, layout) == [("image", "outer:1")]

    def test_an_image_under_several_names_is_one(self, sqlite_stocked):
        layout = Layout()
        layout.add(
            layout.image(**named("app:1")), layout.image("second"), layout.image(**named("docker.io/library/b:1"))
        )
        assert loaded(sqlite_stocked, layout) == [("image", "app:1", "b:1"), ("second",)]

    def test_spellings_of_one_name_are_one_name(self, sqlite_stocked):
        layout = Layout()
        layout.add(
            layout.image("1", **named("library/app")), layout.image("2", **named("docker.io/library/app:latest"))
        )
        assert loaded(sqlite_stocked, layout) == [("1", "app:latest")]

    def test_what_is_told(self, sqlite_stocked):
        layout = Layout()
        layout.add(layout.image("1", **named("app:1")), layout.image("2", **named("v2")))
        lines = []
        loaded_ids = load(
            sqlite_stocked,
            io.BytesIO(layout.tar()),
            report=lambda message: lines.append(message.text) if isinstance(message, Line) else None,
        )
        assert lines == ["Loaded image: app:1\n", f"Loaded image ID: {loaded_ids[1].id}\n"]


class TestWhatIsNoImage:
    def test_is_passed_over_beside_one(self, sqlite_stocked):
        layout = Layout()
        empty = layout.blob("application/vnd.oci.empty.v1+json", b"{}")
        signed = layout.blob("application/vnd.dev.cosign.simplesigning.v1+json", b"signature")
        config = layout.blob(
            CONFIG, {"rootfs": {"type": "layers", "diff_ids": ["sha256:x"]}, "architecture": "", "os": ""}
        )
        layout.add(
            layout.manifest(empty, []),
            layout.manifest({**empty, "digest": f"sha256:{'1' * 64}"}, [], **named("chart:1")),
            layout.manifest(config, [signed], **named("sha256-1.sig")),
            {**ABSENT, "annotations": ATTESTATION},
            {**ABSENT, **on("unknown/unknown"), "digest": "none at all"},
            {**ABSENT, "mediaType": "application/vnd.oci.artifact.manifest.v1+json"},
            {**ABSENT, "artifactType": "application/vnd.example+type"},
            layout.image(**named("app:1")),
        )
        assert loaded(sqlite_stocked, layout) == [("image", "app:1")]

    @pytest.mark.parametrize(
        "members",
        [
            {"annotations": ATTESTATION},
            on("unknown/unknown"),
            {"mediaType": "application/octet-stream"},
            {"mediaType": ""},
            {"artifactType": "application/vnd.example+type"},
        ],
    )
    def test_alone_it_is_an_error(self, sqlite_stocked, members):
        assert refusal(sqlite_stocked, Layout().add({**ABSENT, **members})) == "unsupported-media-type"

    def test_nothing_is_a_success(self, sqlite_stocked):
        assert loaded(sqlite_stocked, Layout()) == []


class TestIndexes:
    def test_images_lie_some_levels_below(self, sqlite_stocked):
        layout = Layout()
        entry = layout.image()
        for _ in range(3):
            entry = layout.nested({**ABSENT, **on("linux/arm64")}, entry)
        layout.add({**entry, **named("deep:1")})
        assert loaded(sqlite_stocked, layout) == [("image", "deep:1")]

    def test_one_that_lists_the_next_twice_is_read_once(self, sqlite_stocked):
        layout = Layout()
        entry = layout.image("arm", config={"architecture": "arm64"})
        for _ in range(25):
            entry = layout.nested(entry, entry)
        layout.add({**entry, **named("twice:1")}, *({**entry, **named(f"twice:{n}")} for n in range(2, 50)))
        assert refusal(sqlite_stocked, layout) == "too-deep"
        ((name, *tags),) = loaded(sqlite_stocked, layout, limits=Limits(depth=25))
        assert (name, len(tags)) == ("arm", 49)

    def test_docker_s_types_do_too(self, sqlite_stocked):
        layout = Layout()
        tar = bytes(1024)
        layer = layout.blob("application/vnd.docker.image.rootfs.diff.tar.gzip", gzip.compress(tar))
        data = make_config("docker", layers=[str(Digest.from_bytes(tar))])
        config = layout.blob("application/vnd.docker.container.image.v1+json", data)
        manifest = "application/vnd.docker.distribution.manifest.v2+json"
        document = {"schemaVersion": 2, "mediaType": manifest, "config": config, "layers": [layer]}
        index = "application/vnd.docker.distribution.manifest.list.v2+json"
        entry = {"schemaVersion": 2, "mediaType": index, "manifests": [layout.blob(manifest, document)]}
        layout.add(layout.blob(index, entry))
        assert loaded(sqlite_stocked, layout) == [("docker",)]


class TestFiles:
    def test_every_algorithm_of_ours_verifies(self, sqlite_stocked):
        layout = Layout()
        layer = gzip.compress(bytes(1024), mtime=0)
        diff_id = str(Digest.from_bytes(bytes(1024)))
        for algorithm in ("sha256", "sha384", "sha512"):
            config = {"comment": algorithm, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
            document = {
                "schemaVersion": 2,
                "config": layout.blob(CONFIG, config, algorithm=algorithm),
                "layers": [layout.blob(LAYER, layer, algorithm=algorithm)],
            }
            layout.add(layout.blob(MANIFEST, document, algorithm=algorithm))
        tar = layout.tar()
        for source in SOURCES:
            found = load(sqlite_stocked, source(tar))
            assert [sqlite_stocked.get(each.id).comment for each in found] == ["sha256", "sha384", "sha512"]

    def test_names_may_begin_with_a_dot_and_of_two_the_later_counts(self, sqlite_stocked):
        layout = Layout()
        layout.add(layout.image(**named("app:1")))
        files = layout.all_files()
        wrong = [(name, b"wrong") for name in files]
        odd = [("blobs/sha256/" + "x" * 200, b"odd"), ("blobs/md5/../../../y", b"odd"), ("blobs/\udcff", b"odd")]
        right = [(f"./{name}", data) for name, data in reversed(files.items())]
        for source in SOURCES:
            (found,) = load(sqlite_stocked, source(tar([*wrong, *odd, *right])))
            assert [tag.familiar for tag in found.tags] == ["app:1"]

    def test_a_folder_is_a_layout_and_a_layout_below_one_is_not_searched(self, sqlite_stocked, tmp_path):
        layout = Layout()
        layout.add(layout.image(**named("app:1")))
        layout.write(tmp_path / "below" / "layout")
        (found,) = load(sqlite_stocked, tmp_path / "below" / "layout")
        assert sqlite_stocked.get(found.id).comment == "image"
        with pytest.raises(InvalidArchiveError):
            load(sqlite_stocked, tmp_path / "below")

    def test_manifest_json_decides(self, sqlite_stocked):
        layout = Layout()
        layout.add(layout.image(**named("app:1")))
        layout.files["manifest.json"] = b"[]"
        assert loaded(sqlite_stocked, layout) == []

    def test_data_in_a_descriptor_may_repeat_the_blob(self, sqlite_stocked):
        layout = Layout()
        entry = layout.image()
        layout.add({**entry, "data": base64.b64encode(layout.files[path(entry)]).decode()})
        assert loaded(sqlite_stocked, layout) == [("image",)]


class TestOrder:
    @pytest.fixture
    def layout(self):
        layout = Layout()
        return layout.add(
            layout.image("1", layers=("one",), **named("a:1")), layout.image("2", layers=("two",), **named("b:1"))
        )

    @pytest.mark.parametrize("source", SOURCES)
    def test_documents_are_checked_before_the_first_layer(self, sqlite_stocked, layout, source):
        layout.remove(layout.index["manifests"][1])
        with pytest.raises(InvalidArchiveError):
            load(sqlite_stocked, source(layout.tar()))
        assert len(sqlite_stocked) == 0
        assert sqlite_stocked.layers.map() == {}

    @pytest.mark.parametrize("source", SOURCES)
    def test_an_image_before_one_with_a_bad_layer_stays(self, stocked, layout, source):
        name = next(name for name, data in layout.files.items() if data.startswith(b"two\0"))
        layout.files[name] = layout.files[name].replace(b"xx", b"xy")
        with pytest.raises(InvalidArchiveError, match="digest") as caught:
            load(stocked, source(layout.tar()))
        assert caught.value.reason == "digest-mismatch"
        assert [image.comment for image in stocked.map().values()] == ["1"]
        stocked.collect()
        assert len(list(stocked.content.names())) == 1
        assert list(verify(stocked, content=True)) == []

    @pytest.mark.parametrize("source", SOURCES)
    def test_a_layer_that_is_there_is_not_read(self, sqlite_stocked, layout, source):
        load(sqlite_stocked, source(layout.tar()))
        before = sorted(sqlite_stocked.content.names())
        name = next(name for name, data in layout.files.items() if data.startswith(b"two\0"))
        layout.files[name] = bytes(len(layout.files[name]))
        assert len(load(sqlite_stocked, source(layout.tar()))) == 2
        assert sorted(sqlite_stocked.content.names()) == before


def test_entries_of_an_index_may_be_many(sqlite_stocked):
    layout = Layout()
    entry = layout.image("arm", config={"architecture": "arm64"})
    layout.add(layout.nested(*[{**ABSENT, **on("linux/s390x")}] * 10_000, entry))
    assert loaded(sqlite_stocked, layout, platform="linux/arm64") == [("arm",)]


@pytest.mark.parametrize("source", SOURCES)
def test_a_file_that_two_digests_name_is_verified_by_both(sqlite_stocked, source):
    made = Layout()
    large = make_layer(size=100_000)
    good, other = (
        made.image(name, layers=layers, pack=lambda data: gzip.compress(data, mtime=0), **named(f"{name}:1"))
        for name, layers in {"good": [large], "other": [make_layer("below"), large]}.items()
    )
    manifest = json.loads(made.files[path(other)])
    below, layer = manifest["layers"]
    wrong = {**layer, "digest": f"sha256:{'0' * 64}"}
    made.files[path(wrong)] = link(layer["digest"].removeprefix("sha256:"))
    made.add(good, made.manifest(manifest["config"], [below, wrong], **named("other:1")))
    with pytest.raises(InvalidArchiveError) as caught:
        load(sqlite_stocked, source(made.tar()))
    assert caught.value.reason == "digest-mismatch"
    assert len(sqlite_stocked) == 1
