from __future__ import annotations

import pytest

from imagestore import v1
from imagestore.digest import Digest, ImageID
from imagestore.errors import InvalidDigestError, InvalidImageError
from imagestore.image import History, Image, RootFS, V1Image

KEPT = b'{"history":[],"rootfs":{"type":"layers"},"unknown":1}'


@pytest.mark.parametrize(
    ("version", "keeps_unknown_keys"),
    [
        ("1.8.3", True),
        ("1.8.2", False),
        ("1.8.2.9", False),
        ("1.9", True),
        ("2", True),
        ("", False),
        ("x.9", False),
        ("1.8.3-rc1", False),
        ("1.8.99999999999999999999", True),
        ("1.-99999999999999999999", False),
        ("1.18446744073709551616x", True),
        ("1.18446744073709551615x", False),
        ("1." + "0" * 5000 + "9", True),
        ("1." + "9" * 5000, True),
        ("1.+9", True),
        ("1.９", False),
    ],
)
def test_versions_compare_as_in_go(version, keeps_unknown_keys):
    data = f'{{"docker_version":"{version}","unknown":1}}'.encode()
    made = v1.make_config_from_v1_config(data, RootFS(), [])
    assert (b'"unknown":1' in made) == keeps_unknown_keys


def test_what_v1_alone_has_is_dropped():
    data = b'{"docker_version":"20.10","id":"a","parent":"b","Size":1,"parent_id":"c","layer_id":"d","throwaway":true,"unknown":1}'
    made = v1.make_config_from_v1_config(data, RootFS(), [])
    assert made == KEPT.replace(b'"history"', b'"docker_version":"20.10","history"')


def test_nothing_is_null():
    assert v1.make_config_from_v1_config(b'{"docker_version":"2"}', None, None) == (
        b'{"docker_version":"2","history":null,"rootfs":null}'
    )


def test_an_id_does_not_depend_on_the_images_own():
    ids = {v1.create_id(V1Image(id=own, author="a"), "layer", "parent") for own in ("", "x")}
    assert len(ids) == 1
    assert type(ids.pop()) is Digest
    assert v1.create_id(V1Image(parent="parent"), "layer") == v1.create_id(V1Image(), "layer", "parent")


def test_a_step_of_history():
    data = b'{"author":"a","comment":"c","created":"2020-01-02T03:04:05Z","container_config":{"Cmd":["x","y"]}}'
    step = v1.history_from_config(data, True)
    assert step == History(created=step.created, author="a", comment="c", created_by="x y", empty_layer=True)
    assert str(step.created) == "2020-01-02T03:04:05Z"


@pytest.mark.parametrize(
    "call",
    [lambda data: v1.history_from_config(data, False), lambda data: v1.make_config_from_v1_config(data, RootFS(), [])],
)
@pytest.mark.parametrize("data", [b"", b"[]", b'{"created":"x"}', b'{"docker_version":1}', b'{"author":"\n"}'])
def test_what_is_no_configuration_is_refused(call, data):
    with pytest.raises(InvalidImageError):
        call(data)


def test_a_v1_configuration_of_an_image():
    data = b'{"Size": 1, "rootfs": {}, "history": [], "os.version": "1", "os.features": [], "parent": "p", "x": "<"}'
    image = Image.stored(data, ImageID.from_bytes(data), None)
    assert v1.make_v1_config_from_config(image, "a") == b'{"Size":1,"id":"a","parent":"p","x":"\\u003c"}'
    assert v1.make_v1_config_from_config(image, "a", "b", throwaway=True) == (
        b'{"Size":1,"id":"a","parent":"b","throwaway":true,"x":"\\u003c"}'
    )


@pytest.mark.parametrize("image_id", ["", "a" * 63, "A" * 64, "a" * 64 + "\n", "sha256:" + "a" * 64])
def test_what_is_no_v1_id(image_id):
    with pytest.raises(InvalidDigestError, match="64 lower-case hexadecimal digits"):
        v1.validate_id(image_id)
    v1.validate_id("a" * 64)
