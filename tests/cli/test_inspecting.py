from __future__ import annotations

import json

import pytest

from imagestore.sql import sizes
from imagestore.testing.makers import make_config, make_digest

# moby's types.ImageInspect of 20.10, without its storage driver's
KEYS = [
    "Id",
    "RepoTags",
    "RepoDigests",
    "Parent",
    "Comment",
    "Created",
    "Container",
    "ContainerConfig",
    "DockerVersion",
    "Author",
    "Config",
    "Architecture",
    "Os",
    "Size",
    "VirtualSize",
    "RootFS",
    "Metadata",
]


def test_the_keys_are_dockers_in_its_order(cli, store):
    image_id = store.create(make_config(variant="v7", **{"os.version": "10"}))
    (found,) = json.loads(cli("inspect", image_id).out)
    with_optional = KEYS.copy()
    with_optional.insert(with_optional.index("Os"), "Variant")
    with_optional.insert(with_optional.index("Size"), "OsVersion")
    assert list(found) == with_optional
    (plain,) = json.loads(cli("inspect", store.create(make_config())).out)
    assert list(plain) == KEYS


def test_the_form_is_dockers(cli, store):
    image_id = store.create(make_config("<&>", rootfs={"type": "layers"}))
    lines = cli("inspect", image_id).out.splitlines()
    assert lines[:3] == ["[", "    {", f'        "Id": "{image_id}",']
    assert '        "Comment": "<&>",' in lines
    assert '        "Config": null,' in lines
    assert lines[-2:] == ["    }", "]"]


def test_an_image_without_a_comment_has_that_of_its_last_step(cli, store):
    steps = [{"comment": "first", "empty_layer": True}, {"comment": "imported", "empty_layer": True}]
    image_id = store.create(make_config(comment="", history=steps))
    assert json.loads(cli("inspect", image_id).out)[0]["Comment"] == "imported"


def test_an_image_without_an_operating_system_has_that_of_the_host(cli, store):
    image_id = store.create(make_config(os=""))
    assert json.loads(cli("inspect", image_id).out)[0]["Os"] == store.get(image_id).operating_system != ""


def test_the_parent_is_what_the_metadata_says(cli, store):
    child = store.create(make_config())
    store.backend.set_metadata(child, "parent", make_digest().encode())
    assert json.loads(cli("inspect", child).out)[0]["Parent"] == make_digest()


def test_several_images_come_in_the_order_of_the_arguments(cli, store):
    made = store.create_many([make_config("a"), make_config("b")])
    for order in (made, made[::-1]):
        assert [each["Id"] for each in json.loads(cli("inspect", *order).out)] == order


def test_what_is_not_found_is_told_and_the_rest_shown(cli, store):
    image_id = store.create(make_config())
    code, out, err = cli("inspect", "dead", image_id, "beef")
    assert (code, err) == (1, "imagestore: No such image: dead\nimagestore: No such image: beef\n")
    assert [each["Id"] for each in json.loads(out)] == [image_id]


def test_nothing_found_is_an_empty_array(cli):
    assert cli("inspect", "dead")[:2] == (1, "[]\n")


@pytest.fixture
def built(store):
    """An image of three steps, whose parent is known and has been made by the first two."""
    day = "2020-01-0{}T00:00:00Z".format
    steps = [
        {"created": day(1), "created_by": "ADD\tfile", "comment": "import"},
        {"created": day(2), "created_by": "RUN " + 50 * "x", "empty_layer": True},
        {"created_by": "CMD", "empty_layer": True},
    ]
    parent = store.create(make_config("parent", layers=1, history=steps[:2]))
    child = store.create(make_config("child", layers=1, history=steps))
    store.set_parent(child, parent)
    return parent, child


def test_a_history(cli, built):
    parent, child = built
    lines = cli("history", child[:12]).out.splitlines()
    assert [line.split("   ")[0].strip() for line in lines] == ["IMAGE", child[7:19], parent[7:19], "<missing>"]
    assert lines[0].split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert lines[1].split() == [child[7:19], "CMD", "0B"]
    assert f"RUN {40 * 'x'}…" in lines[2]
    assert lines[3].endswith("ADD file" + (45 - 8) * " " + "   N/A       import")


def test_a_history_in_full(cli, built):
    parent, child = built
    found = [json.loads(line) for line in cli("history", "--no-trunc", "--format", "json", child).out.splitlines()]
    assert [each["ID"] for each in found] == [child, parent, "<missing>"]
    assert [each["CreatedBy"] for each in found] == ["CMD", "RUN " + 50 * "x", "ADD file"]
    assert [each["CreatedAt"][:10] for each in found] == ["0001-01-01", "2020-01-02", "2020-01-01"]
    assert found[0]["CreatedSince"] == ""
    assert found[1]["CreatedSince"].endswith(" years ago")
    assert list(found[0]) == ["Comment", "CreatedAt", "CreatedBy", "CreatedSince", "ID", "Size", "Tags"]
    assert [each["Size"] for each in found] == ["0B", "0B", "N/A"]


def test_a_history_has_the_names_and_sizes_that_are_known(cli, store, built):
    parent, child = built
    store.references.add_tag("app:1", parent)
    store.references.add_tag("app:2", parent)
    store._bind.write(sizes.set_many, [(store.get(child).stack[0].chain_id, 1234567)])
    found = [json.loads(line) for line in cli("history", "--format", "json", child).out.splitlines()]
    assert [each["Size"] for each in found] == ["0B", "0B", "1.23MB"]
    assert [each["Tags"] for each in found] == [[], ["app:1", "app:2"], []]
    (shown,) = json.loads(cli("inspect", "app:1").out)
    assert (shown["RepoTags"], shown["RepoDigests"], shown["Size"]) == (["app:1", "app:2"], [], 1234567)


def test_a_size_that_is_not_known(cli, store, built):
    assert json.loads(cli("inspect", built[0]).out)[0]["Size"] == -1
    assert json.loads(cli("images", "-a", "--format", "json").out.splitlines()[0])["Size"] == "N/A"


def test_the_ids_of_a_history(cli, built):
    parent, child = built
    assert cli("history", "-q", child).out.split() == [child[7:19], parent[7:19], "<missing>"]
    assert cli("history", "-q", "--no-trunc", child).out.split() == [child, parent, "<missing>"]


def test_more_ancestors_than_steps(cli, store, built):
    top = store.create(make_config("top", history=[{"created_by": "ENV", "empty_layer": True}]))
    store.set_parent(top, built[1])
    assert cli("history", "-q", top).out.split() == [top[7:19]]


def test_an_image_without_a_history(cli, store):
    assert cli("history", store.create(make_config())).out.splitlines() == [
        "IMAGE     CREATED   CREATED BY   SIZE      COMMENT"
    ]
