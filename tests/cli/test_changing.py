from __future__ import annotations

import pytest

from imagestore.digest import ImageID
from imagestore.testing.makers import make_config


@pytest.fixture
def files(tmp_path):
    """Three files, each with an image."""
    made = [tmp_path / f"{name}.json" for name in "abc"]
    for file in made:
        file.write_bytes(make_config(file.name))
    return made


def test_files_are_stored_byte_for_byte(cli, store, files):
    expected = [ImageID.from_bytes(file.read_bytes()) for file in files]
    assert cli("create", *files) == (0, "".join(f"{each}\n" for each in expected), "")
    assert [store.get(each).raw_json for each in expected] == [file.read_bytes() for file in files]


def test_standard_input_is_a_file(cli, store, files):
    code, out, _ = cli("create", files[0], "-", stdin=make_config("stdin"))
    assert code == 0
    assert store.get(out.split()[1]).comment == "stdin"


def test_the_same_file_twice_is_one_image(cli, store, files):
    assert len(set(cli("create", files[0], files[0]).out.split())) == len(store) == 1


@pytest.mark.parametrize("bad", [b"", b"no image", b"{}", b'{"rootfs":{},"history":[{}]}'])
def test_all_are_stored_or_none(cli, store, files, bad):
    files[1].write_bytes(bad)
    code, out, err = cli("create", *files)
    assert (code, out) == (1, "")
    assert err.startswith("imagestore: ")
    assert str(files[1]) in err
    assert list(store.backend.walk()) == []


def test_a_missing_file_stores_nothing(cli, store, files, tmp_path):
    code, _, err = cli("create", files[0], tmp_path / "missing")
    assert (code, err) == (1, f"imagestore: {tmp_path / 'missing'}: No such file or directory\n")
    assert len(store) == 0


@pytest.fixture
def family(store):
    """A parent, its two children, and an image alone."""
    family = store.create_many(make_config(name) for name in ("parent", "elder", "younger", "alone"))
    for child in family[1:3]:
        store.set_parent(child, family[0])
    return family


def test_an_image_is_removed(cli, store, family):
    assert cli("rmi", family[3][7:19]) == (0, f"Deleted: {family[3]}\n", "")
    assert family[3] not in store


def test_an_image_with_children_stays_and_they_are_named(cli, store, family):
    code, out, err = cli("rmi", family[0])
    assert (code, out) == (1, "")
    assert "image has dependent child images" in err
    assert all(child[7:19] in err for child in family[1:3])
    assert set(store.children(family[0])) == set(family[1:3])


def test_each_is_removed_that_can_be(cli, store, family):
    code, out, err = cli("rmi", family[0], "dead", family[1], "beef", family[3])
    assert (code, out) == (1, f"Deleted: {family[1]}\nDeleted: {family[3]}\n")
    assert [line.split(" (")[0] for line in err.splitlines()] == [
        f"imagestore: conflict: unable to delete {family[0][7:19]}",
        "imagestore: No such image: dead",
        "imagestore: No such image: beef",
    ]
    assert set(store.map()) == {family[0], family[2]}


def test_the_last_child_takes_its_parent(cli, store, family):
    assert cli("rmi", *family[1:3]).out == "".join(f"Deleted: {each}\n" for each in (family[1], family[2], family[0]))
    assert set(store.map()) == {family[3]}


def test_parents_stay_if_that_is_asked_for(cli, store, family):
    assert cli("rmi", "--no-prune", *family[1:3]).code == 0
    assert set(store.map()) == {family[0], family[3]}


def test_names_are_given_and_taken(cli, store, family):
    assert cli("tag", family[3][7:19], "app:1") == (0, "", "")
    assert cli("tag", "app:1", "registry.example.org/team/app") == (0, "", "")
    assert store.get_last_updated(family[3]) is not None
    assert cli("rmi", "app:1") == (0, "Untagged: app:1\n", "")
    assert cli("rmi", "registry.example.org/team/app") == (
        0,
        f"Untagged: registry.example.org/team/app:latest\nDeleted: {family[3]}\n",
        "",
    )


def test_several_names_go_if_that_is_forced(cli, store, family):
    for name in ("app:1", "app:2"):
        cli("tag", family[3], name)
    code, out, err = cli("rmi", family[3])
    assert (code, out) == (1, "")
    assert "must be forced" in err
    assert cli("rmi", "-f", family[3]).out == f"Untagged: app:1\nUntagged: app:2\nDeleted: {family[3]}\n"


def test_what_is_missing_is_no_failure_if_forced(cli, store, family):
    assert cli("rmi", "-f", "dead", family[3]) == (0, f"Deleted: {family[3]}\n", "imagestore: No such image: dead\n")
    assert cli("rmi", "-f", "dead", family[0]).code == 1


@pytest.mark.parametrize("target", ["App", "sha256", "app@sha256:" + "0" * 64, "a:b:c", ""])
def test_what_is_no_tag_names_nothing(cli, store, family, target):
    code, out, err = cli("tag", family[3], target)
    assert (code, out) == (1, "")
    assert err.startswith(f"imagestore: {target!r} is not a valid repository/tag: ")
    assert store.references.page() == []
