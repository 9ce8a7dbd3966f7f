from __future__ import annotations

import copy
import hashlib
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from imagestore.container import Config, HealthConfig
from imagestore.digest import DiffID, ImageID
from imagestore.errors import InvalidImageError
from imagestore.gojson import GoTime
from imagestore.image import DOCKER_VERSION, TYPE_LAYERS, ChildConfig, History, Image, RootFS, V1Image, _goarch, _goos

LAYER = "sha256:" + "1" * 64
EMPTY_LAYER = "sha256:" + hashlib.sha256(bytes(1024)).hexdigest()
DATA = (
    b'{"architecture":"arm64","created":"2020-01-02T03:04:05.6Z","os":"linux","parent":"p","rootfs":{"type":"layers"}}'
)
NOT_FAST = DATA.replace(b'"parent"', b'"Parent"')
ID = ImageID.from_bytes(DATA)
OTHER_ID = ImageID("sha256:" + "a" * 64)


@pytest.mark.parametrize("data", [DATA, NOT_FAST])
def test_an_image_from_json_keeps_its_bytes_and_states_its_parent(data):
    image = Image.from_json(data)
    assert image.raw_json is data
    assert image.image_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert isinstance(image.image_id, ImageID)
    assert isinstance(image.parent, ImageID)
    assert (image.parent, image.v1_id, image.architecture, str(image.created)) == (
        "p",
        "",
        "arm64",
        "2020-01-02T03:04:05.6Z",
    )
    assert image.to_json() == Image.from_json(DATA).to_json()


def test_without_a_stated_parent_there_is_none():
    assert Image.from_json(b'{"rootfs":{}}').parent is None
    assert Image.from_json(b'{"rootfs":{},"parent":null}').parent is None


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_may_be_in_any_buffer(kind):
    image = Image.from_json(kind(DATA))
    assert type(image.raw_json) is bytes
    assert image == Image.from_json(DATA)


@pytest.mark.parametrize("data", ["{}", 5, None])
def test_what_is_no_bytes_is_refused(data):
    with pytest.raises(TypeError, match="a configuration is bytes, not "):
        Image.from_json(data)


@pytest.mark.parametrize("data", [DATA, NOT_FAST])
@pytest.mark.parametrize("parent", [None, OTHER_ID])
def test_the_parent_of_a_stored_image_is_what_the_store_says(data, parent):
    image = Image.stored(data, ID, parent)
    assert image.os == "linux"
    assert image.parent is parent
    assert (b'"parent"' in image.to_json()) == (parent is not None)


def test_a_stored_image_is_parsed_when_touched():
    image = Image.stored(b"no JSON", ID, OTHER_ID)
    assert (image.raw_json, image.image_id, image.parent) == (b"no JSON", ID, OTHER_ID)
    assert repr(image) == f"<Image {ID}>"
    for touch in (lambda: image.os, lambda: image.chain_id, image.check_history, image.to_json):
        with pytest.raises(InvalidImageError):
            touch()


def test_a_stored_image_may_have_no_rootfs():
    image = Image.stored(b'{"os":"linux"}', ID, None)
    assert (image.rootfs, image.chain_id, image.history) == (None, "", ())


def test_many_threads_may_touch_at_once():
    images = [Image.stored(data, ID, None) for data in (DATA, NOT_FAST) for _ in range(50)]
    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(lambda image: (image.os, image.rootfs, image.history), images * 8))
    assert set(seen) == {("linux", RootFS(), ())}


def test_an_image_is_a_value():
    image = Image.from_json(DATA)
    same = Image.stored(DATA, ID, ImageID.trusted("p"))
    assert image == same
    assert hash(image) == hash(same)
    assert image != Image.stored(DATA, ID, None)
    assert image != Image.from_json(NOT_FAST)
    assert image != DATA
    for copied in (pickle.loads(pickle.dumps(image)), copy.copy(image), copy.deepcopy(image)):
        assert copied == image
        assert copied.architecture == "arm64"


@pytest.mark.parametrize("name", ["raw_json", "image_id", "parent", "os", "nonsense"])
def test_an_image_cannot_be_changed(name):
    image = Image.from_json(DATA)
    with pytest.raises(AttributeError, match=f"cannot set '{name}'"):
        setattr(image, name, "x")
    with pytest.raises(AttributeError, match=f"cannot delete '{name}'"):
        delattr(image, name)


def test_images_are_not_made_by_hand():
    with pytest.raises(TypeError, match="from_json"):
        Image()


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError):
        Image.from_json(DATA).nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_architecture_and_system_default_to_the_hosts():
    image = Image.from_json(b'{"rootfs":{}}')
    assert (image.base_img_arch, image.base_img_variant, image.operating_system) == (_goarch(), "", _goos())
    stated = Image.from_json(b'{"rootfs":{},"architecture":"arm","variant":"v7","os":"windows"}')
    assert (stated.base_img_arch, stated.base_img_variant, stated.operating_system) == ("arm", "v7", "windows")


@pytest.mark.parametrize(
    ("machine", "goarch"),
    [
        ("x86_64", "amd64"),
        ("AMD64", "amd64"),
        ("aarch64", "arm64"),
        ("arm64", "arm64"),
        ("armv7l", "arm"),
        ("i686", "386"),
        ("ppc64le", "ppc64le"),
        ("s390x", "s390x"),
        ("riscv64", "riscv64"),
    ],
)
def test_machines_have_gos_names(monkeypatch, machine, goarch):
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert _goarch.__wrapped__() == goarch


@pytest.mark.parametrize(("platform", "goos"), [("linux", "linux"), ("darwin", "darwin"), ("win32", "windows")])
def test_systems_have_gos_names(monkeypatch, platform, goos):
    monkeypatch.setattr("sys.platform", platform)
    assert _goos.__wrapped__() == goos


@pytest.mark.parametrize("spelled", [b'"history"', b'"History"'])
@pytest.mark.parametrize(
    ("layers", "history", "fits"),
    [
        (0, "", True),
        (0, '{"empty_layer":true}', True),
        (0, "{}", False),
        (0, '{"empty_layer":false}', False),
        (1, '{},{"empty_layer":true}', True),
        (1, "{},{}", False),
        (2, "{}", True),
    ],
)
def test_check_history(spelled, layers, history, fits):
    diff_ids = ",".join(['"x"'] * layers)
    data = f'{{"rootfs":{{"diff_ids":[{diff_ids}]}},"history":[{history}]}}'.encode().replace(b'"history"', spelled)
    for image in (Image.from_json(data), Image.stored(data, ImageID.from_bytes(data), None)):
        if fits:
            image.check_history()
        else:
            with pytest.raises(InvalidImageError, match=r"^too many non-empty layers in History section$"):
                image.check_history()


def test_rootfs_is_a_value():
    empty = RootFS()
    one = empty.append(LAYER)
    assert (empty.type, empty.diff_ids, empty.chain_id) == (TYPE_LAYERS, (), "")
    assert one == RootFS("layers", (DiffID(LAYER),))
    assert one.chain_id == LAYER
    assert one.append("x").chain_id == "sha256:" + hashlib.sha256(f"{LAYER} x".encode()).hexdigest()
    assert one.clone() == one
    assert len({one, one.clone(), empty}) == 2


def test_history_new_is_now():
    before = GoTime.now()
    step = History.new("author", "comment", "created by", True)
    assert before <= step.created <= GoTime.now()
    assert step == History(
        created=step.created, author="author", comment="comment", created_by="created by", empty_layer=True
    )


def test_a_new_child():
    parent = Image.from_json(
        b'{"architecture":"arm","author":"me","comment":"c","config":{"Env":["A=1"]},"container":"x","id":"v1","os":"linux",'
        b'"os.features":["f"],"os.version":"1","Size":7,"variant":"v7","history":[{"comment":"base"}],"rootfs":{"type":"layers"}}'
    )
    config = Config(env=("B=2",), labels={"a": "b"}, healthcheck=HealthConfig(retries=3))
    child = parent.new_child(
        ChildConfig(
            container_id="cid",
            author="you",
            comment="said",
            diff_id=LAYER,
            container_config=Config(cmd=("/bin/sh", "-c", "x && y")),
            config=config,
        ),
        "windows",
    )
    assert (child.raw_json, child.image_id, child.parent, child.v1_id, child.comment, child.size) == (
        b"",
        "",
        None,
        "",
        "",
        0,
    )
    assert (child.architecture, child.variant, child.os) == ("arm", "v7", "windows")
    assert (child.os_version, child.os_features) == ("1", ("f",))
    assert (child.author, child.container, child.docker_version) == ("you", "cid", DOCKER_VERSION)
    assert child.run_config == child.config == config
    assert child.rootfs.diff_ids == (LAYER,)
    assert child.history == (
        History(comment="base"),
        History(created=child.created, author="you", comment="said", created_by="/bin/sh -c x && y"),
    )
    stored = Image.from_json(child.to_json())
    assert stored.to_json() == child.to_json()
    assert (stored.config, stored.created) == (config, child.created)


def test_an_empty_layer_is_the_exact_digest_of_an_empty_tar():
    parent = Image.from_json(DATA)
    child = parent.new_child(ChildConfig(diff_id=EMPTY_LAYER), "linux", docker_version="29.0")
    assert (child.rootfs, child.history[-1].empty_layer, child.docker_version) == (RootFS(), True, "29.0")
    other = parent.new_child(ChildConfig(diff_id=EMPTY_LAYER.upper()), "linux")
    assert (len(other.rootfs.diff_ids), other.history[-1].empty_layer) == (1, False)


def test_children_are_values_too():
    parent = Image.from_json(DATA)
    child = parent.new_child(ChildConfig(diff_id=LAYER), "linux")
    assert child == child  # noqa: PLR0124
    assert child != parent.new_child(ChildConfig(diff_id=LAYER, author="x"), "linux")
    with pytest.raises(TypeError, match="store it"):
        pickle.dumps(child)


def test_a_child_needs_a_container_config():
    with pytest.raises(TypeError, match="use Config"):
        ChildConfig(container_config=None)  # type: ignore[arg-type]


def test_labels_cannot_be_changed_by_whoever_gave_them():
    labels = {"a": "1"}
    config = Config(labels=labels)
    labels["a"] = "2"
    assert config.labels == {"a": "1"}
    with pytest.raises(TypeError):
        config.labels["a"] = "2"  # type: ignore[index]


@pytest.mark.parametrize("value", [Config(), HealthConfig(), History(), RootFS(), V1Image(), ChildConfig()])
def test_values_are_frozen_and_hashable(value):
    assert hash(value) == hash(copy.copy(value))
    with pytest.raises(AttributeError):
        setattr(value, value.__struct_fields__[0], "x")
