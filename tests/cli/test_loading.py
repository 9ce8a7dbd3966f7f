"""``imagestore load`` and ``imagestore inspect-archive``: what they print, what they refuse, and what an interrupted load leaves."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from imagestore.archive import Limits
from imagestore.cli.loading import load
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer
from imagestore.verify import verify
from tests.archives.recorded import ARCHIVES
from tests.cli.test_process import heeds_interrupts as _heeds_interrupts
from tests.cli.test_terminal import on_terminal

SIBLINGS = Path(__file__).parents[2] / "examples/siblings.tar"
LINES = "Loaded image: base:1\nLoaded image: left:1\nLoaded image: right:1\n"
heeds_interrupts = _heeds_interrupts


@pytest.fixture
def cli(cli, tmp_path):
    """The command line on a store of either engine that has a folder for content."""
    return lambda *arguments, **more: cli("--content", tmp_path / "content", *arguments, **more)


@pytest.fixture
def place(sqlite_url, tmp_path):
    """The options that name a store for another process, and what opens it here."""
    content = tmp_path / "content"
    return ["--store", sqlite_url, "--content", str(content)], lambda: Store.open(sqlite_url, content=content)


def process(options, *arguments, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "imagestore", *options, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )


def test_from_a_file(cli):
    assert cli("load", "-i", SIBLINGS) == (0, LINES, "")
    assert set(cli("images", "-q", "--no-trunc").out.split()) == {
        "sha256:fa8cb15616fff469a089811d7de9f4eb44d7dcd1cbc2b82bf5f8028e19a3c065",
        "sha256:86ac933f4f53b4951e497d915ca7d8311ea5a2d422ec2cfb7196e9d9ec4d92fa",
        "sha256:b3577698e06ef3f52b2649d1d5c81b92f620368be53092e1618c01d5c7ae64bd",
    }
    assert cli("verify", "--bytes") == (0, "", "")


def test_from_standard_input(cli):
    assert cli("load", stdin=SIBLINGS.read_bytes()) == (0, LINES, "")
    assert cli("load", "-i", "-", stdin=SIBLINGS.read_bytes()) == (0, LINES, "")


def test_from_a_folder(cli, tmp_path):
    with tarfile.open(ARCHIVES / "oci" / "skopeo-full-name.tar") as tar:
        tar.extractall(tmp_path / "layout", filter="data")
    assert cli("load", "-i", tmp_path / "layout") == (0, "Loaded image: app:1.2\n", "")


def test_for_a_platform(cli):
    layout = ARCHIVES / "oci" / "platforms-default.tar"
    assert cli("load", "--platform", "linux/amd64", "-i", layout).code == 0
    assert cli("load", "--platform", "linux/s390x", "-i", layout).code == 1


def test_an_archive_that_is_refused(cli):
    done = cli("load", "-i", ARCHIVES / "wrong-diff-id.tar")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith('imagestore: invalid diffID for layer 1: expected "sha256:000000000000')


def test_images_before_the_bad_one_stay(cli, tmp_path):
    archive = tmp_path / "half.tar"
    first, second = make_config("first"), make_config("second", os="windows")
    with tarfile.open(archive, "w") as tar:
        for name, data in {
            "1.json": first,
            "2.json": second,
            "manifest.json": json.dumps(
                [
                    {"Config": "1.json", "RepoTags": ["first:1"], "Layers": []},
                    {"Config": "2.json", "RepoTags": ["second:1"], "Layers": []},
                ]
            ).encode(),
        }.items():
            _add(tar, name, data)
    done = cli("load", "-i", archive)
    assert done == (1, "Loaded image: first:1\n", "imagestore: cannot load windows image on linux\n")
    assert "first" in cli("images").out


def _add(tar, name, data):
    import io

    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def test_messages_for_a_program(cli):
    messages = [json.loads(line) for line in cli("load", "--json", "-i", SIBLINGS).out.splitlines()]
    assert [message["stream"] for message in messages if "stream" in message] == LINES.splitlines(keepends=True)
    shown = [message for message in messages if "progressDetail" in message]
    assert {message["id"] for message in shown} >= {"3bff8c3215b1", "42aa9610da9d"}
    assert all(message["progressDetail"]["current"] <= message["progressDetail"]["total"] for message in shown)
    quiet = cli("load", "--json", "--quiet", "-i", SIBLINGS).out.splitlines()
    assert [json.loads(line)["stream"] for line in quiet] == LINES.splitlines(keepends=True)


def test_messages_of_an_error(cli):
    done = cli("load", "--json", "-i", ARCHIVES / "os-windows.tar")
    text = "cannot load windows image on linux"
    assert json.loads(done.out) == {"errorDetail": {"message": text}, "error": text}
    assert (done.code, done.err) == (1, f"imagestore: {text}\n")


def test_a_terminal_gives_no_archive(place):
    options, _ = place
    ours, theirs = pty.openpty()
    for command in (["load"], ["inspect-archive", "-"]):
        out, err = process(options if command == ["load"] else [], *command, stdin=theirs).communicate()
        assert out == b""
        assert f"requested {command[0]} from stdin, but stdin is empty: name a file".encode() in err
    os.close(ours)
    os.close(theirs)


def test_every_limit_has_its_option():
    (help_text,) = [option.help for option in load.params if option.name == "given"]
    assert [field.name for field in dataclasses.fields(Limits)] == help_text.rpartition(" one of ")[2].strip(".").split(
        ", "
    )


@pytest.mark.parametrize(("limit", "said"), [("size=1", "there are entries, document,"), ("layer=1KB", "not '1KB'")])
def test_a_limit_that_is_none(cli, limit, said):
    done = cli("load", "--limit", limit, "-i", SIBLINGS)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize("command", [["load", "-i"], ["inspect-archive"]])
def test_a_limit_that_is_passed(cli, command):
    assert cli(*command, SIBLINGS, "--limit", "document=1KiB").code != 0
    assert "more than the limit document=1024" in "".join(cli(*command, SIBLINGS, "--limit", "document=1024")[1:])
    assert cli(*command, SIBLINGS, "--limit", "document=1MiB", "--limit", "layer=2 KiB").code == 0


def test_a_server_has_no_folder_beside_it(run_cli, postgres_store):
    url = postgres_store.engine.url.render_as_string(hide_password=False)
    done = run_cli("--store", url, "load", "-i", SIBLINGS)
    assert done.code == 1
    assert "--content DIR, or IMAGESTORE_CONTENT" in done.err


def test_content_is_beside_the_file(run_cli, sqlite_url):
    assert run_cli("--store", sqlite_url, "load", "-i", SIBLINGS).code == 0
    assert Path(f"{sqlite_url.removeprefix('sqlite:///')}-content/data").is_dir()


def assert_nothing_is_left(open_store):
    with open_store() as store:
        assert store.leases.page() == []
        store.collect()
        assert list(store.content.names()) == []
        assert len(store) == 0
        assert list(verify(store, content=True)) == []


def large_archive(path):
    """An archive with a layer that a pipe does not hold at once."""
    layer = make_layer("large", size=3_000_000)
    with tarfile.open(path, "w") as tar:
        _add(tar, "layer.tar", layer)
    return path.read_bytes()


def test_a_pipe_that_breaks_off(place, tmp_path):
    options, open_store = place
    data = large_archive(tmp_path / "large.tar")
    out, err = process(options, "load", stdin=subprocess.PIPE).communicate(data[:2_000_000])
    assert (out, err) == (b"", b"imagestore: Error processing tar file(exit status 1): unexpected EOF\n")
    assert_nothing_is_left(open_store)
    out, err = process(options, "load", stdin=subprocess.PIPE).communicate(SIBLINGS.read_bytes())
    assert (out.decode(), err) == (LINES, b"")


@pytest.mark.usefixtures("heeds_interrupts")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt(place, tmp_path, stop):
    options, open_store = place
    data = large_archive(tmp_path / "large.tar")
    with process(options, "load", stdin=subprocess.PIPE) as loading:
        loading.stdin.write(data[:2_000_000])  # when all of it is taken, the layer is being written
        loading.stdin.flush()
        loading.send_signal(stop)
        _, err = loading.communicate(timeout=60)
    assert (loading.returncode, err.strip()) == (130, b"")
    assert_nothing_is_left(open_store)


def test_a_reader_that_goes(place):
    options, open_store = place
    ours, theirs = os.pipe()
    os.close(ours)
    loading = subprocess.Popen(
        [sys.executable, "-m", "imagestore", *options, "load", "-i", SIBLINGS], stdout=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    _, err = loading.communicate(timeout=60)
    assert (loading.returncode, err) == (1, b"")
    with open_store() as store:
        assert store.leases.page() == []
        assert list(verify(store, content=True)) == []


def test_a_bar_for_a_person(place):
    options, _ = place
    written, out = on_terminal(*options, "load", "-i", SIBLINGS, stream="stderr")
    assert "Loading layer 3bff8c3215b1" in written
    assert out == LINES
    written, out = on_terminal(*options, "load", "--quiet", "-i", SIBLINGS, stream="stderr")
    assert (written, out) == ("", LINES)


def test_an_archive_is_shown(run_cli):
    done = run_cli("inspect-archive", SIBLINGS)
    assert (done.code, done.err) == (0, "")
    heading, *rows = done.out.splitlines()
    assert heading.split("   ")[0] == "IMAGE ID"
    assert [row.split()[:3] for row in rows if row[0] != " "] == [
        ["fa8cb15616ff", "base:1", "3bff8c3215b1"],
        ["86ac933f4f53", "left:1", "3bff8c3215b1"],
        ["b3577698e06e", "right:1", "3bff8c3215b1"],
    ]
    assert run_cli("inspect-archive", "-", stdin=SIBLINGS.read_bytes()) == done


def test_an_archive_is_shown_as_json(run_cli):
    done = run_cli("inspect-archive", "--format", "json", "--no-trunc", ARCHIVES / "oci" / "three-compressions.tar")
    image, problems = map(json.loads, done.out.splitlines())
    assert image["Names"] == ["app:1"]
    assert [layer["Compression"] for layer in image["Layers"]] == [None, "gzip", "zstd"]
    assert problems == {"Problems": []}


def test_what_a_load_would_refuse(run_cli):
    archive = ARCHIVES / "wrong-diff-id.tar"
    assert run_cli("inspect-archive", archive).code == 0
    done = run_cli("inspect-archive", "--verify", archive)
    assert (done.code, done.err) == (3, "")
    assert done.out.splitlines()[-1].startswith("diff-id-mismatch: invalid diffID for layer 1: expected ")
