"""Refusals of archives with a huge text in one place each: a message shows its beginning."""

from __future__ import annotations

import io
import json

import pytest

from imagestore.archive.loading import load
from imagestore.errors import ImageStoreError
from imagestore.testing.makers import make_config, make_layer
from tests.archives.built import tar
from tests.archives.conftest import Pipe
from tests.archives.headers import block, records
from tests.archives.layouts import CONFIG, LAYER, Layout, named

LONG = "x" * 1_000_000
ODD = "\U000e0001" * 10_000  # which Go shows in ten letters each
DIGITS = "7" * 1_000_000


def docker(config=None, **members):
    """An archive of docker's with a layer that is none of a configuration."""
    item = {"Config": "c", "RepoTags": ["app:1"], "Layers": ["l"], **members}
    files = {"manifest.json": json.dumps([item]).encode(), "c": config or make_config(), "l": make_layer()}
    return tar(files)


def number(place):
    """A configuration with a huge number where a struct's field wants another type or fewer digits."""
    return json.dumps(json.loads(make_config()) | place).replace('"digits"', DIGITS).encode()


def legacy(document=b"{}", repositories=b"{}"):
    return tar([("a/json", document), ("a/layer.tar", make_layer()), ("repositories", repositories)])


def oci(config=None, layer_types=(LAYER,), **entry):
    made = Layout()
    layers = [made.blob(media_type, make_layer()) for media_type in layer_types]
    manifest = made.manifest(made.blob(CONFIG, config or make_config()), layers)
    return made.add({**manifest, **entry}).tar()


def oci_config(**members):
    made = Layout()
    return made.add(made.image(config=members)).tar()


def oci_files(**files):
    return tar({**Layout().add().all_files(), **files})


ARCHIVES = {
    "manifest/Config": docker(Config=LONG),
    "manifest/Config with folders": docker(Config="x/" * 100_000),
    "manifest/Config with dots": docker(Config="../" * 100_000),
    "manifest/a layer": docker(make_config(layers=1), Layers=[LONG]),
    "manifest/a tag": docker(make_config(layers=[]), Layers=[], RepoTags=[LONG]),
    "manifest/an odd tag": docker(make_config(layers=[]), Layers=[], RepoTags=[ODD]),
    "manifest/a tag without a tag": docker(make_config(layers=[]), Layers=[], RepoTags=["a/" * 100 + LONG]),
    "manifest/a number": tar([("manifest.json", b'[{"Config":%b}]' % DIGITS.encode())]),
    "manifest/a key": tar([("manifest.json", b'[{"%b":1}' % LONG.encode())]),
    "configuration/a diff ID": docker(make_config(layers=[LONG])),
    "configuration/an odd diff ID": docker(make_config(layers=[ODD])),
    "configuration/os": docker(make_config(layers=[], os=LONG)),
    "configuration/an odd os": docker(make_config(layers=[], os=ODD)),
    "configuration/created": docker(make_config(created=LONG)),
    "configuration/Size": docker(number({"Size": "digits"})),
    "configuration/Env": docker(number({"config": {"Env": "digits"}})),
    "configuration/Interval": docker(number({"config": {"Healthcheck": {"Interval": "digits"}}})),
    "legacy/os": legacy(json.dumps({"os": LONG}).encode()),
    "legacy/parent": legacy(json.dumps({"parent": LONG}).encode()),
    "legacy/parents": legacy(json.dumps({"parent": "y" * 200_000}).encode()),
    "legacy/created": legacy(json.dumps({"created": LONG}).encode()),
    "legacy/Size": legacy(b'{"Size":%b}' % DIGITS.encode()),
    "legacy/an ID": legacy(repositories=json.dumps({"app": {"1": LONG}}).encode()),
    "legacy/a name": legacy(repositories=json.dumps({LONG: {"1": "a"}}).encode()),
    "legacy/a tag": legacy(repositories=json.dumps({"app": {LONG: "a"}}).encode()),
    "oci/version": oci_files(**{"oci-layout": json.dumps({"imageLayoutVersion": LONG}).encode()}),
    "oci/media type of index.json": oci_files(
        **{"index.json": json.dumps({"schemaVersion": 2, "mediaType": LONG, "manifests": []}).encode()}
    ),
    "oci/schemaVersion": oci_files(**{"index.json": b'{"schemaVersion":%b,"manifests":[]}' % DIGITS.encode()}),
    "oci/media type": oci(mediaType=LONG),
    "oci/media types": Layout().add(*({"mediaType": f"{n}{ODD}"} for n in range(5))).tar(),
    "oci/digest": oci(digest=LONG),
    "oci/an odd digest": oci(digest=ODD),
    "oci/an algorithm": oci(digest=f"{LONG}:00"),
    "oci/data": oci(data=LONG),
    "oci/name": oci(annotations=named(LONG + ":")["annotations"]),
    "oci/layer type": oci(make_config(layers=2), (LAYER, LONG)),
    "oci/os": oci_config(os=LONG),
    "oci/diff ID": oci(make_config(layers=[LONG], os="linux", architecture="amd64")),
    "oci/Size": oci(number({"Size": "digits"})),
    "tar/a name": tar([(LONG, b"")]),
    "tar/a path": tar([("x", b""), ("x/" * 2000 + "y", b"")]),
    "tar/a target": records(path=b"l", linkpath=b"t/" * 2000) + block(kind=b"1"),
    "tar/a target and a path": records(path=b"p/" * 2000 + b"p", linkpath=b"t/" * 2000) + block(kind=b"1"),
}


@pytest.mark.parametrize("source", [io.BytesIO, Pipe])
@pytest.mark.parametrize("name", ARCHIVES)
def test_a_message_is_short(sqlite_stocked, name, source):
    with pytest.raises(ImageStoreError) as caught:
        load(sqlite_stocked, source(ARCHIVES[name]))
    assert len(str(caught.value)) < 2000
