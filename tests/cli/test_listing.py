from __future__ import annotations

import json

import pytest

from imagestore.testing.makers import make_config, make_digest


@pytest.fixture
def family(store):
    """A base, two images on it and one on the younger of these; the older ones come first."""
    times = {"base": "2020-01-01", "elder": "2021-01-01", "younger": "2022-01-01", "top": "2023-01-01"}
    family = {name: store.create(make_config(name, created=f"{day}T00:00:00Z")) for name, day in times.items()}
    for child, parent in (("elder", "base"), ("younger", "base"), ("top", "younger")):
        store.set_parent(family[child], family[parent])
    return family


def named(family, *names):
    return [family[name] for name in names]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["images"], ["top", "elder"]),
        (["images", "-a"], ["top", "younger", "elder", "base"]),
        (["images", "--all"], ["top", "younger", "elder", "base"]),
        (["heads"], ["top", "elder"]),
        (["children", "base"], ["younger", "elder"]),
        (["children", "top"], []),
        (["ancestors", "top"], ["younger", "base"]),
        (["ancestors", "base"], []),
    ],
)
class TestLists:
    @pytest.fixture
    def command(self, family, arguments):
        return [family[argument][:19] if argument in family else argument for argument in arguments]

    def test_ids(self, cli, family, command, shown):
        expected = named(family, *shown)
        assert cli(*command, "-q", "--no-trunc") == (0, "".join(f"{each}\n" for each in expected), "")
        assert cli(*command, "-q") == (0, "".join(f"{each[7:19]}\n" for each in expected), "")

    def test_a_table(self, cli, family, command, shown):
        lines = cli(*command).out.splitlines()
        assert lines[0].split("   ")[0] == "IMAGE ID"
        assert lines[0].split()[2:] == ["CREATED"]
        assert [line[:15] for line in lines[1:]] == [f"{each[7:19]}   " for each in named(family, *shown)]
        assert all(line.endswith(" years ago") for line in lines[1:])

    def test_json(self, cli, family, command, shown):
        found = [json.loads(line) for line in cli(*command, "--format", "json", "--no-trunc").out.splitlines()]
        assert [each["ID"] for each in found] == named(family, *shown)
        assert all(each.keys() == {"CreatedAt", "CreatedSince", "ID"} for each in found)
        assert [each["ID"] for each in map(json.loads, cli(*command, "--format", "json").out.splitlines())] == [
            each[7:19] for each in named(family, *shown)
        ]


def test_an_empty_store_has_headings(cli):
    assert cli("images") == (0, "IMAGE ID   CREATED\n", "")


def test_images_of_one_time_come_in_the_order_of_their_ids(cli, store):
    made = store.create_many(make_config(number) for number in range(20))
    assert cli("images", "-q", "--no-trunc").out.split() == sorted(made)


def test_times_are_ordered_to_the_nanosecond_and_across_offsets(cli, store):
    times = ["2020-01-01T00:00:00.000000001Z", "2020-01-01T00:00:00Z", "2020-01-01T00:59:59+01:00"]
    made = [store.create(make_config(created=time)) for time in times]
    assert cli("images", "-q", "--no-trunc").out.split() == made


def test_a_time_that_is_not_known(cli, store):
    config = make_config()
    store.create(config.replace(b'"created":"2020-10-01T12:30:00.123456789Z",', b""))
    assert cli("images").out.splitlines()[1].endswith("   N/A")
    assert json.loads(cli("images", "--format", "json").out)["CreatedSince"] == "N/A"


def test_what_is_no_image_is_not_listed(cli, store):
    store.backend.set(b"no image")
    assert cli("images", "-aq") == (0, "", "")


def test_a_damaged_image_is_left_out_and_told(cli, store, family, caplog):
    from tests.verify.damage import write_blob

    write_blob(store, family["top"], b"changed")
    assert cli("images", "-q").out.split() == [family["elder"][7:19]]
    assert family["top"] in caplog.text


def test_an_awaited_parent_is_no_ancestor(cli, store):
    child = store.create(make_config())
    store.backend.set_metadata(child, "parent", make_digest().encode())
    assert cli("ancestors", "-q", child) == (0, "", "")
