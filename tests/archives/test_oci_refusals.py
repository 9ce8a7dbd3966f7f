"""OCI image layouts that are spoilt in one place: each is refused for its reason, from a file, a pipe and a folder, and leaves nothing."""

from __future__ import annotations

import base64
import gzip
import io
import json
from typing import Any

import pytest

from imagestore.archive.loading import load
from imagestore.digest import Digest
from imagestore.errors import InvalidArchiveError, InvalidLayerError
from imagestore.testing.makers import make_config, make_layer
from tests.archives.conftest import Pipe
from tests.archives.layouts import CONFIG, INDEX, LAYER, MANIFEST, Layout, path

SOURCES: dict[str, Any] = {
    "file": lambda layout, folder: io.BytesIO(layout.tar()),
    "pipe": lambda layout, folder: Pipe(layout.tar(), 700),
    "folder": lambda layout, folder: layout.write(folder),
}
DIGITS = "0" * 64


@pytest.fixture(params=SOURCES)
def refusal(request, sqlite_stocked, tmp_path):
    """Why a layout is refused."""

    def refusal(layout):
        with pytest.raises((InvalidArchiveError, InvalidLayerError)) as caught:
            load(sqlite_stocked, SOURCES[request.param](layout, tmp_path / "layout"))
        assert len(sqlite_stocked) == 0
        sqlite_stocked.collect()
        assert list(sqlite_stocked.content.names()) == []
        return caught.value.reason if isinstance(caught.value, InvalidArchiveError) else "corrupt-layer"

    return refusal


def sound():
    made = Layout()
    return made.add(made.image())


def with_manifest(**members):
    """A layout whose manifest has other members; those that are None are left out."""
    made = sound()
    document = {**json.loads(made.files[path(made.index["manifests"][0])]), **members}
    made.index["manifests"] = [
        made.blob(MANIFEST, {key: value for key, value in document.items() if value is not None})
    ]
    return made


def with_config(data, layers=0):
    made = Layout()
    return made.add(
        made.manifest(made.blob(CONFIG, data), [made.blob(LAYER, make_layer(place)) for place in range(layers)])
    )


def stored(data):
    """In gzip, and as long as before."""
    return gzip.compress(data, compresslevel=0)


def with_layer(data, **members):
    """A layout with one layer of these bytes, whose descriptor has other members."""
    made = Layout()
    config = made.blob(CONFIG, make_config(layers=1))
    return made.add(made.manifest(config, [{**made.blob(LAYER, data), **members}]))


def with_entry(**members):
    made = sound()
    made.index["manifests"][0].update(members)
    return made


def with_digest(place, digest):
    made = sound()
    entry = made.index["manifests"][0]
    if place in ("manifest", "index"):
        return with_entry(digest=digest, mediaType=MANIFEST if place == "manifest" else INDEX)
    document = json.loads(made.files[path(entry)])
    (document["config"] if place == "config" else document["layers"][0])["digest"] = digest
    return with_manifest(**document)


@pytest.mark.parametrize("name", ["oci-layout", "index.json"])
def test_a_layout_has_two_files_at_its_root(refusal, name):
    class Lacking(Layout):
        def all_files(self):
            return {key: data for key, data in super().all_files().items() if key != name}

    assert refusal(Lacking()) == "no-layout"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "schema"),
        (b"1.0.0", "schema"),
        (b"[]", "schema"),
        (b'{"imageLayoutVersion":1}', "schema"),
        (b"{}", "unsupported-version"),
        (b"null", "unsupported-version"),
        (b'{"imageLayoutVersion":"2.0.0"}', "unsupported-version"),
        (b'{"imageLayoutVersion":"1.0.0"} {}', "schema"),
    ],
)
def test_the_version_is_known(refusal, data, reason):
    made = sound()
    made.files["oci-layout"] = data
    assert refusal(made) == reason


@pytest.mark.parametrize(
    "index",
    [
        [],
        None,
        "text",
        {},
        {"manifests": []},
        {"schemaVersion": 2},
        {"schemaVersion": 2, "manifests": None},
        {"schemaVersion": 2, "manifests": {}},
        {"schemaVersion": 2, "manifests": ["sha256:1"]},
        {"schemaVersion": "2", "manifests": []},
        {"schemaVersion": 2.0, "manifests": []},
        {"schemaVersion": 1, "manifests": []},
        {"schemaVersion": 2, "manifests": [], "mediaType": MANIFEST},
        {"schemaVersion": 2, "manifests": [], "mediaType": 2},
        {"schemaVersion": 2, "manifests": [], "layers": []},
        {"schemaVersion": 2, "manifests": [], "config": {}},
        {"schemaVersion": 2, "manifests": [{"annotations": {"name": 1}}]},
        {"schemaVersion": 2, "manifests": [{"platform": "linux/amd64"}]},
        {"schemaVersion": 2, "manifests": [{"size": "5"}]},
    ],
)
def test_index_json_is_an_index(refusal, index):
    made = Layout()
    made.index = index
    assert refusal(made) == "schema"


@pytest.mark.parametrize(
    "members",
    [
        {"schemaVersion": 1},
        {"schemaVersion": None},
        {"config": None},
        {"config": "sha256:1"},
        {"layers": {}},
        {"manifests": []},
        {"mediaType": INDEX},
        {"mediaType": "application/vnd.docker.distribution.manifest.v2+json"},
    ],
)
def test_a_manifest_is_one(refusal, members):
    assert refusal(with_manifest(**members)) == "schema"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\x1f\x8b\x08 no JSON"])
def test_a_document_is_json(refusal, data):
    made = Layout()
    assert refusal(made.add(made.blob(MANIFEST, data))) == "schema"
    made = Layout()
    assert refusal(made.add(made.blob(INDEX, data))) == "schema"


def test_a_nested_index_is_one(refusal):
    made = Layout()
    assert refusal(made.add(made.blob(INDEX, {"schemaVersion": 2, "manifests": [], "layers": []}))) == "schema"


@pytest.mark.parametrize(
    ("digest", "reason"),
    [
        ("", "invalid-digest"),
        (DIGITS, "invalid-digest"),
        (f"sha256:{DIGITS[1:]}", "invalid-digest"),
        (f"sha256:{DIGITS}0", "invalid-digest"),
        (f"sha256:{'A' * 64}", "invalid-digest"),
        (f"SHA256:{DIGITS}", "invalid-digest"),
        ("sha256:../../../oci-layout", "invalid-digest"),
        (f"sha256:{DIGITS}\n", "invalid-digest"),
        (f"sha256/x:{DIGITS}", "invalid-digest"),
        ("sha256:\0", "invalid-digest"),
        (f"..:{DIGITS}", "invalid-digest"),
        (f"md5:{DIGITS[:32]}", "unsupported-digest"),
        (f"blake3:{DIGITS}", "unsupported-digest"),
        (f"sha256+b64:{DIGITS}", "unsupported-digest"),
        (f"sha512:{DIGITS}", "invalid-digest"),
        (f"sha256:{DIGITS}", "missing-blob"),
    ],
)
def test_a_digest_is_checked_before_it_becomes_a_path(refusal, digest, reason):
    assert refusal(with_digest("config", digest)) == reason


@pytest.mark.parametrize("place", ["manifest", "index", "layer"])
def test_so_is_every_digest_on_the_way(refusal, place):
    assert refusal(with_digest(place, "sha256:../../oci-layout")) == "invalid-digest"


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\n\x1b[31m" * 1000, "sha256:" + "0" * 1_000_000])
def test_messages_show_the_beginning_of_what_is_long_or_odd(sqlite_stocked, text):
    made = sound()
    entry = made.index["manifests"][0]
    config = json.loads(made.files[path(entry)])["config"]
    spoilt = [
        with_entry(digest=text),
        with_manifest(config={**config, "digest": text}),
        with_manifest(mediaType=text),
        with_manifest(config={**config, "mediaType": text}),
        with_config(make_config(os=text)),
        with_entry(annotations={"io.containerd.image.name": text}),
        with_entry(
            annotations={"org.opencontainers.image.ref.name": text}, platform={"os": "linux", "architecture": text}
        ),
    ]
    for layout in spoilt:
        with pytest.raises(InvalidArchiveError) as caught:
            load(sqlite_stocked, io.BytesIO(layout.tar()), platform="linux/s390x")
        assert len(str(caught.value)) < 1000
        assert str(caught.value).isprintable()


def test_the_bytes_of_a_blob_are_those_of_its_digest(refusal):
    for place in range(3):
        made = Layout()
        made.add(made.image(layers=()))
        made.add(made.nested())
        name = [name for name in made.files if name.startswith("blobs/")][place]
        made.files[name] = made.files[name].replace(b"a", b"b")
        assert refusal(made) == "digest-mismatch"


@pytest.mark.parametrize("size", [1000, 100_000], ids=["set aside in a pipe", "read as it passes"])
@pytest.mark.parametrize(
    ("algorithm", "pack", "place", "reason"),
    [
        ("sha256", bytes, 700, "digest-mismatch"),
        ("sha256", bytes, 0, "corrupt-layer"),  # a plain layer's digest is its diff ID, which this has not
        ("sha512", bytes, 700, "digest-mismatch"),
        ("sha512", bytes, 0, "digest-mismatch"),
        ("sha256", stored, 100, "digest-mismatch"),
        ("sha256", stored, -1, "digest-mismatch"),
    ],
)
def test_a_damaged_layer_is_told_alike_wherever_it_is_read(refusal, size, algorithm, pack, place, reason):
    made = Layout()
    tar = make_layer(size=size)
    data = bytearray(pack(tar))
    layer = made.blob(LAYER, bytes(data), algorithm=algorithm)
    data[place] ^= 1
    made.files[path(layer)] = bytes(data)
    made.add(made.manifest(made.blob(CONFIG, make_config(layers=[str(Digest.from_bytes(tar))])), [layer]))
    assert refusal(made) == reason


def test_a_folder_or_a_link_to_nowhere_is_no_blob(refusal):
    made = sound()
    name = path(made.index["manifests"][0])
    made.files[f"{name}/below"] = made.files.pop(name)
    assert refusal(made) == "unsafe-path"


@pytest.mark.parametrize(
    ("data", "reason"),
    [("no base64!", "schema"), ("AAAA", "size-mismatch"), ("é", "schema"), ("A", "schema")],
)
def test_data_in_a_descriptor_does_not_contradict_it(refusal, data, reason):
    assert refusal(with_entry(data=data)) == reason


def test_data_in_a_descriptor_has_its_digest(refusal):
    made = sound()
    entry = made.index["manifests"][0]
    entry["data"] = base64.b64encode(bytes(entry["size"])).decode()
    assert refusal(made) == "digest-mismatch"


@pytest.mark.parametrize(
    ("config", "layers", "reason"),
    [
        (b"", 0, "schema"),
        (b"[]", 0, "schema"),
        (b"{}", 0, "schema"),
        (b'{"rootfs":{"diff_ids":1}}', 0, "schema"),
        (make_config(os="windows"), 0, "platform"),
        (make_config(os="freebsd"), 0, "platform"),
        (make_config(layers=1), 0, "layer-count"),
        (make_config(layers=1), 2, "layer-count"),
        (make_config(history=[{"created_by": "more than there are layers"}]), 0, "layer-count"),
        (make_config(layers=["not a digest"]), 1, "diff-id-mismatch"),
        (make_config(layers=[""]), 1, "diff-id-mismatch"),
        (make_config(layers=1), 1, "diff-id-mismatch"),
    ],
)
def test_a_configuration_is_an_images_and_its_layers_are_those_of_the_manifest(refusal, config, layers, reason):
    assert refusal(with_config(config, layers)) == reason


@pytest.mark.parametrize(
    "media_type",
    ["", "application/octet-stream", f"{LAYER}+encrypted", f"{LAYER}+gzip+encrypted", f"x{LAYER}", CONFIG, MANIFEST],
)
def test_a_layer_beside_others_has_the_type_of_one(refusal, media_type):
    made = Layout()
    layers = [made.blob(LAYER, make_layer()), made.blob(media_type, make_layer("other"))]
    made.add(made.manifest(made.blob(CONFIG, make_config(layers=2)), layers))
    assert refusal(made) == "unsupported-media-type"


NO_LAYERS = {
    "text": b"no tar" * 1000,
    "tar that breaks off": make_layer()[:515],
    "gzip that breaks off": gzip.compress(make_layer())[:-5],
    "gzip with text behind it": gzip.compress(make_layer()) + b"garbage",
    "text in gzip": gzip.compress(b"no tar" * 1000),
    "bzip2": b"BZh9 no bzip2",
    "zstd": b"\x28\xb5\x2f\xfd no zstd",
    "text of eight megabytes": b"no layer" * (1 << 20),
}


@pytest.mark.parametrize("name", NO_LAYERS)
def test_a_layer_can_be_unpacked(refusal, name):
    assert refusal(with_layer(NO_LAYERS[name])) == "corrupt-layer"


def test_urls_are_not_fetched(refusal):
    made = Layout()
    layer = made.blob(
        LAYER.replace("layer.v1", "layer.nondistributable.v1"), make_layer(), urls=["http://127.0.0.1:9/layer"]
    )
    made.add(made.manifest(made.blob(CONFIG, make_config(layers=1)), [layer]))
    made.remove(layer)
    assert refusal(made) == "missing-blob"
