from __future__ import annotations

import json
import re

import pytest
from sqlalchemy import insert

from imagestore.gojson import GoTime
from imagestore.sql import schema, sizes
from imagestore.testing.makers import make_config, make_diff_id, make_digest


@pytest.fixture
def family(store):
    """Images by their layers, a letter each: of size 1 kB, 2 kB and so on, of which those of even sizes are kept."""
    family = {
        name: store.create(make_config(name, layers=[make_diff_id(each) for each in name]))
        for name in ("a", "ab", "abc", "ad", "")
    }
    with store.engine.begin() as connection:
        known = {layer.chain_id: layer for layer in store.layers.map().values()}
        letters = {make_diff_id(letter): number * 1000 for number, letter in enumerate("abcd", 1)}
        sizes.set_many(connection, [(chain, letters[layer.diff_id]) for chain, layer in known.items()])
        for diff_id, size in letters.items():
            if size % 2000 == 0:
                content = {"diff_id": diff_id, "name": diff_id, "size": size + 24}
                connection.execute(insert(schema.contents), content)
    store.references.add_tag("base:1", family["a"])
    store.references.add_tag("team/app:2", family["abc"])
    store.references.add_tag("team/app:latest", family["abc"])
    store.touch(family["ab"])
    return family


def ids(*found):
    return "".join(f"{each}\n" for each in found)


def table(out):
    return [re.split(" {3,}", line) for line in out.splitlines()]


def objects(out):
    return [json.loads(line) for line in out.splitlines()]


def test_bases(cli, family):
    assert cli("bases", "team/app:2", "-q", "--no-trunc") == (0, ids(family["ab"], family["a"]), "")
    short = {name: image_id[7:19] for name, image_id in family.items()}
    assert table(cli("bases", "team/app:2").out) == [
        ["IMAGE ID", "LAYERS", "NAMES"],
        [short["ab"], "2"],
        [short["a"], "1", "base:1"],
    ]
    assert objects(cli("bases", "team/app:2", "--format", "json").out) == [
        {"ID": short["ab"], "Layers": 2, "Names": []},
        {"ID": short["a"], "Layers": 1, "Names": ["base:1"]},
    ]
    assert cli("bases", family["a"], "-q") == (0, "", "")


def test_derived(cli, family, store):
    found = cli("derived", "base:1", "-q", "--no-trunc").out.splitlines()
    assert set(found) == {family["ab"], family["abc"], family["ad"]}
    assert found.index(family["ab"]) < found.index(family["abc"])
    short = {name: image_id[7:19] for name, image_id in family.items()}
    heading, *rows = table(cli("derived", family["a"]).out)
    assert heading == ["IMAGE ID", "LAST USED", "NAMES"]
    used, *others = sorted(rows, key=lambda row: "ago" not in row[1])
    assert used[0] == short["ab"]
    assert sorted(others) == sorted([[short["abc"], "never", "team/app:2, team/app:latest"], [short["ad"], "never"]])
    told = {each["ID"]: each for each in objects(cli("derived", "base:1", "--format", "json").out)}
    assert GoTime.parse(told[short["ab"]]["LastUsed"]) == store.last_used(family["ab"])
    assert told[short["abc"]] == {"ID": short["abc"], "LastUsed": None, "Names": ["team/app:2", "team/app:latest"]}


def test_layers_of_an_image(cli, family, store):
    links = store.get(family["abc"]).stack
    assert cli("layers", "team/app:2", "-q", "--no-trunc") == (0, ids(*(link.chain_id for link in links)), "")
    shown = [[link.chain_id[7:19], link.diff_id[7:19]] for link in links]
    assert table(cli("layers", "team/app:2").out) == [
        ["CHAIN ID", "DIFF ID", "SIZE", "CONTENT"],
        [*shown[0], "1kB", "N/A"],
        [*shown[1], "2kB", "2.02kB"],
        [*shown[2], "3kB", "N/A"],
    ]
    first, second, _ = objects(cli("layers", "team/app:2", "--no-trunc", "--format", "json").out)
    assert first == {
        "ChainID": links[0].chain_id,
        "Content": None,
        "DiffID": links[0].diff_id,
        "Parent": None,
        "Size": 1000,
    }
    assert (second["Parent"], second["Content"]) == (links[0].chain_id, 2024)


def test_all_layers(cli, family, store):
    assert cli("layers", "-q", "--no-trunc") == (0, ids(*store.layers.map()), "")


def test_what_images_weigh(cli, family):
    short = {name: image_id[7:19] for name, image_id in family.items()}
    heading, *rows, total = table(cli("du").out)
    assert heading == ["IMAGE ID", "SIZE", "SHARED", "FREES", "NAMES"]
    assert rows == [
        [short["abc"], "6kB", "3kB", "0B", "team/app:2, team/app:latest"],
        [short["ad"], "5kB", "1kB", "4.02kB"],
        [short["ab"], "3kB", "3kB", "0B"],
        [short["a"], "1kB", "1kB", "0B", "base:1"],
        [short[""], "0B", "0B", "0B"],
    ]
    assert total[:2] == ["TOTAL", "10kB"]
    assert total[-1] == "6.05kB"
    *images, totals = objects(cli("du", "--format", "json").out)
    assert images[1] == {"Freed": 4024, "ID": short["ad"], "Names": [], "Shared": 1000, "Size": 5000}
    assert totals == {"Content": 6048, "Images": 5, "Size": 10_000}
    by_size = [family[name] for name in ("abc", "ad", "ab", "a", "")]
    assert cli("du", "-q", "--no-trunc") == (0, ids(*by_size), "")


@pytest.mark.parametrize("command", ["bases", "derived", "layers"])
def test_an_image_that_is_not_there(cli, family, command):
    code, out, err = cli(command, make_digest())
    assert (code, out) == (1, "")
    assert make_digest()[7:19] in err or "No such image" in err
