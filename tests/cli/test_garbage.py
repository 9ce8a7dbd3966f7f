"""What ``gc`` removes, and says."""

from __future__ import annotations

import io
import json

import pytest

from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer


@pytest.fixture(params=["beside", "named"])
def content(request, sqlite_url, tmp_path):
    """The folder of the content, and the options that name it."""
    folder = tmp_path / "imagestore.db-content" if request.param == "beside" else tmp_path / "layers"
    return folder, [] if request.param == "beside" else ["--content", str(folder)]


@pytest.fixture
def url(sqlite_url, content):
    with Store.open(sqlite_url, content=content[0]) as store:
        kept = store.layers.register(io.BytesIO(make_layer("kept")))
        store.layers.register(io.BytesIO(make_layer("lost")), kept.chain_id)
        store.create(make_config(layers=[kept.diff_id]))
        for lease in store.leases.page():
            store.leases.delete(lease.id)
    return sqlite_url


def test_gc_tells_and_removes(run_cli, url, content):
    folder, options = content
    rows = "LEASES    LAYERS    CONTENTS   FILES     SIZE\n0         1         1          1         10.2kB\n"
    for _ in range(2):
        assert run_cli("--store", url, *options, "gc", "--dry-run").out == rows
    assert len(list((folder / "data").iterdir())) == 2
    assert run_cli("--store", url, *options, "gc").out == rows
    assert len(list((folder / "data").iterdir())) == 1
    found = json.loads(run_cli("--store", url, *options, "gc", "--format", "json").out)
    assert found == {"Leases": 0, "Layers": 0, "Contents": 0, "Files": 0, "Size": 0}


def test_files_that_were_not_looked_for_are_told(run_cli, sqlite_url, tmp_path):
    with Store.open(sqlite_url, content=tmp_path / "elsewhere") as store:
        store.layers.register(io.BytesIO(make_layer()))
        (lease,) = store.leases.page()
        store.leases.delete(lease.id)
    done = run_cli("--store", sqlite_url, "gc")
    assert "--content" in done.err
    assert len(list((tmp_path / "elsewhere" / "data").iterdir())) == 1
    assert "1" in run_cli("--store", sqlite_url, "--content", str(tmp_path / "elsewhere"), "gc").out
    assert list((tmp_path / "elsewhere" / "data").iterdir()) == []


def test_a_folder_of_another_store_is_refused(run_cli, sqlite_url, tmp_path):
    with Store.open("sqlite://", content=tmp_path / "anothers"), Store.open(sqlite_url, content=tmp_path / "ours"):
        pass
    done = run_cli("--store", sqlite_url, "--content", str(tmp_path / "anothers"), "gc")
    assert done.code == 1
    assert "name that one" in done.err


@pytest.mark.parametrize("command", [["gc"], ["verify"]])
def test_a_file_is_no_folder_for_content(run_cli, sqlite_url, tmp_path, command):
    (tmp_path / "file").write_bytes(b"data")
    Store.open(sqlite_url).close()
    done = run_cli("--store", sqlite_url, "--content", str(tmp_path / "file"), *command)
    assert done == (1, "", f"imagestore: {tmp_path / 'file'} is no folder: name one for the content of layers\n")


def test_rmi_takes_the_bytes_along(run_cli, url, content):
    folder, options = content
    run_cli("--store", url, *options, "gc")
    (image_id,) = run_cli("--store", url, "images", "-q", "--no-trunc").out.split()
    deleted = run_cli("--store", url, *options, "rmi", image_id).out.splitlines()
    assert deleted[0] == f"Deleted: {image_id}"
    assert len(deleted) == 2
    assert list((folder / "data").iterdir()) == []
