from __future__ import annotations

import json
import re

import pytest

from imagestore.cli.sizes import size
from imagestore.docker.summaries import summaries
from imagestore.sql import sizes
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
        heading, *lines = [re.split(" {3,}", line) for line in cli(*command).out.splitlines()]
        names = ["REPOSITORY", "TAG"] if command[0] == "images" else []
        assert heading == [*names, "IMAGE ID", "CREATED", *(["SIZE"] if names else [])]
        ids = [line[len(names)] for line in lines]
        assert ids == [each[7:19] for each in named(family, *shown)]
        assert all(line[len(names) + 1].endswith(" years ago") for line in lines)

    def test_json(self, cli, family, command, shown):
        found = [json.loads(line) for line in cli(*command, "--format", "json", "--no-trunc").out.splitlines()]
        assert [each["ID"] for each in found] == named(family, *shown)
        keys = {"CreatedAt", "CreatedSince", "ID"}
        if command[0] == "images":
            keys |= {"Digest", "Repository", "Size", "Tag"}
        assert all(each.keys() == keys for each in found)
        assert [each["ID"] for each in map(json.loads, cli(*command, "--format", "json").out.splitlines())] == [
            each[7:19] for each in named(family, *shown)
        ]


def test_an_empty_store_has_headings(cli):
    assert cli("images") == (0, "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n", "")
    assert cli("images", "--digests") == (0, "REPOSITORY   TAG       DIGEST    IMAGE ID   CREATED   SIZE\n", "")
    assert cli("heads") == (0, "IMAGE ID   CREATED\n", "")


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
    assert re.split(" {3,}", cli("images").out.splitlines()[1])[3:] == ["N/A", "0B"]
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


@pytest.fixture
def named_images(store):
    """The names of an older and a newer image."""
    older, newer = store.create_many(
        make_config(day, created=f"{day}T00:00:00Z") for day in ("2020-01-01", "2021-01-01")
    )
    names = {"app:1": older, "app:2": newer, "team/app:1": newer, "reg.test:5000/app:x": older, "app2:1": older}
    for name, image_id in names.items():
        store.references.add_tag(name, image_id)
    for number, image_id in enumerate((older, older, newer)):
        store.references.add_digest(f"app@{make_digest(number)}", image_id)
    store.references.add_digest(f"other@{make_digest(3)}", newer)
    return older, newer


def lines_of(result):
    return [tuple(line.split()[:2]) for line in result.out.splitlines()[1:]]


def test_an_image_has_a_line_for_each_tag(cli, named_images):
    assert lines_of(cli("images")) == [
        ("app", "2"),
        ("team/app", "1"),
        ("other", "<none>"),
        ("app2", "1"),
        ("app", "1"),
        ("reg.test:5000/app", "x"),
    ]
    older, newer = named_images
    assert cli("images", "-q", "--no-trunc").out.split() == 3 * [newer] + 3 * [older]


def test_digests_have_lines_of_their_own(cli, named_images):
    lines = [line.split()[:3] for line in cli("images", "--digests", "app").out.splitlines()[1:]]
    by_digest = sorted([make_digest(0), make_digest(1)])
    assert lines == [["app", "2", make_digest(2)], *(["app", "1", digest] for digest in by_digest)]


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("app", ["app:2", "app:1"]),
        ("app:1", ["app:1"]),
        ("app:none", []),
        ("app*", ["app:2", "app2:1", "app:1"]),
        ("*/app", ["team/app:1", "reg.test:5000/app:x"]),
        ("*/*:1", ["team/app:1"]),
        ("reg.test:5000/app", ["reg.test:5000/app:x"]),
        ("app:[2-9]", ["app:2"]),
        ("docker.io/library/app", []),
        ("App", []),
        (make_digest().hex, []),
    ],
)
def test_images_of_a_name(cli, named_images, pattern, shown):
    assert [":".join(line) for line in lines_of(cli("images", pattern))] == shown
    assert [":".join(line) for line in lines_of(cli("images", "-a", pattern))] == shown


def test_a_pattern_that_is_malformed(cli, named_images):
    code, out, err = cli("images", "app[")
    assert (code, out) == (1, "")
    assert "syntax error in pattern" in err


def test_what_has_a_name_is_listed_though_others_are_built_on_it(cli, store, family):
    store.references.add_tag("base:1", family["base"])
    shown = [json.loads(line)["ID"] for line in cli("images", "--no-trunc", "--format", "json").out.splitlines()]
    assert shown == named(family, "top", "elder", "base")


def test_sizes_are_sums_over_layers(cli, store):
    image_id = store.create(make_config(layers=3))
    stack = store.get(image_id).stack
    store._bind.write(sizes.set_many, [(link.chain_id, 600) for link in stack[:2]])
    assert json.loads(cli("images", "--format", "json").out)["Size"] == "N/A"
    store._bind.write(sizes.set_many, [(link.chain_id, 600 + number) for number, link in enumerate(stack)])
    assert json.loads(cli("images", "--format", "json").out)["Size"] == "1.8kB"


@pytest.mark.parametrize(
    ("of", "shown"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (1234, "1.23kB"),
        (999_999, "1e+03kB"),
        (72_800_000, "72.8MB"),
        (2**63 - 1, "9.22EB"),
        (None, "N/A"),
    ],
)
def test_a_size_in_dockers_words(of, shown):
    assert size(of) == shown


@pytest.mark.parametrize("pattern", [None, "app", "a*"])
def test_a_listing_asks_for_pages_and_not_for_images(sqlite_store, pattern):
    sent: dict[int, list[str]] = {}
    for count in (3, 300):
        made = sqlite_store.create_many(make_config(number, layers=2) for number in range(count))
        for number, image_id in enumerate(made):
            sqlite_store.references.add_tag(f"app:{number}", image_id, force=True)
        with sqlite_store.reading() as snapshot:
            connection = snapshot._bind._connection.connection.driver_connection
            texts = sent[count] = []
            connection.set_trace_callback(texts.append)
            assert len(list(summaries(snapshot, pattern))) == count
            connection.set_trace_callback(None)
    assert len(sent[3]) == len(sent[300]) <= 6
