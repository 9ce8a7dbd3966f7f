"""Docker's layer database: what a daemon knows of each layer."""

from __future__ import annotations

import os

import pytest

from imagestore.digest import chain_id
from imagestore.docker import layer_database
from imagestore.layer import Link
from imagestore.testing.makers import make_diff_id
from tests.docker.tars import extract

LOWER = make_diff_id("lower")
UPPER = make_diff_id("upper")
CHAIN = chain_id([LOWER, UPPER])


@pytest.fixture
def folder(tmp_path):
    """A layer on another one, of 7 and 13 bytes."""
    for chain, files in (
        (LOWER, {"diff": LOWER, "size": "13", "cache-id": "x", "tar-split.json.gz": "x"}),
        (CHAIN, {"diff": UPPER, "size": "7", "parent": LOWER}),
    ):
        layer = tmp_path / "layerdb" / "sha256" / chain[7:]
        layer.mkdir(parents=True)
        for name, text in files.items():
            (layer / name).write_text(text)
    return tmp_path


def read(folder):
    damaged: list[str] = []
    return dict(sorted(layer_database.read(folder, damaged))), damaged


def layer(folder, chain=CHAIN):
    return folder / "layerdb" / "sha256" / chain[7:]


def test_layers_have_places_and_sizes(folder):
    lower = Link(chain_id([LOWER]), LOWER, None)
    assert read(folder) == ({lower: 13, Link(CHAIN, UPPER, chain_id([LOWER])): 7}, [])


def test_a_real_one(tmp_path):
    found, damaged = read(extract(tmp_path) / "image" / "vfs")
    assert damaged == []
    assert sorted(found.values()) == [6, 13, 13, 13, 13, 13, 13, 13]
    assert all(link.parent is None or link.parent in {other.chain_id for other in found} for link in found)


def test_there_is_none(tmp_path):
    assert read(tmp_path) == ({}, [])
    (tmp_path / "layerdb").write_text("")
    assert read(tmp_path) == ({}, [])


def test_what_a_daemon_passes_over(folder):
    root = folder / "layerdb"
    (root / "mounts").mkdir()
    (root / "tmp" / "write-set-1").mkdir(parents=True)
    for name in ("x", "0" * 63, "A" * 64, "0" * 64 + "-init"):
        (root / "sha256" / name).mkdir()
    (root / "sha256" / ("1" * 64)).write_text("a file")
    (root / "sha256" / ("2" * 64)).symlink_to(layer(folder))
    assert len(read(folder)[0]) == 2
    assert read(folder)[1] == []


def test_white_space_around_digests_is_passed_over(folder):
    (layer(folder) / "diff").write_text(f"\n {UPPER}\n")
    assert len(read(folder)[0]) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("diff", None),
        ("diff", ""),
        ("diff", "sha256:abc"),
        ("diff", LOWER),
        ("diff", "x" * 300),
        ("parent", None),
        ("parent", ""),
        ("parent", "x"),
        ("parent", UPPER),
        ("size", None),
        ("size", ""),
        ("size", "-1"),
        ("size", "x"),
        ("size", "1e3"),
        ("size", "٣"),
        ("size", str(2**63)),
        ("size", "1" * 300),
    ],
)
def test_a_damaged_layer_is_told_and_all_others_come(folder, name, text):
    (layer(folder) / name).unlink()
    if text is not None:
        (layer(folder) / name).write_text(text)
    found, damaged = read(folder)
    assert [link.diff_id for link in found] == [LOWER]
    assert len(damaged) == 1
    assert damaged[0].startswith(f"layerdb: {CHAIN}: its file")


def test_what_is_no_file_is_damage(folder):
    (layer(folder) / "size").unlink()
    os.mkfifo(layer(folder) / "size")
    assert "no regular file" in read(folder)[1][0]
    (layer(folder) / "size").unlink()
    (layer(folder) / "size").mkdir()
    assert "no regular file" in read(folder)[1][0]
