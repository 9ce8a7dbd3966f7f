"""``imagestore save``: to a file, to standard output, and what it says when it cannot."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from imagestore.archive import load, save
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer
from tests.archives.saved import FAMILY
from tests.cli.test_process import in_shell
from tests.cli.test_terminal import on_terminal


@pytest.fixture
def stocked_url(sqlite_url, sqlite_store):
    """Of a store whose content is in the folder beside it."""
    load(Store(sqlite_store.engine, content=f"{sqlite_url.removeprefix('sqlite:///')}-content"), FAMILY)
    return sqlite_url


def expected(url, *names, **options):
    out = io.BytesIO()
    with Store.open(url, content=f"{url.removeprefix('sqlite:///')}-content") as store:
        save(store, names, out, **options)
        assert store.leases.page() == []
    return out.getvalue()


def run(url, *arguments, **more):
    command = [sys.executable, "-m", "imagestore", "--store", url, "save", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, **more)


def test_to_a_file(stocked_url, tmp_path):
    path = tmp_path / "saved.tar"
    done = run(stocked_url, "left:1", "base", "-o", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert path.read_bytes() == expected(stocked_url, "left:1", "base")


def test_to_standard_output(stocked_url):
    done = run(stocked_url, "left:1")
    assert (done.returncode, done.stdout, done.stderr) == (0, expected(stocked_url, "left:1"), b"")


@pytest.mark.parametrize("options", [["--format", "oci"], ["--format", "oci", "--compression", "gzip"]])
def test_an_oci_image_layout(stocked_url, options, run_cli, tmp_path):
    path = tmp_path / "saved.tar"
    assert run_cli("--store", stocked_url, "save", *options, "-o", path, "left:1") == (0, "", "")
    keywords = dict(zip(["format", "compression"], options[1::2], strict=False))
    assert path.read_bytes() == expected(stocked_url, "left:1", **keywords)


def test_a_terminal_is_refused(stocked_url):
    with pytest.raises(AssertionError, match=r"cowardly refusing to save to a terminal\. Use the -o flag or redirect"):
        on_terminal("--store", stocked_url, "save", "left:1", stream="stdout")


@pytest.mark.parametrize("arguments", [[], ["--compression", "zstd", "left:1"], ["--format", "zip", "left:1"], [""]])
def test_wrong_usage(run_cli, stocked_url, arguments, tmp_path):
    code, out, err = run_cli("--store", stocked_url, "save", "-o", tmp_path / "saved.tar", *arguments)
    assert (code, out) == (2, "")
    assert "Error: " in err
    assert not (tmp_path / "saved.tar").exists()


def test_files_that_cannot_be_written(run_cli, stocked_url, tmp_path):
    (tmp_path / "folder").mkdir()
    for path, told in (
        (tmp_path / "folder", f"{tmp_path / 'folder'}: Is a directory"),
        (tmp_path / "nothing/saved.tar", f"{tmp_path / 'nothing'}: No such file or directory"),
        ("/dev/full", "/dev/full is no file, and stays what it is: name a file, or write to a stream"),
    ):
        assert run_cli("--store", stocked_url, "save", "-o", path, "left:1") == (1, "", f"imagestore: {told}\n")
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_name_that_means_nothing_leaves_the_file(run_cli, stocked_url, tmp_path):
    path = tmp_path / "saved.tar"
    path.write_bytes(b"before")
    told = (1, "", "imagestore: reference does not exist: nothere:1\n")
    assert run_cli("--store", stocked_url, "save", "-o", path, "left:1", "nothere:1") == told
    assert path.read_bytes() == b"before"


def test_a_store_that_has_no_content(run_cli, sqlite_store, tmp_path):
    url = str(sqlite_store.engine.url)
    image_id = sqlite_store.create(make_config(layers=1))
    code, _, err = run_cli("--store", url, "save", "-o", tmp_path / "saved.tar", image_id)
    assert code == 1
    assert "layer does not exist" in err
    assert "load the image from an archive" in err


def test_a_folder_that_is_not_named(run_cli, stocked_url, tmp_path):
    folder = Path(f"{stocked_url.removeprefix('sqlite:///')}-content")
    folder = folder.rename(tmp_path / "elsewhere")
    command = ["save", "-o", tmp_path / "saved.tar", "left:1"]
    code, _, err = run_cli("--store", stocked_url, *command)
    assert (code, err.splitlines()[-1]) == (1, "  on the command line that is --content DIR, or IMAGESTORE_CONTENT")
    assert run_cli("--store", stocked_url, "--content", folder, *command) == (0, "", "")


class TestStandardOutput:
    @pytest.fixture
    def url(self, sqlite_store, sqlite_url):
        """Of a store with a layer that no pipe takes at once."""
        store = Store(sqlite_store.engine, content=f"{sqlite_url.removeprefix('sqlite:///')}-content")
        with store.lease() as lease:
            layer = store.layers.register(io.BytesIO(make_layer(size=3 << 20)), lease=lease)
            store.references.add_tag("app:1", store.create(make_config(layers=[layer.diff_id])))
        return sqlite_url

    def test_a_reader_that_goes(self, url):
        done = in_shell('$PROGRAM save app:1 | head -c 1000 | wc -c; echo "${PIPESTATUS[0]}"', url)
        assert done.stdout.split() == ["1000", "1"]
        assert done.stderr == "imagestore: standard output was closed before the archive was whole: Broken pipe\n"
        with Store.open(url) as store:
            assert store.leases.page() == []

    def test_a_full_disk(self, url):
        done = in_shell("$PROGRAM save app:1 > /dev/full", url)
        assert (done.returncode, done.stderr) == (1, "imagestore: No space left on device\n")
        with Store.open(url) as store:
            assert store.leases.page() == []

    def test_what_a_pipe_gets_is_whole(self, url):
        done = in_shell("$PROGRAM save app:1 | tar -tvf - | wc -l", url)
        assert done.stdout.split() == ["7"]
