"""from_json.json, chain_id.json, child_image.json and v1.json: what Go's values answer, ours answer.

Another answer that a newer Go gives (``alt``) is right too. Where Go panics, an error is raised here.
"""

from __future__ import annotations

import json

import pytest

from imagestore import image as image_module
from imagestore import v1
from imagestore.container import CONFIG
from imagestore.digest import DiffID, ImageID, chain_id
from imagestore.errors import InvalidDigestError, InvalidError, InvalidImageError, InvalidTimeError
from imagestore.gojson import TEXT, GoTime, Slice, decode, encode
from imagestore.image import DOCKER_VERSION, HISTORY, ROOT_FS, V1_IMAGE, ChildConfig, Image, RootFS
from tests.golden.vectors import as_bytes, as_text, cases, differences

FROM_JSON = {case["name"]: case for case in cases("from_json.json")}
CHAIN_ID = {case["name"]: case for case in cases("chain_id.json")}
CHILD_IMAGE = {case["name"]: case for case in cases("child_image.json")}
V1 = {case["name"]: case for case in cases("v1.json")}

STARTED = GoTime.now()
NO_ROOTFS = "invalid image JSON, no RootFS key"


@pytest.fixture(autouse=True)
def _host_of_the_vectors(monkeypatch):
    monkeypatch.setattr(image_module, "_goos", lambda: "linux")
    monkeypatch.setattr(image_module, "_goarch", lambda: "amd64")


@pytest.mark.parametrize("name", FROM_JSON)
def test_from_json(name):
    case = FROM_JSON[name]
    answer = from_json(as_bytes(case["input"]))
    expected = [answer_of(case), *(answer_of({**case, **alternative}) for alternative in case.get("alt", ()))]
    assert answer in expected


def from_json(data):
    try:
        image = Image.from_json(data)
    except InvalidImageError as error:
        return {"error": NO_ROOTFS if str(error) == NO_ROOTFS else True}
    assert image.raw_json == data
    try:
        marshal = image.to_json()
    except InvalidTimeError:
        return {"marshal_error": True}
    return {
        "id": image.image_id,
        "chain_id": image.chain_id,
        "operating_system": image.operating_system,
        "base_img_arch": image.base_img_arch,
        "base_img_variant": image.base_img_variant,
        "fields": fields_of(image),
        "marshal": marshal,
    }


def answer_of(case):
    """What a case expects, in the form of `from_json`; the words of a JSON error are not Go's."""
    if "error" in case:
        return {"error": NO_ROOTFS if case["error"] == NO_ROOTFS else True}
    if "marshal_error" in case:
        return {"marshal_error": True}
    keys = ("id", "chain_id", "operating_system", "base_img_arch", "base_img_variant")
    told_apart = {
        "history_is_nil",
        "computed_id",
    }  # nil and empty are one here; a Go image has no ID before it is stored
    fields = {key: value for key, value in case["fields"].items() if key not in told_apart}
    fields |= {key: fields[key] or [] for key in ("diff_ids", "os_features", "history")}
    return {**{key: case[key] for key in keys}, "fields": fields, "marshal": as_bytes(case["marshal"])}


def fields_of(image):
    same = ("architecture", "author", "comment", "container", "docker_version", "os", "os_version", "size", "variant")
    return {
        **{name: getattr(image, name) for name in same},
        "config_is_nil": image.config is None,
        "created": str(image.created),
        "diff_ids": list(image.rootfs.diff_ids),
        "history": [
            {
                "author": step.author,
                "comment": step.comment,
                "created": str(step.created),
                "created_by": step.created_by,
                "empty_layer": step.empty_layer,
            }
            for step in image.history
        ],
        "history_count": len(image.history),
        "os_features": list(image.os_features),
        "parent": image.parent or "",
        "rootfs_type": image.rootfs.type,
        "v1_id": image.v1_id,
        "v1_parent": "",  # `Image.parent` is the only one here
    }


@pytest.mark.parametrize("name", CHAIN_ID)
def test_chain_id(name):
    case = CHAIN_ID[name]
    diff_ids = tuple(DiffID(as_text(diff_id)) for diff_id in case["diff_ids"] or ())
    assert len(diff_ids) == case["count"]
    assert chain_id(diff_ids) == case["chain_id"]
    assert RootFS(diff_ids=diff_ids).chain_id == case["chain_id"]


@pytest.mark.parametrize("name", CHILD_IMAGE)
def test_child_image(name):
    case = CHILD_IMAGE[name]
    for stated in parents_of(case):
        data = json.dumps(stated).encode()
        parent = Image.stored(data, ImageID.from_bytes(data), None)
        if "panic" in case:
            with pytest.raises((InvalidError, TypeError)):
                new_child(parent, case)
            continue
        child = before = new_child(parent, case)
        agree(child, case)
        for sibling_case, answer in zip(case.get("sibling_inputs", ()), case.get("siblings", ()), strict=True):
            before = new_child(before if case["siblings_are_chained"] else parent, sibling_case)
            agree(before, answer)
            agree(child, case)


def parents_of(case):
    """The parent that a case states, or else those that its child can have had, with all that a child does not take over.

    In the vectors the child's own ``parent``, which is empty, has taken the place of the input.
    """
    if case["parent"]:
        return [json.loads(case["parent"])]
    child = json.loads(case["marshal"])
    rootfs = child["rootfs"]
    if not child["history"][-1].get("empty_layer"):
        rootfs = {**rootfs, "diff_ids": rootfs["diff_ids"][:-1]}
    taken_over = {key: child[key] for key in ("architecture", "variant", "os.version", "os.features") if key in child}
    parent = {**NOT_TAKEN_OVER, **taken_over, "history": child["history"][:-1], "rootfs": rootfs}
    parents = [parent]
    if child["architecture"] == "amd64":
        parents.append({**parent, "architecture": ""})
    if rootfs["type"] == "layers" and not rootfs.get("diff_ids"):
        parents += [{**parent, "rootfs": None}, {key: value for key, value in parent.items() if key != "rootfs"}]
    return parents


NOT_TAKEN_OVER = {
    "id": "v1id",
    "parent": "sha256:d53315bea08cec50d2591fcaf3b32dc5d289cdc6c16b7e8bed8c8e3f7ceaa34e",
    "created": "2020-10-01T00:00:00Z",
    "author": "parent author",
    "comment": "parent comment",
    "container": "pc",
    "docker_version": "1.2.3",
    "os": "plan9",
    "Size": 99,
    "config": {"Env": ["P=1"], "Labels": {"p": "1"}},
    "container_config": {"Cmd": ["parent", "cmd"]},
}


def new_child(parent, case):
    container_config, config = (
        case[key] and decode(CONFIG, as_bytes(case[key])) for key in ("container_config", "config")
    )
    child = ChildConfig(
        container_id=as_text(case["container_id"]),
        author=as_text(case["author"]),
        comment=as_text(case["comment"]),
        diff_id=as_text(case["diff_id"]),
        container_config=container_config,
        config=config,
    )
    return parent.new_child(child, case["os"])


def agree(child, expected):
    now = str(child.created)
    assert STARTED <= child.created <= GoTime.now()
    assert child.history[-1].created == child.created
    written = as_text(expected["marshal"]).replace("<NOW>", now).replace("<VERSION>", DOCKER_VERSION)
    assert child.to_json() == written.encode("utf-8", "surrogateescape")
    assert (child.chain_id, len(child.history)) == (expected["chain_id"], expected["history_count"])
    assert (child.image_id, not child.raw_json) == (expected["id"], expected["raw_json_is_nil"])
    assert (child.parent or "") == expected.get("parent", "")


@pytest.mark.parametrize("name", V1)
def test_v1(name):
    case = V1[name]
    if name in differences():
        NOT_AS_GO[name]()
        return
    result = case["result"]
    expected = [form(result), *(form({**result, **alternative}) for alternative in case.get("alt", ()))]
    try:
        answer = V1_FUNCTIONS[case["func"]](case)
    except (InvalidImageError, InvalidDigestError):
        answer = {"error": True}
    assert answer in expected


def form(result):
    if "error" in result:
        return {"error": True}
    return {key: as_bytes(result[key]) for key in ("digest", "hashed_json", "marshal", "ok") if key in result}


def create_id(case):
    image = decode(V1_IMAGE, as_bytes(case["image"]))
    layer_id, parent = as_text(case["layer_id"]), as_text(case["parent"])
    return {
        "digest": v1.create_id(image, layer_id, parent).encode(),
        "hashed_json": v1.id_json(image, layer_id, parent),
    }


def history_from_config(case):
    history = v1.history_from_config(as_bytes(case["image"]), case["empty_layer"])
    return {"marshal": encode(HISTORY, history)}


def make_config(case):
    rootfs = decode(ROOT_FS, as_bytes(case["rootfs"])) if json.loads(case["rootfs"]) is not None else None
    history = decode(Slice(HISTORY), as_bytes(case["history"]))
    return {"marshal": v1.make_config_from_v1_config(as_bytes(case["image"]), rootfs, history)}


def make_v1_config(case):
    data = as_bytes(case["image"])
    image = Image.stored(data, ImageID.from_bytes(data), None)
    return {
        "marshal": v1.make_v1_config_from_config(image, case["v1_id"], case["parent_v1_id"], case["throwaway"]),
    }


def validate_id(case):
    v1.validate_id(as_text(case["value"]))
    return {"ok": True}


def raw_json(case):
    if case["kind"] == "RootFS":
        return {"marshal": encode(ROOT_FS, decode(ROOT_FS, as_bytes(case["value"])))}
    return {"marshal": encode(TEXT, as_text(case["value"]))}


V1_FUNCTIONS = {
    "CreateID": create_id,
    "HistoryFromConfig": history_from_config,
    "MakeConfigFromV1Config": make_config,
    "MakeV1ConfigFromConfig": make_v1_config,
    "ValidateID": validate_id,
    "rawJSON": raw_json,
}


def raw_json_of_a_function():
    with pytest.raises(TypeError):
        encode(TEXT, raw_json_of_a_function)


NOT_AS_GO = {"raw_json/func ''": raw_json_of_a_function}
